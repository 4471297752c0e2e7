package cpu

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"gorgonia.org/tensor"

	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/device/backend"
	"gcnn/model"
)

// program is a network compiled for the processor.
type program struct {
	k       *kernel.Kernels
	workers int
	net     *model.Network
	spec    device.Plan
	dry     bool // for an outline: no memory is taken for parameters

	mu     backend.Mutex
	crew   *crew
	params map[string]*param
	zeros  []float32 // see compiler.zeros
	step   int64     // State.Step

	averaging kernel.Update // of the weights, with EMA
	setMemory int64         // the most bytes of copies of sets
	copied    atomic.Int64  // bytes of them

	train    *plan // nil without Plan.Training
	passes   forwardPlans
	prefers  func(n int) bool  // n samples go with channels in the lanes
	across   bool              // so do the feature maps of a training step
	grain    int64             // multiply-adds of a part of a task
	streamed int64             // bytes of a kernel from which on a step reads it once for all samples, where the lanes are channels
	stale    bool              // copies of weights that training steps do not read are of an earlier step
	traces   map[purpose]*plan // made at the first trace of each kind
	shut     func()            // tells the device
}

// newProgram compiles the plans.
func newProgram(k *kernel.Kernels, workers int, net *model.Network, spec device.Plan, dry bool, options ...func(*program)) (*program, error) {
	if err := spec.Check(net); err != nil {
		return nil, err
	}
	for _, node := range net.Nodes {
		if node.Out.Size() > maxElements || node.In[0].Size() > maxElements {
			return nil, fmt.Errorf("%w: %s: %v to %v is more than the %d elements of a sample that the cpu computes with",
				device.ErrArgument, node.Name, node.In[0], node.Out, maxElements)
		}
	}
	p := &program{k: k, workers: workers, net: net, spec: spec, dry: dry, params: map[string]*param{}, traces: map[purpose]*plan{}, grain: defaultGrain, streamed: streamedBytes}
	p.prefers = func(n int) bool { return prefersChannels(net, n, spec.Exact, k.Path()) }
	p.across = trainsAcross(net, spec.Batch, spec.Exact, k.Path())
	for _, o := range options {
		o(p)
	}
	if spec.Training != nil {
		p.averaging = averaging(spec.Training.EMA)
	}
	parameters := int64(0)
	for _, q := range net.Params() {
		parameters += 4 * int64(q.Size()) * int64(1+newParam(q, spec).kept())
	}
	if err := p.fits(parameters); err != nil {
		return nil, err
	}
	for _, q := range net.Params() {
		r := newParam(q, spec)
		r.w = p.floats(q.Size())
		for s := range r.slots {
			r.s[s] = p.floats(q.Size())
		}
		if r.averages {
			r.average = p.floats(q.Size())
		}
		p.params[q.Name] = r
	}
	_, notClassifier := net.Classes()
	var err error
	if spec.Training != nil && notClassifier == nil {
		sets := min((spec.Batch+kernel.Lanes-1)/kernel.Lanes, maxSets)
		if p.train, err = p.compile(purpose{mode: training, labels: true, unfused: spec.Trace, spread: spreads(sets, workers), across: p.across}); err != nil {
			return nil, err
		}
	}
	if err := p.prepare(spec.Batch); err != nil {
		return nil, err
	}
	if err := p.fits(p.outline().bytes()); err != nil {
		return nil, err
	}
	if !dry {
		p.crew = newCrew(workers)
		for _, pl := range p.plans() {
			pl.allocate(p.crew)
		}
	}
	return p, nil
}

// maxElements bounds the elements of one sample's activation: offsets of 16 samples are 32-bit numbers in the kernels.
const maxElements = 1 << 27

// floats allocates values of a parameter.
func (p *program) floats(n int) []float32 {
	if p.dry {
		return nil
	}
	return aligned[float32](n)
}

// plans are those that have been made, the training step's first.
func (p *program) plans() (all []*plan) {
	for _, pl := range []*plan{p.train, p.passes.groups, p.passes.spread, p.passes.few} {
		if pl != nil {
			all = append(all, pl)
		}
	}
	return all
}

// allocate takes the plan's memory and tells it who runs it.
func (p *plan) allocate(c *crew) {
	bind(p.buffers, aligned[float32](p.words))
	p.workers = c.workers
	p.gate.wake.L = &p.gate.lock
	if len(c.workers) <= runtime.GOMAXPROCS(0) {
		p.patience = patience
	}
}

