package reference

import (
	"context"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/device"
	"gcnn/device/backend"
)

// Step is what one training step makes of a program's state, with radii.
type Step struct {
	Weights, Slots map[string]*Tensor
	Average        map[string]*Tensor // with EMA
	LossSum        Ball
	Correct, Open  int // samples surely classified correctly, and those where it depends on rounding

	hits int64
}

// StepBounds computes the training step from the program's state, which stays as it is, with some images of a set. seen are the
// slots that an implementation has after its step, nil where they are not known: the weights' radii are then those of the
// update alone as far as the slots tell (all of it but for RMSprop without momentum and SGD).
func (p *Program) StepBounds(set *data.Set, order []int32, rate float32, epoch int, seen map[string]*tensor.Dense) (*Step, error) {
	if err := p.mu.Enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	if err := device.CheckSet(p.net, set, true); err != nil {
		return nil, err
	}
	if p.plan.Training == nil {
		return nil, fmt.Errorf("the program was %w", device.ErrNoTraining)
	}
	if seen != nil {
		if err := (device.State{Weights: valuesOf(p.weights), Slots: seen}).Check(p.net, p.plan.Training); err != nil {
			return nil, err
		}
	}
	return p.trainStep(set, order, rate, epoch, seen), nil
}

func (p *Program) trainStep(set *data.Set, order []int32, rate float32, epoch int, seen map[string]*tensor.Dense) *Step {
	training := p.plan.Training
	labels := make([]uint16, len(order))
	for i, k := range order {
		labels[i] = set.Labels[k]
	}
	ps := p.newPass(false, p.step)
	output := ps.forward(p.augmented(set, order, epoch))
	o := p.loss(true).of(ps.logits(), labels)
	grads := ps.backward(o.dz, true).params
	if training.ClipNorm > 0 {
		grads = clip(grads, float64(training.ClipNorm))
	}
	s := &Step{
		Weights: map[string]*Tensor{}, Slots: map[string]*Tensor{}, Average: map[string]*Tensor{},
		LossSum: o.lossSum(), Correct: o.correct, Open: o.open, hits: countCorrect(output, labels),
	}
	change := update{rate: constant(device.Decimal(rate)), decay: constant(device.Decimal(training.WeightDecay)), step: p.step}
	updated := ps.updated()
	for _, param := range p.net.Params() {
		w := p.weights[param.Name]
		if !param.Trainable {
			if moved := updated[param.Name]; moved != nil {
				w = moved
			}
			s.Weights[param.Name] = w
			continue
		}
		change.seen = nil
		if seen != nil {
			change.seen = map[string]*Tensor{}
			for _, slot := range training.Optimizer.Slots() {
				change.seen[slot] = fromDense(seen[param.Name+"/"+slot])
			}
		}
		slots := map[string]*Tensor{}
		for _, slot := range training.Optimizer.Slots() {
			slots[slot] = p.slots[param.Name+"/"+slot]
		}
		w2, next := change.apply(training.Optimizer, w, grads[param.Name], slots)
		s.Weights[param.Name] = w2
		for slot, t := range next {
			s.Slots[param.Name+"/"+slot] = t
		}
		if average := p.average[param.Name]; average != nil {
			if training.EMA.Due(p.step) {
				average = averaged(average, w2, device.Decimal(training.EMA.Momentum))
			}
			s.Average[param.Name] = average
		}
	}
	return s
}

// Train runs the epoch's steps.
func (p *Program) Train(ctx context.Context, r device.Resident, epoch device.Epoch) (device.Metrics, error) {
	metrics := epoch.Start
	if err := p.mu.Enter(); err != nil {
		return metrics, err
	}
	defer p.mu.Unlock()
	set, err := p.labelled(r)
	if err != nil {
		return metrics, err
	}
	if err := backend.CheckTrain(ctx, p.net, p.plan, set.Len(), epoch); err != nil {
		return metrics, err
	}
	for k, rate := range epoch.Rates {
		if ctx.Err() != nil {
			return metrics, context.Cause(ctx)
		}
		order := epoch.Order[k*p.plan.Batch : min((k+1)*p.plan.Batch, len(epoch.Order))]
		s := p.trainStep(set, order, rate, epoch.Number, nil)
		p.take(s)
		metrics.LossSum += s.LossSum.V
		metrics.Correct += s.hits
		metrics.Count += int64(len(order))
		if loss := s.LossSum.V / float64(len(order)); math.IsNaN(loss) || math.IsInf(loss, 0) {
			return metrics, &device.NonFiniteError{Step: k + 1, Loss: loss}
		}
		if epoch.Progress != nil {
			epoch.Progress(device.Progress{Step: k + 1, Steps: len(epoch.Rates), Metrics: metrics})
		}
	}
	return metrics, nil
}

// take makes a step the program's state.
func (p *Program) take(s *Step) {
	p.step++
	for name, t := range s.Weights {
		p.weights[name] = t.settled(!p.device.options.Float64State)
	}
	for name, t := range s.Slots {
		p.slots[name] = t.settled(!p.device.options.Float64State)
	}
	for name, t := range s.Average {
		p.average[name] = t.settled(!p.device.options.Float64State)
	}
}
