package cpu

import (
	"context"
	"fmt"
	"sync/atomic"

	"gorgonia.org/tensor"

	"gcnn/cpu/kernel"
	"gcnn/data"
	"gcnn/device"
)

// Evaluate computes the loss, the accuracy and the probabilities of a labelled set.
func (p *program) Evaluate(ctx context.Context, r device.Resident) (device.Evaluation, error) {
	if err := p.lock(); err != nil {
		return device.Evaluation{}, err
	}
	defer p.mu.Unlock()
	set, err := p.labelled(r)
	if err != nil {
		return device.Evaluation{}, err
	}
	out, metrics, err := p.forward(ctx, set)
	if err != nil {
		return device.Evaluation{}, err
	}
	return device.Evaluation{Metrics: metrics, Probabilities: out}, nil
}

// Predict computes the network's output for images.
func (p *program) Predict(ctx context.Context, images *data.Set) (*tensor.Dense, error) {
	if err := p.lock(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	if images == nil {
		return nil, fmt.Errorf("%w: no images", device.ErrArgument)
	}
	if err := device.CheckSet(p.net, images, false); err != nil {
		return nil, err
	}
	unlabelled := *images
	unlabelled.Labels = nil
	out, _, err := p.forward(ctx, &unlabelled)
	return out, err
}

// forward runs the forward-only plan over a set. Groups of 16 images pass through the network one by one, each with one
// worker, and need not wait for each other.
func (p *program) forward(ctx context.Context, set *data.Set) (*tensor.Dense, device.Metrics, error) {
	n, size := set.Len(), p.net.Output().Size()
	out := make([]float32, n*size)
	groups := (n + kernel.Lanes - 1) / kernel.Lanes
	sums, correct := make([]float64, groups), make([]int64, groups)
	var next atomic.Int64
	for _, f := range p.infer.prologue {
		f()
	}
	chain := p.infer.phases[0].chain
	p.crew.run(func(w *worker) {
		w.step.start(set, nil, 0, 0)
		for ctx.Err() == nil {
			g := int(next.Add(1)) - 1
			if g >= groups {
				return
			}
			for i := range chain {
				chain[i].run(w, g)
			}
			lanes := w.step.lanes(g)
			p.toRows(out[g*kernel.Lanes*size:], p.infer.output.at(w, 0), size, lanes)
			if set.Labels == nil {
				continue
			}
			for l := range lanes {
				sums[g] += w.scores.Loss[l]
				if w.scores.Correct[l] {
					correct[g]++
				}
			}
		}
	})
	if ctx.Err() != nil && int(next.Load()) < groups+p.workers {
		return nil, device.Metrics{}, context.Cause(ctx)
	}
	m := device.Metrics{Count: int64(n)}
	for g := range groups {
		m.LossSum += sums[g]
		m.Correct += correct[g]
	}
	shape := append([]int{n}, p.net.Output()...)
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(out)), m, nil
}

// toRows writes the first lanes samples of a group as rows of size elements.
func (p *program) toRows(dst, src []float32, size, lanes int) {
	if lanes == kernel.Lanes {
		p.k.ToSamples(dst, src, size, size, 1)
		return
	}
	for l := range lanes {
		row := dst[l*size:][:size]
		for i := range row {
			row[i] = src[i*kernel.Lanes+l]
		}
	}
}