// Close frees the program's memory and ends its workers.
func (p *program) Close() error {
	return p.mu.Close(func() error {
		p.crew.close()
		p.params, p.train, p.passes, p.traces = nil, nil, forwardPlans{}, nil
		p.shut()
		return nil
	})
}

// State copies what was learnt.
func (p *program) State() (s device.State, err error) {
	err = p.View(func(own device.State) error {
		s = own.Clone()
		return nil
	})
	return s, err
}

// View lends what was learnt.
func (p *program) View(read func(device.State) error) error {
	if err := p.mu.Enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	lent := func(values []float32, shape []int) *tensor.Dense {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
	}
	s := device.State{Step: p.step, Weights: map[string]*tensor.Dense{}, Slots: map[string]*tensor.Dense{}}
	for name, q := range p.params {
		s.Weights[name] = lent(q.w, q.Shape)
		for i, slot := range q.slots {
			s.Slots[name+"/"+slot] = lent(q.s[i], q.Shape)
		}
		if q.average != nil {
			if s.Average == nil {
				s.Average = map[string]*tensor.Dense{}
			}
			s.Average[name] = lent(q.average, q.Shape)
		}
	}
	return read(s)
}

// SetState replaces what was learnt.
func (p *program) SetState(s device.State) error {
	if err := p.mu.Enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := s.Check(p.net, p.spec.Training); err != nil {
		return err
	}
	values, average := map[string][]float32{}, map[string][]float32{}
	for _, from := range []struct {
		tensors map[string]*tensor.Dense
		to      map[string][]float32
	}{{s.Weights, values}, {s.Slots, values}, {s.Average, average}} {
		for name, t := range from.tensors {
			v, err := device.Floats(t)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			from.to[name] = v
		}
	}
	p.step = s.Step
	if s.Keep && p.spec.Training == nil {
		return p.keep(values)
	}
	for name, q := range p.params {
		copy(q.w, values[name])
		for i, slot := range q.slots {
			clear(q.s[i])
			copy(q.s[i], values[name+"/"+slot])
		}
		if copy(q.average, q.w); s.Average != nil {
			copy(q.average, average[name])
		}
		q.renewAll(p.k)
	}
	return nil
}

// keep puts values in the place of the parameters' own memory, which nothing has touched. Plans know addresses, so they are made
// again.
func (p *program) keep(values map[string][]float32) error {
	for name, q := range p.params {
		q.w = values[name]
		q.copies, q.transforms, q.copied = nil, nil, 0
	}
	p.passes, p.traces = forwardPlans{}, map[purpose]*plan{}
	return p.prepare(p.spec.Batch)
}

// Profile is the time spent in each task, summed over workers.
func (p *program) Profile() []device.TaskTime {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.Closed || !p.spec.Profile || p.train == nil {
		return nil
	}
	times := make([]device.TaskTime, len(p.train.tasks))
	peak := 1e9 * p.k.Peak(20*time.Millisecond)
	for i, t := range p.train.tasks {
		times[i] = device.TaskTime{Task: t, Calls: p.train.steps, Peak: peak}
		for _, w := range p.crew.workers {
			if i < len(w.times) {
				times[i].Seconds += w.times[i].Seconds()
			}
		}
	}
	return times
}

// outline is what the program is made of.
type outline struct{ device.Outline }

// bytes is the memory of it all.
func (o outline) bytes() (n int64) {
	for _, m := range o.Memory {
		n += m.Bytes
	}
	return n
}

// fits reports an error where so much memory is more than the machine has.
func (p *program) fits(bytes int64) error {
	if usable := usableMemory(); !p.dry && usable > 0 && uint64(bytes) > usable {
		return fmt.Errorf("%w: %s in batches of %d needs %d MiB, this machine has %d MiB",
			device.ErrMemory, p.net.Name, p.spec.Batch, bytes>>20, usable>>20)
	}
	return nil
}

// outline tells what the program is made of.
func (p *program) outline() outline {
	var values, slots, copies, activations int64
	for _, q := range p.params {
		v, s, g := q.bytes()
		values, slots, copies = values+v, slots+s, copies+g
	}
	plans := p.plans()
	for _, pl := range plans {
		activations += 4 * int64(pl.words)
	}
	return outline{device.Outline{Tasks: plans[0].tasks, Memory: []device.Memory{
		{Use: "weights", Bytes: values}, {Use: "optimizer", Bytes: slots},
		{Use: "activations", Bytes: activations}, {Use: "workspace", Bytes: copies},
	}}}
}
