//go:build cuda

package cuda

import (
	"context"
	"fmt"
	"math"
	"time"

	"gcnn/device"
)

// progressInterval is the least time between two reports.
const progressInterval = 50 * time.Millisecond

// maxQueued is how many steps may be queued beyond those that are done: enough that the device never waits for the host, few
// enough that a cancelled training ends soon.
const maxQueued = 16

// Train runs the epoch's steps.
func (p *program) Train(ctx context.Context, set device.Resident, epoch device.Epoch) (device.Metrics, error) {
	if err := p.lock(); err != nil {
		return epoch.Start, err
	}
	defer p.mu.Unlock()
	if p.spec.Training == nil {
		return epoch.Start, fmt.Errorf("the program was %w", device.ErrNoTraining)
	}
	r, err := p.labelled(set)
	if err != nil {
		return epoch.Start, err
	}
	if err := epoch.Check(p.spec.Batch, r.n); err != nil {
		return epoch.Start, err
	}
	if p.train == nil {
		return epoch.Start, fmt.Errorf("%w: a traced network that is no classifier has no loss to train on", device.ErrArgument)
	}
	if ctx.Err() != nil {
		return epoch.Start, context.Cause(ctx)
	}
	steps := len(epoch.Rates)
	if steps == 0 {
		return epoch.Start, nil
	}
	if err := p.d.do(func() error { return p.begin(r, &epoch) }); err != nil {
		return epoch.Start, err
	}
	sum := func(m device.Metrics) device.Metrics {
		return device.Metrics{LossSum: epoch.Start.LossSum + m.LossSum, Correct: epoch.Start.Correct + m.Correct, Count: epoch.Start.Count + m.Count}
	}
	last := time.Now()
	done, err := p.pass(ctx, p.train, r, len(epoch.Order), func(c count) bool {
		if epoch.Progress != nil && c.steps < steps && time.Since(last) >= progressInterval {
			last = time.Now()
			epoch.Progress(device.Progress{Step: c.steps, Steps: steps, Metrics: sum(c.metrics)})
		}
		return finite(c.metrics.LossSum)
	})
	p.step += int64(done.steps)
	m := sum(done.metrics)
	if err == nil && !finite(done.metrics.LossSum) {
		err = &device.NonFiniteError{Step: done.steps, Loss: done.metrics.LossSum}
	}
	if epoch.Progress != nil {
		epoch.Progress(device.Progress{Step: done.steps, Steps: steps, Metrics: m})
	}
	return m, err
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// pass replays a plan's graph for n samples of a set, a batch a step, the last perhaps partial. The host queues steps ahead of
// the device and reads how far it is; on is called with what it finds, and ends the pass where it returns false. When the
// context ends, the steps that are queued are still done. The count is that of all steps done.
func (p *program) pass(ctx context.Context, whole *plan, r *resident, n int, on func(count) bool) (count, error) {
	batch := p.spec.Batch
	steps := (n + batch - 1) / batch
	var rest *plan
	err := p.d.do(func() (err error) {
		if rest, err = p.partial(whole, n-(steps-1)*batch); err != nil {
			return err
		}
		if p.profiles(whole) {
			return nil
		}
		if steps > 1 {
			if _, err := whole.graph(p, r); err != nil {
				return err
			}
		}
		_, err = rest.graph(p, r)
		return err
	})
	if err != nil {
		return count{}, err
	}
	queued, ended := 0, error(nil)
	moved := time.Now() // when the count was last seen to rise
	for seen := (count{}); ; {
		if now := p.control.read(); now.steps > seen.steps {
			seen, moved = now, time.Now()
		}
		if !on(seen) || seen.steps == steps {
			break
		}
		if queued < steps && ctx.Err() != nil {
			ended = context.Cause(ctx)
			break
		}
		if queued < steps && queued-seen.steps <= maxQueued/2 {
			to := min(steps, seen.steps+maxQueued)
			err := p.d.do(func() error {
				for ; queued < to; queued++ {
					q := whole
					if queued == steps-1 {
						q = rest
					}
					if err := p.replay(q, r); err != nil {
						return fmt.Errorf("step %d of %d: %w", queued+1, steps, err)
					}
				}
				return nil
			})
			if err != nil {
				ended = err
				break
			}
			continue
		}
		time.Sleep(20 * time.Microsecond)
		if time.Since(moved) > 20*time.Millisecond { // a device that failed counts no more
			moved = time.Now()
			err := p.d.do(func() error {
				if s := statusOf(p.d.stream.Query()); s.code != codeNotReady {
					return p.d.check("cuStreamQuery", s)
				}
				return nil
			})
			if err != nil {
				ended = err
				break
			}
		}
	}
	if err := p.d.do(p.d.synchronize); err != nil {
		return p.control.read(), fmt.Errorf("after step %d of %d: %w", p.control.read().steps, steps, err)
	}
	return p.control.read(), ended
}

// replay queues one step.
func (p *program) replay(q *plan, r *resident) error {
	if p.profiles(q) {
		return p.timed(q, r)
	}
	g, err := q.graph(p, r)
	if err != nil {
		return err
	}
	return p.d.check("cuGraphLaunch", g.launch(&p.d.stream), "nodes", g.nodes)
}
