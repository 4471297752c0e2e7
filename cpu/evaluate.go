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

// inferenceRun is a pass of a set through the forward-only plans while it runs.
type inferenceRun struct {
	ctx     context.Context
	program *program
	set     *data.Set
	size    int       // of a sample's output
	out     []float32 // [N, size]
	groups  int
	sums    []float64 // by group: of the losses
	correct []int64   // by group
	next    atomic.Int64
	stop    bool // written by worker 0 before a barrier
}

// forward computes the outputs of a set, and its loss where it is labelled. Groups of 16 images pass through the network one by
// one, each with one worker, and need not wait for each other; with fewer groups than workers, all workers share a group.
func (p *program) forward(ctx context.Context, set *data.Set) (*tensor.Dense, device.Metrics, error) {
	n, size := set.Len(), p.net.Output().Size()
	groups := (n + kernel.Lanes - 1) / kernel.Lanes
	r := &inferenceRun{
		ctx: ctx, program: p, set: set, size: size, out: make([]float32, n*size), groups: groups,
		sums: make([]float64, groups), correct: make([]int64, groups),
	}
	if ctx.Err() != nil {
		return nil, device.Metrics{}, context.Cause(ctx)
	}
	defer p.useAverage()()
	work, pl := r.alone, p.infer
	if groups < p.workers {
		work, pl = r.together, p.inferOne
	}
	for _, f := range pl.prologue {
		f()
	}
	p.crew.run(work)
	if done := int(r.next.Load()); done < groups {
		return nil, device.Metrics{}, context.Cause(ctx)
	}
	m := device.Metrics{Count: int64(n)}
	for g := range groups {
		m.LossSum += r.sums[g]
		m.Correct += r.correct[g]
	}
	shape := append([]int{n}, p.net.Output()...)
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(r.out)), m, nil
}

// alone takes group after group through the network.
func (r *inferenceRun) alone(w *worker) {
	pl := r.program.infer
	w.step.start(r.set, nil, 0, 0)
	for r.ctx.Err() == nil {
		g := int(r.next.Add(1)) - 1
		if g >= r.groups {
			return
		}
		for i := range pl.phases[0].chain {
			t := &pl.phases[0].chain[i]
			t.chunk(w, g, 0, t.chunks)
		}
		r.collect(g, pl.output.at(w, 0), &w.scores, w.step.lanes(g))
	}
}

// together takes the groups through the network with all workers on each.
func (r *inferenceRun) together(w *worker) {
	p := r.program
	round := p.inferOne.round
	w.step.start(r.set, nil, 0, 0)
	for g := range r.groups {
		n := min(kernel.Lanes, r.set.Len()-g*kernel.Lanes)
		w.step.part(g*kernel.Lanes, n)
		round++
		p.inferOne.run(w, p.crew.barrier, round, false, nil)
		if w.id == 0 {
			r.collect(g, p.inferOne.output.copy(0), &p.inferOne.losses[0], n)
			p.inferOne.round = round
			r.next.Add(1)
			r.stop = r.ctx.Err() != nil
		}
		p.crew.barrier.wait()
		if r.stop {
			return
		}
	}
}

// collect takes over what the network made of group g.
func (r *inferenceRun) collect(g int, output []float32, scores *kernel.Scores, lanes int) {
	r.program.toRows(r.out[g*kernel.Lanes*r.size:], output, r.size, lanes)
	if r.set.Labels == nil {
		return
	}
	for l := range lanes {
		r.sums[g] += scores.Loss[l]
		if scores.Correct[l] {
			r.correct[g]++
		}
	}
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
