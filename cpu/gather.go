package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// maxPrefetch bounds the bytes of images that are asked for ahead of time: larger ones are read in order, which the processor
// foresees itself.
const maxPrefetch = 4 << 10

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
	augment := c.newAugmentation()
	prefetches := c.purpose.mode == training && augment == nil && size <= maxPrefetch
	uses := []*buffer{x}
	if augment != nil {
		uses = append(uses, augment.changed, augment.source)
	}
	c.task(device.Task{Name: c.gatherName(augment), Kernel: c.kernelName("gather")}, uses, func(w *worker, g int) {
		w.fill(g)
		set, dst := w.step.set, x.at(w, g)
		bytes, floats := set.Pixels, set.Floats
		if augment != nil {
			augment.apply(w)
			bytes, floats = nil, augment.changed.at(w, g)
			if augment.bytes(set) {
				bytes, floats = bytesOf(floats, kernel.Lanes*size), nil
			}
		}
		if floats == nil {
			c.k.GatherBytes(dst, bytes, size, &w.index, norm)
			if prefetches && set.Pixels != nil {
				w.expect(c.plan, g)
			}
			return
		}
		c.k.GatherFloats(dst, floats, size, &w.index)
		if c.purpose.mode != tracing { // a trace takes its images as they are
			c.normalize(dst, w.step.lanes(g))
		}
	})
}

func (c *compiler) gatherName(a *augmentation) string {
	if a != nil {
		return "gather and augment"
	}
	return "gather"
}

// normalize computes (v − mean)/std for each channel of floats; the lanes of padding stay zero.
func (c *compiler) normalize(x []float32, lanes int) {
	mean, std := c.spec.Normalization.Mean, c.spec.Normalization.Std
	if len(std) == 0 {
		return
	}
	for i := 0; i < len(x); i += kernel.Lanes {
		ch := i / kernel.Lanes % len(std)
		v := x[i : i+lanes]
		for l := range v {
			v[l] = (v[l] - mean[ch]) / std[ch]
		}
	}
}
