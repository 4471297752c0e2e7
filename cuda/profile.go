//go:build cuda

package cuda

import (
	"errors"

	"gorgonia.org/cu"

	"gcnn/device"
)

// taskTime is the time that was spent in a task of the training plan.
type taskTime struct {
	calls int64
	ms    float64
}

// profiles reports whether a plan's calls are timed one by one, which a graph does not let.
func (p *program) profiles(q *plan) bool { return p.spec.Profile && q.purpose.mode == training }

// timed runs a step's calls between events.
func (p *program) timed(q *plan, s *source) (err error) {
	d := p.d
	q.aim(p, s)
	events := make([]cu.Event, 0, len(q.tasks)+1)
	defer func() {
		for i := range events {
			err = errors.Join(err, d.ok("cuEventDestroy", cu.DestroyEvent(&events[i])))
		}
	}()
	mark := func() error {
		e, err := cu.MakeEvent(cu.DefaultEvent)
		if err != nil {
			return d.ok("cuEventCreate", err)
		}
		events = append(events, e)
		return d.ok("cuEventRecord", e.Record(d.stream))
	}
	if err := mark(); err != nil {
		return err
	}
	for i := range q.tasks {
		if err := q.tasks[i].run(); err != nil {
			return err
		}
		if err := mark(); err != nil {
			return err
		}
	}
	if err := d.synchronize(); err != nil {
		return err
	}
	if p.profiled == nil {
		p.profiled = make([]taskTime, len(p.train.tasks))
	}
	for i := range q.tasks {
		ms, err := events[i].Elapsed(events[i+1])
		if err != nil {
			return d.ok("cuEventElapsedTime", err)
		}
		p.profiled[i].calls++
		p.profiled[i].ms += ms
	}
	return nil
}

// Profile is the time spent in each task of a training step.
func (p *program) Profile() []device.TaskTime {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.Closed || !p.spec.Profile || p.train == nil {
		return nil
	}
	times := make([]device.TaskTime, len(p.train.tasks))
	for i, t := range p.train.tasks {
		times[i].Task = t.Task
		if i < len(p.profiled) {
			times[i].Calls, times[i].Seconds = p.profiled[i].calls, p.profiled[i].ms/1000
		}
	}
	return times
}
