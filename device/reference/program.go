package reference

import (
	"context"
	"fmt"
	"maps"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/device"
	"gcnn/device/backend"
	"gcnn/model"
)

// Program is a network on the reference. It is made by Device.Program.
type Program struct {
	device *Device
	net    *model.Network
	plan   device.Plan

	mu      backend.Mutex
	step    int64
	weights map[string]*Tensor
	slots   map[string]*Tensor // by parameter and slot: "conv2d/kernel/velocity"
	average map[string]*Tensor // with EMA, of trainable parameters
}

// Close makes later calls fail.
func (p *Program) Close() error {
	return p.mu.Close(func() error {
		p.weights, p.slots, p.average = nil, nil, nil
		return nil
	})
}

// Profile is empty.
func (p *Program) Profile() []device.TaskTime { return nil }

func (p *Program) optimizer() device.Optimizer {
	if p.plan.Training == nil {
		return nil
	}
	return p.plan.Training.Optimizer
}

func (p *Program) zeroSlots() map[string]*Tensor {
	slots := map[string]*Tensor{}
	opt := p.optimizer()
	if opt == nil {
		return slots
	}
	for _, param := range p.net.Params() {
		if param.Trainable {
			for _, name := range opt.Slots() {
				slots[param.Name+"/"+name] = newTensor(param.Shape...)
			}
		}
	}
	return slots
}

// State rounds what was learnt to float32.
func (p *Program) State() (device.State, error) {
	if err := p.mu.Enter(); err != nil {
		return device.State{}, err
	}
	defer p.mu.Unlock()
	s := device.State{Step: p.step, Weights: valuesOf(p.weights), Slots: valuesOf(p.slots)}
	if p.average != nil {
		s.Average = valuesOf(p.average)
	}
	return s, nil
}

// View has no memory in float32 to lend.
func (p *Program) View(read func(device.State) error) error {
	s, err := p.State()
	if err != nil {
		return err
	}
	return read(s)
}

// averageOfWeights is an average as it begins: the trainable weights. It is nil without EMA.
func (p *Program) averageOfWeights() map[string]*Tensor {
	if t := p.plan.Training; t == nil || t.EMA.Momentum == 0 {
		return nil
	}
	average := map[string]*Tensor{}
	for _, param := range p.net.Params() {
		if param.Trainable {
			average[param.Name] = p.weights[param.Name]
		}
	}
	return average
}

// SetState replaces what was learnt.
func (p *Program) SetState(s device.State) error {
	if err := p.mu.Enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := s.Check(p.net, p.plan.Training); err != nil {
		return err
	}
	p.step = s.Step
	p.weights = exactOf(s.Weights)
	p.slots = p.zeroSlots()
	if s.Slots != nil && p.optimizer() != nil {
		p.slots = exactOf(s.Slots)
	}
	if p.average = p.averageOfWeights(); p.average != nil && s.Average != nil {
		p.average = exactOf(s.Average)
	}
	return nil
}

// resident is a set that was loaded by a program of the reference.
type resident struct {
	program *Program
	set     *data.Set
	closed  bool
}

func (r *resident) Len() int { return r.set.Len() }

func (r *resident) Placement() device.Placement {
	return device.Placement{Set: r.set.Name, Bytes: r.set.Bytes(), Streamed: true}
}

func (r *resident) Close() error {
	r.closed = true
	return nil
}

// Load keeps the set, which must not change from then on.
func (p *Program) Load(set *data.Set) (device.Resident, error) {
	if err := p.mu.Enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	if err := device.CheckSet(p.net, set, false); err != nil {
		return nil, err
	}
	return &resident{program: p, set: set}, nil
}

// labelled is the set behind a resident, checked for training and evaluation.
func (p *Program) labelled(r device.Resident) (*data.Set, error) {
	own, ok := r.(*resident)
	if !ok || own.program != p {
		return nil, fmt.Errorf("%w: the set was not loaded by this program", device.ErrArgument)
	}
	if own.closed {
		return nil, fmt.Errorf("the set is %w", device.ErrClosed)
	}
	return own.set, device.CheckSet(p.net, own.set, true)
}

// gather makes the batch of some images of a set.
func (p *Program) gather(set *data.Set, order []int32) *Tensor {
	size := set.ImageSize()
	x := newTensor(len(order), set.Height, set.Width, set.Channels)
	norm := p.plan.Normalization
	tables := make([][256]float32, set.Channels)
	for c := range tables {
		tables[c] = norm.Table(c)
	}
	for s, k := range order {
		for i := range size {
			c := i % set.Channels
			var v float32
			if set.Floats != nil {
				v = set.FloatImage(int(k))[i]
				if len(norm.Mean) > 0 {
					v = (v - norm.Mean[c]) / norm.Std[c]
				}
			} else {
				v = tables[c][set.Image(int(k))[i]]
			}
			x.Elems[s*size+i] = given(v)
		}
	}
	return x
}

