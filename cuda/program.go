//go:build cuda

package cuda

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"sort"

	"gorgonia.org/cu"

	"gcnn/data"
	"gcnn/device"
	"gcnn/device/backend"
	"gcnn/kernels"
	"gcnn/model"
)

// program is a network compiled for the GPU.
type program struct {
	d    *Device
	net  *model.Network
	spec device.Plan

	mu   backend.Mutex
	step int64 // State.Step
	shut func()

	// What follows belongs to the device's thread.
	params    map[string]*param
	trainable int // floats of the trainable parameters, which come first
	values    int // floats of all parameters
	slotNames []string
	weights   *buffer
	grads     *buffer
	slots     [2]*buffer
	average   *buffer // of the trainable weights; nil without EMA

	train  *plan // nil without Plan.Training
	infer  *plan
	parts  map[part]*plan // for fewer samples than a batch, made when they are first wanted
	traces map[tracePart]*plan

	control control
	epoch   epochMemory
	memory  []allocation

	piece                           int // samples of a piece of a set of bytes
	ringImages, ringLabels, results *buffer
	rings                           [2]*ring // for bytes and for floats
	conveyor                        conveyor

	sets     map[*resident]bool
	profiled []taskTime
}

// part names a plan for fewer samples than a batch.
type part struct {
	mode mode
	rows int
}

type tracePart struct {
	purpose purpose
	rows    int
}

// newProgram compiles the plans and takes their memory; dry, it only compiles. It runs on the device's thread.
func newProgram(d *Device, net *model.Network, spec device.Plan, dry bool) (made *program, err error) {
	if err := spec.Check(net); err != nil {
		return nil, err
	}
	for _, node := range net.Nodes {
		if n := max(node.Out.Size(), node.In[0].Size()); int64(n)*int64(spec.Batch) > math.MaxInt32 {
			return nil, fmt.Errorf("%w: %s: %v to %v for a batch of %d is more than the %d elements that a kernel counts; a batch of %d fits",
				device.ErrArgument, node.Name, node.In[0], node.Out, spec.Batch, math.MaxInt32, math.MaxInt32/n)
		}
	}
	if a := net.Input[0] + net.Input[1]; spec.Training != nil && spec.Training.Augment != (device.Augment{}) && a > math.MaxInt16 {
		return nil, fmt.Errorf("%w: augmentation on the GPU takes images whose height and width are together at most %d, got %v", device.ErrArgument, math.MaxInt16, net.Input)
	}
	p := &program{
		d: d, net: net, spec: spec, params: map[string]*param{}, parts: map[part]*plan{}, traces: map[tracePart]*plan{}, sets: map[*resident]bool{},
		weights: &buffer{name: "weights"}, grads: &buffer{name: "gradients"},
		ringImages: &buffer{name: "ring of images"}, ringLabels: &buffer{name: "ring of labels"}, results: &buffer{name: "ring of results"},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.release())
		}
	}()
	p.layParams()
	if spec.Training != nil && spec.Training.EMA.Momentum > 0 {
		p.average = &buffer{name: "averaged weights"}
	}
	p.layRings()
	_, notClassifier := net.Classes()
	if p.infer, err = p.compile(purpose{mode: inference, labels: notClassifier == nil}, spec.Batch, nil); err != nil {
		return nil, err
	}
	if spec.Training != nil && notClassifier == nil {
		if p.train, err = p.compile(purpose{mode: training, labels: true}, spec.Batch, nil); err != nil {
			return nil, err
		}
	}
	if dry {
		return p, nil
	}
	return p, p.allocate()
}

// layParams gives every parameter its place: the trainable ones first, one after another, so that one call updates all. Each
// begins at a multiple of 16 bytes, as cuDNN wants; what lies between stays zero, in the gradients too.
func (p *program) layParams() {
	if t := p.spec.Training; t != nil {
		p.slotNames = t.Optimizer.Slots()
	}
	depthwise := map[string]bool{}
	for _, node := range p.net.Nodes {
		if l, ok := node.Layer.(model.Conv2D); ok && l.DepthMultiplier != 0 {
			depthwise[node.Params[0].Name] = true
		}
	}
	all := p.net.Params()
	sort.SliceStable(all, func(i, j int) bool { return all[i].Trainable && !all[j].Trainable })
	for _, q := range all {
		r := &param{Param: q, prog: p, offset: p.values, depthwise: depthwise[q.Name]}
		p.values += (q.Size() + 3) / 4 * 4
		if q.Trainable {
			p.trainable = p.values
			r.slots = p.slotNames
		}
		p.params[q.Name] = r
	}
}

