//go:build cuda

package cuda

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// maxQueued is how many steps may be queued beyond those that are done: enough that the device never waits for the host, few
// enough that a cancelled training ends soon.
const maxQueued = 16

// pass replays a plan's graph for the samples of a feed, a batch a step, the last perhaps partial. The host queues steps ahead
// of the device and reads how far it is; on is called with what it finds, and ends the pass where it returns false. When the
// context ends, the steps that are queued are still done. The count is that of all steps done.
func (p *program) pass(ctx context.Context, whole *plan, f *feed, on func(count) bool) (count, error) {
	batch := p.spec.Batch
	steps := (f.n + batch - 1) / batch
	var rest *plan
	err := p.d.do(func() (err error) {
		if rest, err = p.partial(whole, f.n-(steps-1)*batch); err != nil {
			return err
		}
		if p.profiles(whole) {
			return nil
		}
		if steps > 1 {
			if _, err := whole.graph(p, f.source); err != nil {
				return err
			}
		}
		_, err = rest.graph(p, f.source)
		return err
	})
	if err == nil {
		err = f.open(p)
	}
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
		if f.moves() {
			if ended = p.d.do(f.advance); ended != nil {
				break
			}
		}
		if to := min(f.ready(), seen.steps+maxQueued); queued < to && queued-seen.steps <= maxQueued/2 {
			ended = p.d.do(func() error {
				for ; queued < to; queued++ {
					q := whole
					if queued == steps-1 {
						q = rest
					}
					err := f.before(queued)
					if err == nil {
						err = p.replay(q, f.source)
					}
					if err == nil {
						err = f.after(queued)
					}
					if err != nil {
						return fmt.Errorf("step %d of %d: %w", queued+1, steps, err)
					}
				}
				return nil
			})
			if ended != nil {
				break
			}
			continue
		}
		time.Sleep(20 * time.Microsecond)
		if time.Since(moved) > 20*time.Millisecond { // a device that failed counts no more
			moved = time.Now()
			ended = p.d.do(func() error {
				if s := statusOf(p.d.stream.Query()); s.code != codeNotReady {
					return p.d.check("cuStreamQuery", s)
				}
				return nil
			})
			if ended != nil {
				break
			}
		}
	}
	f.stop()
	if err := p.d.do(func() error { return errors.Join(p.d.synchronize(), f.finish()) }); err != nil {
		return p.control.read(), fmt.Errorf("after step %d of %d: %w", p.control.read().steps, steps, err)
	}
	return p.control.read(), ended
}

// replay queues one step.
func (p *program) replay(q *plan, s *source) error {
	if p.profiles(q) {
		return p.timed(q, s)
	}
	g, err := q.graph(p, s)
	if err != nil {
		return err
	}
	return p.d.check("cuGraphLaunch", g.launch(&p.d.stream), "nodes", g.nodes)
}
