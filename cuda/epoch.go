//go:build cuda

package cuda

import (
	"encoding/binary"
	"errors"
	"math"
	"sync/atomic"
	"unsafe"

	"gcnn/device"
	"gcnn/kernels"
)

// control is what a pass counts: on the device the cursor and the totals, in pinned memory a copy that the host reads while the
// device works.
type control struct {
	memory   allocation // the cursor, then the totals
	progress pinned
}

func (c *control) cursor() kernels.Pointer { return kernels.Pointer(c.memory.ptr) }
func (c *control) totals() kernels.Pointer { return kernels.Pointer(c.memory.ptr) + alignment }

func (p *program) newControl() (control, error) {
	var c control
	var err error
	if c.memory, err = p.d.allocate("cursor", alignment+kernels.TotalsBytes); err != nil {
		return c, err
	}
	var s status
	if c.progress, s = pin(kernels.ProgressBytes); s.code != 0 {
		return c, errors.Join(p.d.check("cuMemHostAlloc", s, "bytes", kernels.ProgressBytes), p.d.free(&c.memory))
	}
	return c, nil
}

func (c *control) release(d *Device) error {
	var err error
	if c.progress.host != nil && d.lost == nil {
		err = d.check("cuMemFreeHost", c.progress.free())
	}
	c.progress = pinned{}
	return errors.Join(err, d.free(&c.memory))
}

// reset begins a pass. The stream is idle.
func (c *control) reset(d *Device, step int64) error {
	for i := range kernels.ProgressBytes / 8 {
		atomic.StoreUint64(c.word(i), 0)
	}
	if err := d.zero(c.memory.ptr, c.memory.bytes); err != nil {
		return err
	}
	return upload(d, c.memory.ptr, []uint64{0, uint64(step), 0})
}

// word is a word of the pinned memory.
func (c *control) word(i int) *uint64 { return (*uint64)(unsafe.Add(c.progress.host, 8*i)) }

// count is how far a pass is.
type count struct {
	steps   int
	metrics device.Metrics
}

// read is the last count that the device has published. The device writes begin, the totals, then end; a reader that finds both
// equal has all of one step.
func (c *control) read() count {
	for {
		end := atomic.LoadUint64(c.word(4))
		m := device.Metrics{
			LossSum: math.Float64frombits(atomic.LoadUint64(c.word(1))), Correct: int64(atomic.LoadUint64(c.word(2))), Count: int64(atomic.LoadUint64(c.word(3))),
		}
		if atomic.LoadUint64(c.word(0)) == end {
			return count{int(end), m}
		}
	}
}

// epochMemory is what the host uploads once an epoch. It grows with the longest one.
type epochMemory struct {
	order, changes, rates, decays allocation
}

func (e *epochMemory) release(d *Device) error {
	return errors.Join(d.free(&e.decays), d.free(&e.rates), d.free(&e.changes), d.free(&e.order))
}

// reserve makes room for an epoch of so many samples, so that a training does not begin and then find none.
func (e *epochMemory) reserve(p *program, samples int) error {
	moved := false
	for _, part := range e.parts(p, samples) {
		if part.bytes == 0 || part.a.bytes >= part.bytes {
			continue
		}
		moved = true
		err := p.d.free(part.a)
		if err == nil {
			*part.a, err = p.reserve(part.use, part.bytes)
		}
		if err != nil {
			return errors.Join(err, p.forget(training))
		}
	}
	if !moved {
		return nil
	}
	return p.forget(training)
}

type epochPart struct {
	a     *allocation
	use   string
	bytes int64
}

