package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// maxPrefetch bounds the bytes of images that are asked for ahead of time: larger ones are read in order, which the processor
// foresees itself.
const maxPrefetch = 4 << 10

// gatherer makes the network's input of the step's images: normalised, 16 side by side.
type gatherer struct {
	c          *compiler
	size       int
	norm       *kernel.Normalizer
	augment    *augmentation
	prefetches bool // the next images are worth asking for
}

func (c *compiler) newGatherer() *gatherer {
	shape := c.net.Input
	var tables [][256]float32
	for ch := range shape[2] {
		tables = append(tables, c.spec.Normalization.Table(ch))
	}
	s := &gatherer{c: c, size: shape.Size(), norm: kernel.NewNormalizer(tables), augment: c.newAugmentation()}
	s.prefetches = c.purpose.mode == training && s.augment == nil && s.size <= maxPrefetch
	return s
}

// part makes elements lo to hi of group g's images. With an augmentation they are all of them.
func (s *gatherer) part(w *worker, g, lo, hi int, dst []float32) {
	w.fill(g)
	w.reads(func() { s.read(w, g, lo, hi, dst) })
}

func (s *gatherer) read(w *worker, g, lo, hi int, dst []float32) {
	c, set := s.c, w.step.set
	bytes, floats := set.Pixels, set.Floats
	if s.augment != nil {
		s.augment.apply(w)
		bytes, floats = nil, s.augment.changed.at(w, g)
		if s.augment.bytes(set) {
			bytes, floats = bytesOf(floats, kernel.Lanes*s.size), nil
		}
	}
	if floats == nil {
		c.k.GatherBytes(dst, bytes, s.size, lo, hi, &w.index, s.norm)
		return
	}
	c.k.GatherFloats(dst, floats, s.size, lo, hi, &w.index)
	if c.purpose.mode != tracing { // a trace takes its images as they are
		c.normalize(dst, w.step.lanes(g))
	}
}

// gather emits the first task.
func (c *compiler) gather() {
	s := c.newGatherer()
	x := c.buffer(model.InputName, s.size*kernel.Lanes)
	x.pinned = c.purpose.mode == tracing
	c.vals[slot(model.Input)] = x
	uses := []*buffer{x}
	if s.augment != nil {
		uses = append(uses, s.augment.changed, s.augment.source)
	}
	c.task(device.Task{Name: c.gatherName(s.augment), Kernel: c.kernelName("gather")}, uses, func(w *worker, g int) {
		s.part(w, g, 0, s.size, x.at(w, g))
		if s.prefetches && w.step.set.Pixels != nil {
			w.expect(c.plan, g)
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
