package cpu

import (
	"cmp"
	"context"
	"sync/atomic"

	"gorgonia.org/tensor"

	"gcnn/cpu/kernel"
	"gcnn/data"
	"gcnn/device"
	"gcnn/device/backend"
)

// Evaluate computes the loss, the accuracy and the probabilities of a labelled set.
func (p *program) Evaluate(ctx context.Context, r device.Resident) (device.Evaluation, error) {
	if err := p.mu.Enter(); err != nil {
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
	if err := p.mu.Enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	unlabelled, err := backend.Unlabelled(p.net, images)
	if err != nil {
		return nil, err
	}
	out, _, err := p.forward(ctx, unlabelled)
	return out, err
}

// forwardPlans are the forward-only plans. Those that a pass of Plan.Batch images takes are made by Compile, the others when a
// pass first needs them.
type forwardPlans struct {
	groups *plan // a group of 16 samples for each worker
	spread *plan // all workers on each group, for fewer groups than workers
	few    *plan // the channel mapping, for the last samples that fill no group
}

// split says how many groups of 16 samples a pass has, and how many samples are left for the channel mapping.
func (p *program) split(samples int) (groups, few int) {
	groups, few = samples/kernel.Lanes, samples%kernel.Lanes
	if few > 0 && !p.prefers(few) {
		return groups + 1, 0
	}
	return groups, few
}

// solo reports whether a pass of so many samples is not worth waking a second worker for.
func (p *program) solo(samples int) bool {
	return p.workers == 1 || int64(samples)*workOf(p.net) < soloGrains*p.grain
}

// prepare makes the plans that a pass of so many samples takes.
func (p *program) prepare(samples int) error {
	_, notClassifier := p.net.Classes()
	ensure := func(pl **plan, kind purpose) error {
		kind.mode, kind.labels = inference, notClassifier == nil
		if *pl != nil && (kind.few == 0 || (*pl).groups >= kind.few) {
			return nil
		}
		made, err := p.compile(kind)
		if err != nil {
			return err
		}
		if p.crew != nil { // Compile itself allocates when it has made everything
			if err := p.fits(4 * int64(made.words)); err != nil {
				return err
			}
			made.allocate(p.crew)
			for _, q := range p.params {
				q.renewAll(p.k) // new copies of the weights
			}
		}
		*pl = made
		return nil
	}
	groups, few := p.split(samples)
	var err error
	switch {
	case groups >= p.workers || groups > 0 && p.solo(samples):
		err = ensure(&p.passes.groups, purpose{})
	case groups > 0:
		err = ensure(&p.passes.spread, purpose{spread: true})
	}
	if err == nil && few > 0 {
		err = ensure(&p.passes.few, purpose{few: few, spread: !p.solo(kernel.Lanes)})
	}
	return err
}

// inferenceRun is a pass of a set through the forward-only plans while it runs.
type inferenceRun struct {
	ctx     context.Context
	program *program
	set     *data.Set
	size    int       // of a sample's output
	out     []float32 // [N, size]
	groups  int       // of 16 samples
	sums    []float64 // by group, the few samples after them last: of the losses
	correct []int64   // by group
	next    atomic.Int64
	round   uint64       // of the spread plan, before the call
	last    atomic.Int64 // how many groups are gone through, once that is settled; a late worker may read it after the next group
}

// forward computes the outputs of a set, and its loss where it is labelled. Groups of 16 images pass through the network one by
// one, each with one worker, and need not wait for each other; with fewer groups than workers, all workers share a group where it is
// worth waking them for. Samples that fill no group may come last, with channels in the lanes.
func (p *program) forward(ctx context.Context, set *data.Set) (*tensor.Dense, device.Metrics, error) {
	n, size := set.Len(), p.net.Output().Size()
	groups, few := p.split(n)
	r := &inferenceRun{
		ctx: ctx, program: p, set: set, size: size, out: make([]float32, n*size), groups: groups,
		sums: make([]float64, groups+1), correct: make([]int64, groups+1),
	}
	if ctx.Err() != nil {
		return nil, device.Metrics{}, context.Cause(ctx)
	}
	if p.stale {
		for _, q := range p.params {
			q.renewOthers(p.k)
		}
		p.stale = false
	}
	defer p.useAverage()()
	if err := p.prepare(n); err != nil {
		return nil, device.Metrics{}, err
	}
	switch solo := p.solo(n); {
	case groups > 0 && solo:
		p.passes.groups.begin()
		p.crew.alone(r.alone)
	case groups >= p.workers:
		p.passes.groups.begin()
		p.crew.run(r.alone)
	case groups > 0:
		p.passes.spread.begin()
		r.round = p.passes.spread.round
		r.last.Store(int64(groups))
		p.crew.run(r.together)
	}
	if done := int(r.next.Load()); done < groups {
		return nil, device.Metrics{}, cmp.Or(p.crew.fault(), context.Cause(ctx))
	}
	if few > 0 {
		r.few(few)
	}
	if err := p.crew.fault(); err != nil {
		return nil, device.Metrics{}, err
	}
	m := device.Metrics{Count: int64(n)}
	for g := range r.sums {
		m.LossSum += r.sums[g]
		m.Correct += r.correct[g]
	}
	return device.Rows(r.out, n, p.net.Output()), m, nil
}

// begin runs what a plan does before its first step.
func (p *plan) begin() {
	for _, f := range p.prologue {
		f()
	}
}

// few takes the last n samples through the network, with channels in the lanes.
func (r *inferenceRun) few(n int) {
	p := r.program
	pl := p.passes.few
	pl.begin()
	part := func(w *worker) {
		w.step.start(r.set, nil, 0, 0)
		w.step.part(r.groups*kernel.Lanes, n)
		w.step.groups = n // a sample is what a group is in the other mapping
	}
	if p.solo(n) {
		p.crew.alone(func(w *worker) {
			part(w)
			pl.solo(w)
		})
	} else {
		pl.round++
		p.crew.run(func(w *worker) {
			part(w)
			pl.run(w, pl.round, false, nil)
		})
	}
	if _, notClassifier := p.net.Classes(); notClassifier != nil {
		p.channelRows(r.out[r.groups*kernel.Lanes*r.size:], pl, n)
		return
	}
	r.collect(r.groups, pl.output.copy(0), &pl.losses[0], n)
}

// alone takes group after group through the network.
func (r *inferenceRun) alone(w *worker) {
	pl := r.program.passes.groups
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
	pl := p.passes.spread
	round := r.round
	w.step.start(r.set, nil, 0, 0)
	for g := range r.groups {
		n := min(kernel.Lanes, r.set.Len()-g*kernel.Lanes)
		w.step.part(g*kernel.Lanes, n)
		round++
		pl.run(w, round, false, nil)
		if w.id == 0 {
			r.collect(g, pl.output.copy(0), &pl.losses[0], n)
			pl.round = round
			r.next.Add(1)
			if r.ctx.Err() != nil {
				r.last.Store(int64(g + 1))
			}
		}
		p.crew.barrier.wait()
		if int64(g+1) >= r.last.Load() {
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
