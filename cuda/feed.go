//go:build cuda

package cuda

import (
	"errors"
	"unsafe"

	"gorgonia.org/cu"

	"gcnn/data"
)

// feed is what a pass reads and what becomes of its results. A set on the device is read where it lies; another one comes in
// pieces: while the steps of one piece run, the next is copied and the one after it is gathered on the host. Results go to the
// host piece by piece in either case.
type feed struct {
	source *source
	ring   *ring     // that the set passes through; nil for a set on the device
	set    *data.Set // that passes
	order  []int32   // of its samples; nil is its own
	n      int       // samples of the pass
	out    []float32 // results, one row a sample; nil: none are wanted

	p      *program
	pieces int
	each   int // steps of a piece

	gathered, sent, free int // pieces in pinned memory; on their way to the device; copied, so that their pinned memory is free
	queued               int // pieces all of whose steps are queued
	taken                int // pieces whose results have been taken over
	empty                chan struct{}
	filled               chan error
	quit, ended          chan struct{}
}

// open makes the feed ready for a pass and begins to gather.
func (f *feed) open(p *program) error {
	f.p = p
	steps := (f.n + p.spec.Batch - 1) / p.spec.Batch
	f.pieces, f.each = 1, steps
	if f.ring == nil && f.out == nil {
		return nil
	}
	piece := p.piece
	if f.ring != nil {
		piece = f.ring.piece
	}
	f.pieces, f.each = (f.n+piece-1)/piece, piece/p.spec.Batch
	err := p.d.do(func() error {
		err := p.conveyor.start(p)
		if err == nil && f.ring != nil {
			err = f.ring.pin(p.d)
		}
		return err
	})
	if err != nil || f.ring == nil {
		return err
	}
	f.empty, f.filled = make(chan struct{}, 2), make(chan error, 2)
	f.quit, f.ended = make(chan struct{}), make(chan struct{})
	f.empty <- struct{}{}
	f.empty <- struct{}{}
	go f.gather()
	return nil
}

// samples are those of a piece.
func (f *feed) samples(piece int) (lo, hi int) {
	size := f.each * f.p.spec.Batch
	return piece * size, min((piece+1)*size, f.n)
}

// gather fills pinned memory, piece after piece.
func (f *feed) gather() {
	defer close(f.ended)
	for k := range f.pieces {
		select {
		case <-f.quit:
			return
		case <-f.empty:
		}
		lo, hi := f.samples(k)
		err := f.ring.gather(k%2, f.set, f.order, lo, hi)
		f.filled <- err
		if err != nil {
			return
		}
	}
}

// ready is how many of the pass' steps may be queued: those whose samples are on their way, and whose results have room.
func (f *feed) ready() int {
	pieces := f.pieces
	if f.ring != nil {
		pieces = min(pieces, f.sent)
	}
	if f.out != nil {
		pieces = min(pieces, f.taken+2)
	}
	if pieces == f.pieces {
		return (f.n + f.p.spec.Batch - 1) / f.p.spec.Batch
	}
	return pieces * f.each
}

// moves reports whether advance may have something to do.
func (f *feed) moves() bool {
	return f.ring != nil && f.sent < f.pieces || f.out != nil && f.taken < f.queued
}

// advance does what can be done without waiting: it sends pieces that are gathered, gives pinned memory back to be filled, and
// takes results over. It runs on the device's thread.
func (f *feed) advance() error {
	for {
		moved, err := f.move()
		if err != nil || !moved {
			return err
		}
	}
}

