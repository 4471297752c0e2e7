package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/data"
)

// step is what a worker knows of the step that it is in. Every worker has its own copy.
type step struct {
	set    *data.Set
	order  []int32 // of all steps, indices into set; nil is all of it in order
	base   int     // where the step begins in order, or in the set
	n      int     // samples
	groups int     // of 16 samples, the last perhaps partial
	scale  float32 // of the loss' gradient: 1/n
	number int64   // State.Step before it
	serial int     // counts the worker's steps for ever
	epoch  int
	update kernel.Update

	ahead, aheadEnd int       // samples whose images are worth asking for
	aheadLo         int       // from this byte
	aheadHi         int       // to this one
	dy              []float32 // of a trace: the gradient at the output
}

// start points a worker at the samples of its steps, the first of which has all of them.
func (s *step) start(set *data.Set, order []int32, number int64, epoch int) {
	s.set, s.order, s.number, s.epoch = set, order, number, epoch
	s.ahead, s.aheadEnd = 0, 0
	s.part(0, s.samples())
}

// samples is the number of samples of all steps.
func (s *step) samples() int {
	if s.order == nil {
		return s.set.Len()
	}
	return len(s.order)
}

// part makes n samples from base on the step.
func (s *step) part(base, n int) {
	s.serial++
	s.base, s.n = base, n
	s.groups = (s.n + kernel.Lanes - 1) / kernel.Lanes
	s.scale = 1 / float32(s.n)
}

// lanes is how many samples group g has.
func (s *step) lanes(g int) int { return min(kernel.Lanes, s.n-g*kernel.Lanes) }

// sample is the index in the set of sample i of the step.
func (s *step) sample(i int) int32 {
	if s.order == nil {
		return int32(s.base + i)
	}
	return s.order[s.base+i]
}

// reads runs f, which reads the step's images. Where they lie in a file that was cut off, the step goes on with whatever is in their
// place, and the pass ends with the error.
func (w *worker) reads(f func()) {
	if err := w.step.set.Reading(f); err != nil && w.fault == nil {
		w.fault = err
	}
}

// fill sets the worker's index of group g's images, −1 in the lanes of padding.
func (w *worker) fill(g int) {
	n := w.step.lanes(g)
	for l := range w.index {
		w.index[l] = -1
		if l < n {
			w.index[l] = w.step.sample(g*kernel.Lanes + l)
		}
	}
}

// expect notes which images the worker is likely to gather next, after those of group g.
func (w *worker) expect(p *plan, g int) {
	s := &w.step
	s.ahead = s.base + (g+1)*kernel.Lanes
	if lo, hi := p.groupsOf(w.set); g+1 >= hi {
		s.ahead = s.base + s.n + lo*kernel.Lanes // of the next step
	}
	s.aheadEnd = min(s.ahead+kernel.Lanes, s.samples())
	s.aheadLo, s.aheadHi = 0, s.set.ImageSize()
}

// expectPart notes that the worker is likely to gather bytes lo to hi of the next step's images.
func (w *worker) expectPart(lo, hi int) {
	s := &w.step
	s.ahead = s.base + s.n
	s.aheadEnd = min(s.ahead+s.n, s.samples())
	s.aheadLo, s.aheadHi = lo, hi
}

// hint asks for one of the expected images. Bands of convolutions call it: what comes from memory takes longer than the
// arithmetic of a small network, and many requests at once stop the core.
func (w *worker) hint() {
	s := &w.step
	if s.ahead >= s.aheadEnd {
		return
	}
	image := s.ahead
	if s.order != nil {
		image = int(s.order[image])
	}
	at := image*s.set.ImageSize() + s.aheadLo
	prefetch(&s.set.Pixels[at], (s.aheadHi-s.aheadLo+63)/64)
	s.ahead++
}

// fillLabels sets the labels of group g's images, −1 in the lanes of padding and where the set has none.
func (w *worker) fillLabels(g int) {
	n := w.step.lanes(g)
	for l := range w.labels {
		w.labels[l] = -1
		if l < n && w.step.set.Labels != nil {
			w.labels[l] = int32(w.step.set.Labels[w.step.sample(g*kernel.Lanes+l)])
		}
	}
}
