//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"math"

	"gcnn/data"
	"gcnn/device"
	"gcnn/kernels"
)

// source is where a plan's calls find the samples of their step: a set that lies on the device, or a ring that sets pass through.
// Each has a graph of its own, which knows the addresses.
type source struct {
	images, labels kernels.Pointer
	floats         bool
	ring           int // samples after which places begin again; 0: a set that lies there whole, indexed by the epoch's order
}

// resident is a set that was loaded: it lies on the device, or in host memory, from where it passes through a ring.
type resident struct {
	program  *program
	n        int
	height   int
	width    int
	place    device.Placement
	unusable error // why it cannot be trained on or evaluated
	closed   bool  // guarded by the program's mu

	source         *source
	images, labels allocation // of a set on the device
	set            *data.Set  // of a set that is streamed
	ring           *ring
}

// Len is the number of images.
func (r *resident) Len() int { return r.n }

// Placement says where the set is.
func (r *resident) Placement() device.Placement { return r.place }

// Close frees the set's memory. It waits for what the program does.
func (r *resident) Close() error {
	r.program.mu.Lock()
	defer r.program.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if r.program.mu.Closed {
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
	r.set = nil
	if r.place.Streamed {
		return nil // the ring is the program's
	}
	var errs []error
	for _, q := range p.allPlans() {
		if g, ok := q.graphs[r.source]; ok {
			errs = append(errs, p.d.check("cuGraphExecDestroy", g.destroy()))
			delete(q.graphs, r.source)
		}
	}
	errs = append(errs, p.d.free(&r.labels), p.d.free(&r.images))
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

// Load copies a set to the device where it fits, and else makes it ready to be streamed.
func (p *program) Load(set *data.Set) (device.Resident, error) {
	if err := p.mu.Enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	if err := device.CheckSet(p.net, set, false); err != nil {
		return nil, err
	}
	r := &resident{program: p, n: set.Len(), height: set.Height, width: set.Width, unusable: device.CheckSet(p.net, set, true)}
	err := p.d.do(func() (err error) {
		if err := p.epoch.reserve(p, r.n); err != nil {
			return err
		}
		free, err := p.d.available()
		if err != nil {
			return err
		}
		if r.place = p.place(set, free, p.resident()); r.place.Streamed {
			r.set = set
			r.ring, err = p.ringOf(set)
			if err == nil {
				r.source = &r.ring.source
			}
		} else {
			err = r.copy(set)
		}
		if err != nil {
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

// resident is what sets take of the device's memory.
func (p *program) resident() (bytes int64) {
	for r := range p.sets {
		if !r.place.Streamed {
			bytes += r.place.Bytes
		}
	}
	return bytes
}

// spare is what is left free beside sets: the driver and the libraries take memory of their own when calls are first made.
const spare = 256 << 20

// place decides whether a set will lie on the device, of whose memory so much is free and so much is taken by sets.
func (p *program) place(set *data.Set, free, taken int64) device.Placement {
	bytes := set.Bytes()
	room := free - min(spare, free/8)
	if limit := p.d.options.SetMemory; limit > 0 {
		room = min(room, limit-taken)
	}
	return device.Placement{Set: set.Name, Bytes: bytes, Streamed: aligned(bytes)+alignment > room}
}

// copy takes device memory for a set and fills it.
func (r *resident) copy(set *data.Set) (err error) {
	d := r.program.d
	if r.images, err = d.allocate(fmt.Sprintf("the %d images of %s", r.n, set.Name), int64(len(set.Pixels)+4*len(set.Floats))); err != nil {
		return err
	}
	if r.labels, err = d.allocate("labels", 2*int64(r.n)); err != nil {
		return err
	}
	r.source = &source{images: kernels.Pointer(r.images.ptr), labels: kernels.Pointer(r.labels.ptr), floats: set.Floats != nil}
	return errors.Join(upload(d, r.labels.ptr, set.Labels), upload(d, r.images.ptr, set.Pixels), upload(d, r.images.ptr, set.Floats))
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

// aim points a plan at a source.
func (q *plan) aim(p *program, s *source) {
	q.io.images, q.io.labels, q.io.floats = s.images, s.labels, s.floats
	q.io.order, q.io.ring, q.io.results = 0, math.MaxUint32, uint32(2*p.piece)
	switch {
	case s.ring > 0:
		q.io.ring, q.io.results = uint32(s.ring), uint32(s.ring)
	case q.purpose.mode == training:
		q.io.order = kernels.Pointer(p.epoch.order.ptr)
	}
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

// graph captures a plan over a source, or finds the graph that was captured before.
func (q *plan) graph(p *program, s *source) (graph, error) {
	d := p.d
	if g, ok := q.graphs[s]; ok {
		return g, nil
	}
	q.aim(p, s)
	if !q.warm {
		if err := q.warmUp(p); err != nil {
			return graph{}, err
		}
	}
	if err := d.check("cuStreamBeginCapture", beginCapture(&d.stream)); err != nil {
		return graph{}, err
	}
	err := q.run()
	g, call, st := endCapture(&d.stream)
	if err != nil {
		if st.code == 0 {
			err = errors.Join(err, d.check("cuGraphExecDestroy", g.destroy()))
		}
		return graph{}, err
	}
	if err := d.check(call, st, "calls", len(q.tasks)); err != nil {
		return graph{}, err
	}
	q.graphs[s] = g
	return g, nil
}
