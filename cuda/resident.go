//go:build cuda

package cuda

import (
	"errors"
	"fmt"

	"gcnn/data"
	"gcnn/device"
	"gcnn/kernels"
)

// resident is a set that lies on the device.
type resident struct {
	program  *program
	n        int
	height   int
	width    int
	floats   bool
	unusable error // why it cannot be trained on or evaluated
	closed   bool  // guarded by the program's mu

	images, labels allocation
	result         allocation // what is computed for the images, taken when it is first asked for
}

// Len is the number of images.
func (r *resident) Len() int { return r.n }

// Close frees the set's memory. It waits for what the program does.
func (r *resident) Close() error {
	r.program.mu.Lock()
	defer r.program.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if r.program.closed {
		return nil // the program has freed it
	}
	return r.program.d.thread.do(func() error {
		delete(r.program.sets, r)
		return r.program.d.unlessLost(r.release())
	})
}

// release frees the memory and the graphs that read it.
func (r *resident) release() error {
	p := r.program
	var errs []error
	for _, q := range p.allPlans() {
		if g, ok := q.graphs[r]; ok {
			errs = append(errs, p.d.check("cuGraphExecDestroy", g.destroy()))
			delete(q.graphs, r)
		}
	}
	errs = append(errs, p.d.free(&r.result), p.d.free(&r.labels), p.d.free(&r.images))
	return errors.Join(errs...)
}

// allPlans are the plans that have graphs.
func (p *program) allPlans() []*plan {
	var list []*plan
	for _, q := range []*plan{p.train, p.infer} {
		if q != nil {
			list = append(list, q)
		}
	}
	for _, q := range p.parts {
		list = append(list, q)
	}
	return list
}

// Load copies a set to the device.
func (p *program) Load(set *data.Set) (device.Resident, error) {
	if err := p.lock(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	if set == nil {
		return nil, fmt.Errorf("%w: no set", device.ErrArgument)
	}
	if err := device.CheckSet(p.net, set, false); err != nil {
		return nil, err
	}
	var r *resident
	err := p.d.do(func() (err error) {
		if r, err = p.reserve(set.Len(), set.Floats != nil, true, set.Name); err != nil {
			return err
		}
		r.height, r.width, r.unusable = set.Height, set.Width, device.CheckSet(p.net, set, true)
		if err := r.fill(set, 0, set.Len()); err != nil {
			return errors.Join(err, r.release())
		}
		p.sets[r] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// reserve takes memory for n images, and for their labels.
func (p *program) reserve(n int, floats, labelled bool, name string) (*resident, error) {
	r := &resident{program: p, n: n, floats: floats}
	size := int64(p.net.Input.Size())
	if floats {
		size *= 4
	}
	var err error
	if r.images, err = p.d.allocate(fmt.Sprintf("the %d images of %s", n, name), int64(n)*size); err == nil && labelled {
		r.labels, err = p.d.allocate("labels", 2*int64(n))
	}
	if err != nil {
		return nil, errors.Join(err, r.release())
	}
	return r, nil
}

// fill copies images from..to of a set, and their labels, to the start of the resident.
func (r *resident) fill(set *data.Set, from, to int) error {
	d, size := r.program.d, set.ImageSize()
	if r.labels.ptr != 0 && set.Labels != nil {
		if err := upload(d, r.labels.ptr, set.Labels[from:to]); err != nil {
			return err
		}
	}
	if r.floats {
		return upload(d, r.images.ptr, set.Floats[from*size:to*size])
	}
	return upload(d, r.images.ptr, set.Pixels[from*size:to*size])
}

// labelled is a resident of this program, checked for training and evaluation.
func (p *program) labelled(r device.Resident) (*resident, error) {
	own, ok := r.(*resident)
	if !ok || own.program != p {
		return nil, fmt.Errorf("%w: the set was not loaded by this program", device.ErrArgument)
	}
	if own.closed {
		return nil, fmt.Errorf("the set is %w", device.ErrClosed)
	}
	return own, own.unusable
}

// aim points a plan at a set.
func (q *plan) aim(r *resident) {
	q.io.images, q.io.labels, q.io.result, q.io.floats = kernels.Pointer(r.images.ptr), kernels.Pointer(r.labels.ptr), kernels.Pointer(r.result.ptr), r.floats
}

// warmUp makes a plan's calls once, outside of a capture: the driver loads kernels, and cuDNN and cuBLAS make what they need, at
// a first call, which capture may not allow. The pass is marked as stopped, so that nothing is learnt or counted.
func (q *plan) warmUp(p *program) error {
	if err := upload(p.d, p.control.memory.ptr, []uint64{0, uint64(p.step), 1}); err != nil {
		return err
	}
	if err := errors.Join(q.run(), p.d.synchronize()); err != nil {
		return err
	}
	q.warm = true
	return p.control.reset(p.d, p.step)
}

// graph captures a plan over a set, or finds the graph that was captured before.
func (q *plan) graph(p *program, r *resident) (graph, error) {
	d := p.d
	if g, ok := q.graphs[r]; ok {
		return g, nil
	}
	q.aim(r)
	if !q.warm {
		if err := q.warmUp(p); err != nil {
			return graph{}, err
		}
	}
	if err := d.check("cuStreamBeginCapture", beginCapture(&d.stream)); err != nil {
		return graph{}, err
	}
	err := q.run()
	g, call, s := endCapture(&d.stream)
	if err != nil {
		if s.code == 0 {
			err = errors.Join(err, d.check("cuGraphExecDestroy", g.destroy()))
		}
		return graph{}, err
	}
	if err := d.check(call, s, "calls", len(q.tasks)); err != nil {
		return graph{}, err
	}
	q.graphs[r] = g
	return g, nil
}