// regions are the program's buffers that no plan owns.
func (p *program) regions() []*buffer {
	p.weights.bytes = 4 * int64(p.values)
	list := []*buffer{p.weights}
	if p.spec.Training != nil || p.spec.Trace {
		p.grads.bytes = 4 * int64(p.trainable)
		list = append(list, p.grads)
	}
	for i, name := range p.slotNames {
		p.slots[i] = &buffer{name: name, bytes: 4 * int64(p.trainable)}
		list = append(list, p.slots[i])
	}
	if p.average != nil {
		p.average.bytes = 4 * int64(p.trainable)
		list = append(list, p.average)
	}
	return append(list, p.ringImages, p.ringLabels, p.results)
}

// plans are those for a whole batch.
func (p *program) plans() []*plan {
	list := []*plan{p.infer}
	if p.train != nil {
		list = append(list, p.train)
	}
	return list
}

// need is the memory that the program takes: what is fixed, and what its plans share.
func (p *program) need() (fixed, shared int64) {
	for _, b := range p.regions() {
		fixed += aligned(b.bytes)
	}
	for _, q := range p.plans() {
		fixed += q.fixedBytes()
		shared = max(shared, q.extent)
	}
	return fixed, shared
}

// allocate takes the memory of all plans: in one piece, or in the checking mode a piece for each buffer.
func (p *program) allocate() error {
	fixed, shared := p.need()
	regions := p.regions()
	var arena allocation
	if !p.d.options.Check {
		var err error
		if arena, err = p.reserve("", fixed+shared); err != nil {
			return err
		}
		p.memory = append(p.memory, arena)
	}
	at := arena.ptr
	put := func(b *buffer) error {
		if p.d.options.Check {
			a, err := p.take(b.name, b.bytes)
			b.ptr = a.ptr
			return err
		}
		b.ptr = at
		at += cu.DevicePtr(aligned(b.bytes))
		return nil
	}
	for _, b := range regions {
		if err := put(b); err != nil {
			return err
		}
	}
	for _, q := range p.plans() {
		for _, b := range q.buffers {
			if b.fixed {
				if err := put(b); err != nil {
					return err
				}
			}
		}
	}
	for _, q := range p.plans() {
		for _, b := range q.buffers {
			switch {
			case b.fixed || b.first < 0 || b.bytes == 0:
			case p.d.options.Check:
				if err := put(b); err != nil {
					return err
				}
			default:
				b.ptr = at + cu.DevicePtr(b.offset)
			}
		}
	}
	var err error
	if p.control, err = p.newControl(); err != nil {
		return err
	}
	for _, q := range p.plans() {
		if err := q.start(p); err != nil {
			return err
		}
	}
	return p.d.synchronize()
}

// take allocates memory that release gives back.
func (p *program) take(use string, bytes int64) (allocation, error) {
	a, err := p.d.allocate(use, bytes)
	if err == nil {
		p.memory = append(p.memory, a)
	}
	return a, err
}

// start fills the plan's constants and points it at the cursor.
func (q *plan) start(p *program) error {
	q.io.cursor, q.io.totals, q.io.progress = p.control.cursor(), p.control.totals(), kernels.Pointer(p.control.progress.device)
	for _, b := range q.buffers {
		if b.init != nil && b.ptr != 0 {
			if err := upload(p.d, b.ptr, b.init); err != nil {
				return err
			}
		}
	}
	return nil
}

// reserve takes memory: for the program itself, which use is empty for, or for something beside it. Where there is too little
// the error says what would fit.
func (p *program) reserve(use string, bytes int64) (allocation, error) {
	free, err := p.d.available()
	if err != nil {
		return allocation{}, err
	}
	if bytes > free {
		return allocation{}, p.tooLarge(use, bytes, free)
	}
	a, err := p.d.allocate(cmp.Or(use, "the program"), bytes)
	if errors.Is(err, device.ErrMemory) {
		err = fmt.Errorf("%w (%w)", p.tooLarge(use, bytes, free), err)
	}
	return a, err
}

