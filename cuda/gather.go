//go:build cuda

package cuda

import (
	"gcnn/kernels"
	"gcnn/model"
)

// gather emits the first call: the step's images, normalised and augmented, and their labels. A trace has its images there.
func (c *compiler) gather() {
	p, shape := c.plan, c.net.Input
	x := c.buffer(model.InputName, c.rows*shape.Size())
	c.vals[slot(model.Input)] = x
	p.targets = c.buffer("labels", c.rows)
	if c.purpose.mode == tracing {
		return
	}
	channels := shape[2]
	table := make([]float32, 0, channels*256)
	shift, scale := make([]float32, channels), make([]float32, channels)
	for ch := range channels {
		t := c.spec.Normalization.Table(ch)
		table = append(table, t[:]...)
		scale[ch] = 1
		if len(c.spec.Normalization.Std) > 0 {
			shift[ch], scale[ch] = c.spec.Normalization.Mean[ch], c.spec.Normalization.Std[ch]
		}
	}
	tables := c.constant("normalised bytes", len(table), table)
	shifts, scales := c.constant("means", channels, shift), c.constant("deviations", channels, scale)
	h, w, ch, rows, batch := uint32(shape[0]), uint32(shape[1]), uint32(channels), uint32(c.rows), uint32(c.spec.Batch)
	what := "gathering"
	if c.augments() {
		what = "gathering and augmentation"
	}
	if c.augments() && !moves(c.spec.Training.Augment) {
		means := c.buffer("channel means", c.rows*channels)
		pixels := func() (bytes, reals kernels.Pointer) {
			if p.io.floats {
				return 0, p.io.images
			}
			return p.io.images, 0
		}
		c.kernelOf("channel means", nil, []*buffer{means}, func() launcher {
			bytes, reals := pixels()
			return kernels.ChannelMeans{Bytes: bytes, Reals: reals, Order: p.io.order, Cursor: p.io.cursor, Means: means.p(), Rows: rows, Places: h * w, Channels: ch, Batch: batch, Ring: p.io.ring}
		})
		c.kernelOf(what, nil, []*buffer{x, p.targets, shifts, scales, means}, func() launcher {
			bytes, reals := pixels()
			return kernels.GatherChanged{
				Bytes: bytes, Reals: reals, Labels: p.io.labels, Order: p.io.order, Cursor: p.io.cursor, Shift: shifts.p(), Scale: scales.p(), Means: means.p(),
				Changes: p.io.augment, X: x.p(), Targets: p.targets.p(), Rows: rows, Height: h, Width: w, Channels: ch, Batch: batch, Ring: p.io.ring,
			}
		})
		return
	}
	c.kernelOf(what, nil, []*buffer{x, p.targets, tables, shifts, scales}, func() launcher {
		io := &p.io
		if io.floats {
			return kernels.GatherFloats{
				Images: io.images, Labels: io.labels, Order: io.order, Cursor: io.cursor, Shift: shifts.p(), Scale: scales.p(), Augment: io.augment,
				X: x.p(), Targets: p.targets.p(), Rows: rows, Height: h, Width: w, Channels: ch, Batch: batch, Valid: rows, Ring: io.ring,
			}
		}
		return kernels.GatherBytes{
			Images: io.images, Labels: io.labels, Order: io.order, Cursor: io.cursor, Table: tables.p(), Augment: io.augment,
			X: x.p(), Targets: p.targets.p(), Rows: rows, Height: h, Width: w, Channels: ch, Batch: batch, Valid: rows, Ring: io.ring,
		}
	})
}
