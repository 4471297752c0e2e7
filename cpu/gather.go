package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// gather emits the first task: the step's images, normalised, 16 side by side.
func (c *compiler) gather() {
	shape := c.net.Input
	size, channels := shape.Size(), shape[2]
	x := c.buffer(model.InputName, size*kernel.Lanes)
	x.pinned = c.purpose.mode == tracing
	c.vals[slot(model.Input)] = x
	var tables [][256]float32
	for ch := range channels {
		tables = append(tables, c.spec.Normalization.Table(ch))
	}
	norm := kernel.NewNormalizer(tables)
	scale, shift := c.floatNormalization()
	given := c.purpose.mode == tracing // a trace takes its images as they are
	c.task(device.Task{Name: "gather", Kernel: c.kernelName("gather")}, []*buffer{x}, func(w *worker, g int) {
		w.fill(g)
		set, dst := w.step.set, x.at(w, g)
		if set.Floats == nil {
			c.k.GatherBytes(dst, set.Pixels, size, &w.index, norm)
			return
		}
		c.k.GatherFloats(dst, set.Floats, size, &w.index)
		if given || scale == nil {
			return
		}
		for i := range size {
			v, m, s := dst[i*kernel.Lanes:][:kernel.Lanes], shift[i%channels], scale[i%channels]
			for l := range v {
				v[l] = (v[l] - m) / s
			}
		}
		for l := w.step.lanes(g); l < kernel.Lanes; l++ {
			for i := range size {
				dst[i*kernel.Lanes+l] = 0
			}
		}
	})
}

// floatNormalization is the std and the mean of each channel for a set of floats, which has no division by 255; nil for none.
func (c *compiler) floatNormalization() (std, mean []float32) {
	return c.spec.Normalization.Std, c.spec.Normalization.Mean
}