// Batch makes the network's input of some images of a set, normalised: [n, h, w, c] as TraceInput.X takes it.
func (p *Program) Batch(set *data.Set, order []int32) (*tensor.Dense, error) {
	if err := device.CheckSet(p.net, set, false); err != nil {
		return nil, err
	}
	for _, k := range order {
		if k < 0 || int(k) >= set.Len() {
			return nil, fmt.Errorf("%w: image %d of %d", device.ErrArgument, k, set.Len())
		}
	}
	return p.gather(set, order).Values(), nil
}

// Weights are the parameters and moving statistics in float64, which State rounds.
func (p *Program) Weights() (map[string]*Tensor, error) {
	if err := p.mu.Enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	return maps.Clone(p.weights), nil
}

// newPass is a pass over the program's weights.
func (p *Program) newPass(infer bool, step int64) *pass { return p.passOver(p.weights, infer, step) }

func (p *Program) passOver(weights map[string]*Tensor, infer bool, step int64) *pass {
	ps := &pass{net: p.net, weights: weights, infer: infer, exact: p.plan.Exact, step: step}
	if p.plan.Training != nil {
		ps.seed = p.plan.Training.Seed
	}
	return ps
}

// loss is the training loss, or that of Evaluate, which has no class weights.
func (p *Program) loss(training bool) crossEntropy {
	var c crossEntropy
	if t := p.plan.Training; t != nil {
		c.smoothing = device.Decimal(t.LabelSmoothing)
		if training && t.ClassWeights != nil {
			for _, w := range t.ClassWeights {
				c.classWeights = append(c.classWeights, float64(w))
			}
		}
	}
	return c
}

// Prediction is what Evaluate and Predict compute, with radii.
type Prediction struct {
	Outputs       *Tensor // [n, output…]
	LossSum       Ball
	Correct, Open int // samples surely classified correctly, and those where it depends on rounding
}

// PredictBounds runs images in inference mode, with the loss where they are labelled.
func (p *Program) PredictBounds(ctx context.Context, set *data.Set) (Prediction, error) {
	if err := p.mu.Enter(); err != nil {
		return Prediction{}, err
	}
	defer p.mu.Unlock()
	if err := device.CheckSet(p.net, set, set.Labels != nil); err != nil {
		return Prediction{}, err
	}
	return p.predict(ctx, set)
}

func (p *Program) predict(ctx context.Context, set *data.Set) (Prediction, error) {
	n := set.Len()
	weights := maps.Clone(p.weights)
	maps.Copy(weights, p.average)
	out := Prediction{Outputs: batchOf(n, p.net.Output())}
	var losses sum
	for lo := 0; lo < n; lo += p.plan.Batch {
		if ctx.Err() != nil {
			return Prediction{}, context.Cause(ctx)
		}
		hi := min(lo+p.plan.Batch, n)
		var order []int32
		for k := lo; k < hi; k++ {
			order = append(order, int32(k))
		}
		ps := p.passOver(weights, true, 0)
		y := ps.forward(p.gather(set, order))
		copy(out.Outputs.Elems[lo*p.net.Output().Size():], y.Elems)
		if set.Labels == nil {
			continue
		}
		o := p.loss(false).of(ps.logits(), set.Labels[lo:hi])
		for _, l := range o.losses {
			losses.add(l)
		}
		out.Correct += o.correct
		out.Open += o.open
	}
	out.LossSum = losses.ball()
	return out, nil
}

// Predict computes the network's output for images in inference mode.
func (p *Program) Predict(ctx context.Context, images *data.Set) (*tensor.Dense, error) {
	if err := p.mu.Enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	unlabelled, err := backend.Unlabelled(p.net, images)
	if err != nil {
		return nil, err
	}
	out, err := p.predict(ctx, unlabelled)
	if err != nil {
		return nil, err
	}
	return out.Outputs.Values(), nil
}

// Evaluate computes the loss, the accuracy and the probabilities of a labelled set in inference mode.
func (p *Program) Evaluate(ctx context.Context, r device.Resident) (device.Evaluation, error) {
	if err := p.mu.Enter(); err != nil {
		return device.Evaluation{}, err
	}
	defer p.mu.Unlock()
	set, err := p.labelled(r)
	if err != nil {
		return device.Evaluation{}, err
	}
	out, err := p.predict(ctx, set)
	if err != nil {
		return device.Evaluation{}, err
	}
	return device.Evaluation{
		Metrics: device.Metrics{
			LossSum: out.LossSum.V, Correct: countCorrect(out.Outputs, set.Labels), Count: int64(set.Len()),
		},
		Probabilities: out.Outputs.Values(),
	}, nil
}

// countCorrect counts the rows whose first largest element is their label's.
func countCorrect(p *Tensor, labels []uint16) int64 {
	k := p.Shape[1]
	var correct int64
	for s, label := range labels {
		best := 0
		for j := range k {
			if p.Elems[s*k+j].V > p.Elems[s*k+best].V {
				best = j
			}
		}
		if best == int(label) {
			correct++
		}
	}
	return correct
}