func (f *feed) move() (moved bool, err error) {
	d, c := f.p.d, &f.p.conveyor
	if f.ring != nil && f.sent < f.pieces {
		select {
		case err := <-f.filled:
			if err != nil {
				return false, err
			}
			f.gathered++
			moved = true
		default:
		}
		if f.sent < f.gathered && f.queued+2 > f.sent { // the steps that read this half of the ring before are queued
			if err := f.send(); err != nil {
				return false, err
			}
			moved = true
		}
		if f.free < f.sent {
			done, err := d.done(c.copied[f.free%2])
			if err != nil {
				return false, err
			}
			if done {
				f.free++
				f.empty <- struct{}{}
				moved = true
			}
		}
	}
	if f.out != nil && f.taken < f.queued {
		done, err := d.done(c.fetched[f.taken%2])
		if err != nil {
			return false, err
		}
		if done {
			f.take()
			moved = true
		}
	}
	return moved, nil
}

// send queues the copy of the next piece, after the steps that read the same half of the ring.
func (f *feed) send() error {
	d, c, slot := f.p.d, &f.p.conveyor, f.sent%2
	if f.sent >= 2 {
		if err := d.wait(*c.stream, c.computed[slot]); err != nil {
			return err
		}
	}
	lo, hi := f.samples(f.sent)
	if err := f.ring.send(d, slot, hi-lo, f.set.Labels != nil, *c.stream); err != nil {
		return err
	}
	f.sent++
	return d.record(c.copied[slot], *c.stream)
}

// before lets a step that begins a piece wait for its copy.
func (f *feed) before(step int) error {
	if f.ring == nil || step%f.each != 0 {
		return nil
	}
	return f.p.d.wait(f.p.d.stream, f.p.conveyor.copied[step/f.each%2])
}

// after ends a piece with its last step: its half of the ring is free, and its results go to the host.
func (f *feed) after(step int) error {
	if f.ring == nil && f.out == nil {
		return nil
	}
	last := min((f.queued+1)*f.each, (f.n+f.p.spec.Batch-1)/f.p.spec.Batch) - 1
	if step != last {
		return nil
	}
	d, c, slot := f.p.d, &f.p.conveyor, f.queued%2
	if f.ring != nil {
		if err := d.record(c.computed[slot], d.stream); err != nil {
			return err
		}
	}
	if f.out != nil {
		lo, hi := f.samples(f.queued)
		width := f.p.net.Output().Size()
		from := f.p.results.ptr + cu.DevicePtr(4*width*slot*f.each*f.p.spec.Batch)
		if err := errors.Join(d.fetch(c.results[slot].host, from, int64(4*width*(hi-lo))), d.record(c.fetched[slot], d.stream)); err != nil {
			return err
		}
	}
	f.queued++
	return nil
}

// take copies a piece's results from pinned memory.
func (f *feed) take() {
	lo, hi := f.samples(f.taken)
	width := f.p.net.Output().Size()
	copy(f.out[lo*width:hi*width], unsafe.Slice((*float32)(f.p.conveyor.results[f.taken%2].host), (hi-lo)*width))
	f.taken++
}

// stop ends the gathering.
func (f *feed) stop() {
	if f.quit != nil {
		close(f.quit)
		<-f.ended
	}
}

// finish waits for copies on their way and takes over what is left. All steps are done.
func (f *feed) finish() error {
	if f.ring != nil {
		if err := f.p.d.ok("cuStreamSynchronize", f.p.conveyor.stream.Synchronize()); err != nil {
			return err
		}
	}
	for f.out != nil && f.taken < f.queued {
		f.take()
	}
	return nil
}

// done reports whether an event has come.
func (d *Device) done(e *cu.Event) (bool, error) {
	s := statusOf(e.Query())
	if s.code == codeNotReady {
		return false, nil
	}
	return s.code == 0, d.check("cuEventQuery", s)
}

// wait lets a stream wait for an event.
func (d *Device) wait(s cu.Stream, e *cu.Event) error {
	return d.ok("cuStreamWaitEvent", s.Wait(*e, 0))
}

// record lets an event come when what is queued in a stream is done.
func (d *Device) record(e *cu.Event, s cu.Stream) error {
	return d.ok("cuEventRecord", e.Record(s))
}
