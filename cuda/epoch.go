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

// grow makes room, and says whether addresses have changed.
func grow(d *Device, a *allocation, use string, bytes int64) (bool, error) {
	if a.ptr != 0 && a.bytes >= bytes {
		return false, nil
	}
	err := d.free(a)
	if err == nil {
		*a, err = d.allocate(use, bytes)
	}
	return true, err
}

// begin uploads an epoch: order, rates and changes of the images.
func (p *program) begin(r *resident, e *device.Epoch) error {
	d, t := p.d, p.spec.Training
	steps, decays := rates(t, e.Rates, p.step)
	changes := p.changes(r, e)
	moved := false
	for _, g := range []struct {
		a     *allocation
		use   string
		bytes int
	}{
		{&p.epoch.order, "order of the epoch", 4 * len(e.Order)},
		{&p.epoch.rates, "learning rates", 4 * len(steps)},
		{&p.epoch.decays, "decays", 4 * len(decays)},
		{&p.epoch.changes, "augmentation", len(changes)},
	} {
		if g.bytes == 0 {
			continue
		}
		m, err := grow(d, g.a, g.use, int64(g.bytes))
		if err != nil {
			return err
		}
		moved = moved || m
	}
	if moved {
		if err := p.forget(training); err != nil {
			return err
		}
	}
	for _, q := range p.allPlans() {
		io := &q.io
		if q.purpose.mode == training {
			io.order, io.augment = kernels.Pointer(p.epoch.order.ptr), kernels.Pointer(p.epoch.changes.ptr)
			io.rates, io.decays = kernels.Pointer(p.epoch.rates.ptr), kernels.Pointer(p.epoch.decays.ptr)
		}
	}
	return errors.Join(
		upload(d, p.epoch.order.ptr, e.Order), upload(d, p.epoch.rates.ptr, steps), upload(d, p.epoch.decays.ptr, decays),
		upload(d, p.epoch.changes.ptr, changes), p.control.reset(d, p.step))
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

// changes are the records of augmentation of an epoch, in the order of its samples; nil without augmentation.
func (p *program) changes(r *resident, e *device.Epoch) []byte {
	a, seed := p.spec.Training.Augment, p.spec.Training.Seed
	if a == (device.Augment{}) {
		return nil
	}
	size := kernels.AugmentBytes
	if !moves(a) {
		size = kernels.ChangeBytes
	}
	records := make([]byte, 0, size*len(e.Order))
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
