//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"unsafe"

	"gorgonia.org/cu"

	"gcnn/data"
	"gcnn/kernels"
)

// DefaultStaging is the default of Options.Staging.
const DefaultStaging = 4 << 20

// ring is device memory that sets of one kind, bytes or floats, pass through, two pieces at a time: one that steps read and one
// that is copied.
type ring struct {
	source
	piece   int           // samples, a multiple of the batch
	size    int           // bytes of an image
	own     [2]allocation // images and labels of a ring that was not planned at compile time
	staging [2]pinned     // a piece each: images, then labels
}

// pieceOf is how many samples make a piece of about so many bytes: whole batches, and at least one.
func pieceOf(bytes int64, sample, batch int) int {
	return int(max(1, bytes/(int64(sample)*int64(batch)))) * batch
}

// layRings plans what Evaluate, Predict and streamed sets need: a ring for sets of bytes and one of results, which sets on the
// device use too.
func (p *program) layRings() {
	size, width := p.net.Input.Size(), p.net.Output().Size()
	p.piece = pieceOf(p.d.options.Staging, size+4*width, p.spec.Batch)
	words := func(bytes int) int64 { return 4 * ((int64(bytes) + 3) / 4) }
	p.ringImages.bytes, p.ringLabels.bytes, p.results.bytes = words(2*p.piece*size), words(2*p.piece*2), words(2*p.piece*4*width)
}

// ringOf is the ring for a set. That for floats, which few sets are, is made when it is first wanted.
func (p *program) ringOf(set *data.Set) (*ring, error) {
	kind, size := 0, p.net.Input.Size()
	if set.Floats != nil {
		kind, size = 1, 4*size
	}
	if p.rings[kind] != nil {
		return p.rings[kind], nil
	}
	r := &ring{size: size, piece: p.piece}
	r.images, r.labels, r.floats = p.ringImages.p(), p.ringLabels.p(), set.Floats != nil
	if r.floats {
		r.piece = pieceOf(p.d.options.Staging, size+4*p.net.Output().Size(), p.spec.Batch)
		for i, bytes := range []int{2 * r.piece * size, 2 * r.piece * 2} {
			var err error
			if r.own[i], err = p.reserve("a ring for images of floats", int64(bytes)); err != nil {
				return nil, errors.Join(err, r.release(p.d))
			}
		}
		r.images, r.labels = kernels.Pointer(r.own[0].ptr), kernels.Pointer(r.own[1].ptr)
	}
	r.ring = 2 * r.piece
	p.rings[kind] = r
	return r, nil
}

// pin takes the pinned memory that a set is gathered into.
func (r *ring) pin(d *Device) (err error) {
	for i := range r.staging {
		if r.staging[i].host == nil {
			if r.staging[i], err = d.pin("a piece of a set", r.labelsAt()+2*r.piece); err != nil {
				return err
			}
		}
	}
	return nil
}

// labelsAt is where the labels begin in a piece of pinned memory.
func (r *ring) labelsAt() int { return int(aligned(int64(r.piece) * int64(r.size))) }

// gather fills a piece of pinned memory with samples lo to hi of a pass.
func (r *ring) gather(slot int, set *data.Set, order []int32, lo, hi int) error {
	host, values := r.staging[slot].host, (hi-lo)*set.ImageSize()
	var pixels []uint8
	var floats []float32
	var labels []uint16
	if r.floats {
		floats = unsafe.Slice((*float32)(host), values)
	} else {
		pixels = unsafe.Slice((*uint8)(host), values)
	}
	if set.Labels != nil {
		labels = unsafe.Slice((*uint16)(unsafe.Add(host, r.labelsAt())), hi-lo)
	}
	return set.Gather(order, lo, hi, pixels, floats, labels)
}

// send queues the copy of n gathered samples to their half of the ring.
func (r *ring) send(d *Device, slot, n int, labelled bool, s cu.Stream) error {
	from := r.staging[slot].host
	images, labels := cu.DevicePtr(r.images)+cu.DevicePtr(slot*r.piece*r.size), cu.DevicePtr(r.labels)+cu.DevicePtr(slot*r.piece*2)
	err := d.send(images, from, int64(n)*int64(r.size), s)
	if err == nil && labelled {
		err = d.send(labels, unsafe.Add(from, r.labelsAt()), 2*int64(n), s)
	}
	return err
}

func (r *ring) release(d *Device) error {
	return errors.Join(d.unpin(&r.staging[1]), d.unpin(&r.staging[0]), d.free(&r.own[1]), d.free(&r.own[0]))
}

// conveyor is what carries pieces to the device and results back beside the steps: a second stream, and for each half of the
// rings the events by which the streams wait for each other.
type conveyor struct {
	stream                    *cu.Stream
	copied, computed, fetched [2]*cu.Event // a piece is on the device; its steps are done; its results are on the host
	results                   [2]pinned
}

// start makes the conveyor when it is first wanted.
func (c *conveyor) start(p *program) error {
	d := p.d
	if c.stream == nil {
		s, err := cu.MakeStream(cu.NonBlocking)
		if err != nil {
			return d.ok("cuStreamCreate", err)
		}
		c.stream = &s
	}
	for _, events := range []*[2]*cu.Event{&c.copied, &c.computed, &c.fetched} {
		for i := range events {
			if events[i] != nil {
				continue
			}
			e, err := cu.MakeEvent(cu.DisableTiming)
			if err != nil {
				return d.ok("cuEventCreate", err)
			}
			events[i] = &e
		}
	}
	for i := range c.results {
		if c.results[i].host == nil {
			var err error
			if c.results[i], err = d.pin("results", int(p.results.bytes/2)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *conveyor) release(d *Device) error {
	var errs []error
	for i := range c.results {
		errs = append(errs, d.unpin(&c.results[i]))
	}
	for _, events := range []*[2]*cu.Event{&c.copied, &c.computed, &c.fetched} {
		for i, e := range events {
			if e != nil && !d.isLost() {
				errs = append(errs, d.ok("cuEventDestroy", cu.DestroyEvent(e)))
			}
			events[i] = nil
		}
	}
	if c.stream != nil && !d.isLost() {
		errs = append(errs, d.ok("cuStreamDestroy", c.stream.Destroy()))
	}
	c.stream = nil
	return errors.Join(errs...)
}

// pin takes memory of the host that the device reaches.
func (d *Device) pin(use string, bytes int) (pinned, error) {
	p, s := pin(bytes)
	return p, d.check("cuMemHostAlloc", s, "bytes", fmt.Sprint(bytes), "for", use)
}

// unpin gives it back; a second time it does nothing.
func (d *Device) unpin(p *pinned) error {
	if p.host == nil || d.isLost() {
		return nil
	}
	s := p.free()
	*p = pinned{}
	return d.check("cuMemFreeHost", s)
}