// tooLarge says what is needed, what is free, and which batch would fit. What is there beside the program is counted as it is,
// whatever the batch.
func (p *program) tooLarge(use string, need, free int64) error {
	what := fmt.Sprintf("%s with a batch of %d", p.net.Name, p.spec.Batch)
	var beside int64
	if use != "" {
		fixed, shared := p.need()
		what = fmt.Sprintf("%s, beside %s,", use, what)
		beside, free = need, free+fixed+shared
	}
	fits := 0
	for low, high := 1, p.spec.Batch-1; low <= high; {
		batch := (low + high) / 2
		spec := p.spec
		spec.Batch = batch
		q, err := newProgram(p.d, p.net, spec, true)
		if err != nil {
			break
		}
		fixed, shared := q.need()
		if err := q.release(); err != nil {
			return err
		}
		if fixed+shared+beside <= free {
			fits, low = batch, batch+1
		} else {
			high = batch - 1
		}
	}
	advice := "no batch fits"
	if fits > 0 {
		advice = fmt.Sprintf("a batch of %d would fit", fits)
	}
	if use != "" {
		fixed, shared := p.need()
		free -= fixed + shared
	}
	return fmt.Errorf("%w on %s: %s needs %s, %s are free; %s", device.ErrMemory, p.d.info.Name, what, sizeText(need), sizeText(free), advice)
}

// partial is the plan for fewer samples than a batch.
func (p *program) partial(whole *plan, rows int) (*plan, error) {
	if rows == p.spec.Batch {
		return whole, nil
	}
	key := part{whole.purpose.mode, rows}
	if q := p.parts[key]; q != nil {
		return q, nil
	}
	q, err := p.compile(whole.purpose, rows, whole)
	if err != nil {
		return nil, err
	}
	if err := q.follow(whole); err != nil {
		return nil, errors.Join(err, q.destroy(p.d))
	}
	q.io = whole.io
	p.parts[key] = q
	return q, nil
}

// Close frees the program's memory.
func (p *program) Close() error {
	return p.mu.Close(func() error {
		p.shut()
		return p.d.thread.do(p.release)
	})
}

// release frees all that the program has, the last first.
func (p *program) release() error {
	var errs []error
	for r := range p.sets {
		errs = append(errs, r.release())
	}
	for _, q := range p.traces {
		errs = append(errs, q.destroy(p.d))
	}
	for _, q := range p.parts {
		errs = append(errs, q.destroy(p.d))
	}
	for _, q := range []*plan{p.train, p.infer} {
		if q != nil {
			errs = append(errs, q.destroy(p.d))
		}
	}
	for _, r := range p.rings {
		if r != nil {
			errs = append(errs, r.release(p.d))
		}
	}
	errs = append(errs, p.conveyor.release(p.d), p.epoch.release(p.d), p.control.release(p.d))
	for i := len(p.memory) - 1; i >= 0; i-- {
		errs = append(errs, p.d.free(&p.memory[i]))
	}
	p.memory, p.train, p.infer, p.parts, p.traces = nil, nil, nil, nil, nil
	return p.d.unlessLost(errors.Join(errs...))
}

// outline tells what the program is made of, and where sets would lie that are loaded in this order.
func (p *program) outline(sets []*data.Set) (device.Outline, error) {
	main := p.infer
	if p.train != nil {
		main = p.train
	}
	o := device.Outline{}
	for _, t := range main.tasks {
		o.Tasks = append(o.Tasks, t.Task)
	}
	fixed, shared := p.need()
	weights, slots, grads := aligned(p.weights.bytes), int64(0), aligned(p.grads.bytes)
	staging := aligned(p.ringImages.bytes) + aligned(p.ringLabels.bytes) + aligned(p.results.bytes)
	for _, s := range []*buffer{p.slots[0], p.slots[1], p.average} {
		if s != nil {
			slots += aligned(s.bytes)
		}
	}
	o.Memory = []device.Memory{
		{Use: "weights", Bytes: weights}, {Use: "optimizer", Bytes: slots}, {Use: "gradients", Bytes: grads},
		{Use: "activations", Bytes: shared}, {Use: "staging", Bytes: staging}, {Use: "workspace", Bytes: fixed - weights - slots - grads - staging},
	}
	if len(sets) == 0 {
		return o, nil
	}
	free, err := p.d.available()
	free -= fixed + shared
	taken := int64(0)
	for _, set := range sets {
		free -= p.epochBytes(set.Len())
		place := p.place(set, free, taken)
		if !place.Streamed {
			free, taken = free-place.Bytes, taken+place.Bytes
		}
		o.Sets = append(o.Sets, place)
	}
	return o, err
}