// parts are what an epoch of so many samples takes.
func (e *epochMemory) parts(p *program, samples int) []epochPart {
	if p.spec.Training == nil {
		return nil
	}
	n, steps := int64(samples), int64((samples+p.spec.Batch-1)/p.spec.Batch)
	parts := []epochPart{{&e.order, "the order of an epoch", 4 * n}, {&e.rates, "learning rates", 4 * steps}}
	if p.spec.Training.WeightDecay != 0 {
		parts = append(parts, epochPart{&e.decays, "decays", 4 * steps})
	}
	return append(parts, epochPart{&e.changes, "augmentation", n * int64(changeBytes(p.spec.Training.Augment))})
}

// epochBytes is what an epoch of so many samples takes beyond what there is.
func (p *program) epochBytes(samples int) (bytes int64) {
	for _, part := range p.epoch.parts(p, samples) {
		bytes += max(0, aligned(part.bytes)-part.a.bytes)
	}
	return bytes
}

// begin uploads an epoch: order, rates and changes of the images.
func (p *program) begin(r *resident, e *device.Epoch) error {
	d, t := p.d, p.spec.Training
	if err := p.epoch.reserve(p, len(e.Order)); err != nil {
		return err
	}
	for _, q := range p.allPlans() {
		io := &q.io
		if q.purpose.mode == training {
			io.augment, io.rates, io.decays = kernels.Pointer(p.epoch.changes.ptr), kernels.Pointer(p.epoch.rates.ptr), kernels.Pointer(p.epoch.decays.ptr)
		}
	}
	if r.ring == nil {
		if err := upload(d, p.epoch.order.ptr, e.Order); err != nil {
			return err
		}
	}
	steps, decays := rates(t, e.Rates, p.step)
	return errors.Join(upload(d, p.epoch.rates.ptr, steps), upload(d, p.epoch.decays.ptr, decays),
		upload(d, p.epoch.changes.ptr, p.changes(r, e)), p.control.reset(d, p.step))
}

// forget destroys the graphs of a kind of plan, whose addresses have changed.
func (p *program) forget(m mode) error {
	var errs []error
	for _, q := range p.allPlans() {
		if q.purpose.mode != m {
			continue
		}
		for _, g := range q.graphs {
			errs = append(errs, p.d.check("cuGraphExecDestroy", g.destroy()))
		}
		clear(q.graphs)
	}
	return errors.Join(errs...)
}

// changeBytes is the size of an image's record of augmentation, 0 without.
func changeBytes(a device.Augment) int {
	switch {
	case a == device.Augment{}:
		return 0
	case moves(a):
		return kernels.AugmentBytes
	}
	return kernels.ChangeBytes
}

// changes are the records of augmentation of an epoch, in the order of its samples; nil without augmentation.
func (p *program) changes(r *resident, e *device.Epoch) []byte {
	a, seed := p.spec.Training.Augment, p.spec.Training.Seed
	if a == (device.Augment{}) {
		return nil
	}
	records := make([]byte, 0, changeBytes(a)*len(e.Order))
	for _, sample := range e.Order {
		c := a.Draw(seed, e.Number, sample, r.height, r.width)
		bound(&c, r.height, r.width)
		if !moves(a) {
			for _, v := range []float32{c.Contrast, c.Brightness, c.Sin, c.Cos} {
				records = binary.LittleEndian.AppendUint32(records, math.Float32bits(v))
			}
		}
		flip := 0
		if c.Flip {
			flip = 1
		}
		for _, v := range []int{flip, c.Down, c.Right, c.CutTop, c.CutLeft, c.CutSide, 0, 0} {
			records = binary.LittleEndian.AppendUint16(records, uint16(int16(v)))
		}
	}
	return records
}

// bound makes the numbers of a change fit 16 bits without another image: a square that covers everything is no larger, and what
// lies outside by its own length does so by no more.
func bound(c *device.Change, height, width int) {
	if largest := max(height, width); c.CutSide >= 2*largest {
		c.CutTop, c.CutLeft, c.CutSide = 0, 0, largest
	}
	reach := height + width // beyond it nothing comes back by turning
	c.Down, c.Right = max(min(c.Down, reach), -reach), max(min(c.Right, reach), -reach)
}
