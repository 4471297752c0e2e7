package cpu

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"gcnn/cpu/kernel"
	"gcnn/data"
	"gcnn/device"
	"gcnn/device/backend"
)

// progressInterval is the least time between two reports.
const progressInterval = 50 * time.Millisecond

// epochRun is a Train call while it runs. Whoever ends a step writes; the end of the step's last phase orders that before the next.
type epochRun struct {
	ctx     context.Context
	program *program
	set     *data.Set
	epoch   *device.Epoch
	base    kernel.Update // what does not change from step to step
	first   int64         // State.Step before the call
	round   uint64        // of the plan's claims, before the call

	metrics  device.Metrics
	done     int // steps
	err      error
	stop     atomic.Bool
	reported time.Time
}

// Train runs the epoch's steps.
func (p *program) Train(ctx context.Context, r device.Resident, epoch device.Epoch) (device.Metrics, error) {
	if err := p.mu.Enter(); err != nil {
		return epoch.Start, err
	}
	defer p.mu.Unlock()
	set, err := p.labelled(r)
	if err != nil {
		return epoch.Start, err
	}
	if err := backend.CheckTrain(ctx, p.net, p.spec, set.Len(), epoch); err != nil {
		return epoch.Start, err
	}
	if len(epoch.Rates) == 0 {
		return epoch.Start, nil
	}
	run := &epochRun{
		ctx: ctx, program: p, set: set, epoch: &epoch, base: rule(p.spec.Training.Optimizer), first: p.step, round: p.train.round,
		metrics: epoch.Start, reported: time.Now(),
	}
	for _, f := range p.train.prologue {
		f()
	}
	p.stale = true
	p.crew.run(run.work)
	p.step += int64(run.done)
	p.train.round += uint64(run.done)
	if epoch.Progress != nil {
		epoch.Progress(device.Progress{Step: run.done, Steps: len(epoch.Rates), Metrics: run.metrics})
	}
	return run.metrics, run.err
}

// work takes a worker through all steps.
func (r *epochRun) work(w *worker) {
	p := r.program
	batch := p.spec.Batch
	defer pin(w.id, p.workers)()
	defer askShortSlices()()
	w.step.start(r.set, r.epoch.Order, r.first, r.epoch.Number)
	for k := range r.epoch.Rates {
		number := r.first + int64(k)
		w.step.number = number
		w.step.part(k*batch, min(batch, len(r.epoch.Order)-k*batch))
		w.step.update = stepUpdate(r.base, p.spec.Training, r.epoch.Rates[k], number)
		p.train.run(w, r.round+uint64(k)+1, p.spec.Profile, r)
		if r.stop.Load() {
			return
		}
	}
}

// stepDone is called in the last phase of a step, when the losses are known: by worker 0, unless that is late.
func (r *epochRun) stepDone(w *worker) {
	sum := 0.0
	for g := range w.step.groups {
		s := &r.program.train.losses[g]
		for l := range w.step.lanes(g) {
			sum += s.Loss[l]
			if s.Correct[l] {
				r.metrics.Correct++
			}
		}
	}
	r.done++
	r.metrics.LossSum += sum
	r.metrics.Count += int64(w.step.n)
	if r.err = r.program.crew.fault(); r.err != nil {
		r.stop.Store(true)
		return
	}
	if loss := sum / float64(w.step.n); math.IsNaN(loss) || math.IsInf(loss, 0) {
		r.err = &device.NonFiniteError{Step: r.done, Loss: loss}
		r.stop.Store(true)
		return
	}
	if r.done < len(r.epoch.Rates) && r.ctx.Err() != nil {
		r.err = context.Cause(r.ctx)
		r.stop.Store(true)
		return
	}
	if r.epoch.Progress == nil || r.done == len(r.epoch.Rates) || w.id != 0 { // the caller hears from its own goroutine
		return
	}
	if now := time.Now(); now.Sub(r.reported) >= progressInterval {
		r.reported = now
		w.flush.Restore() // the caller's code computes as ever
		r.epoch.Progress(device.Progress{Step: r.done, Steps: len(r.epoch.Rates), Metrics: r.metrics})
		w.flush = kernel.FlushSubnormals()
	}
}
