package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/data"
)

// step is what a worker knows of the step that it is in. Every worker has its own copy.
type step struct {
	set    *data.Set
	order  []int32 // the step's samples, indices into set; nil is all of it in order
	base   int     // where the step begins in order, or in the set
	n      int     // samples
	groups int     // of 16 samples, the last perhaps partial
	scale  float32 // of the loss' gradient: 1/n
	number int64   // State.Step before it
	epoch  int
	update kernel.Update
	dy     []float32 // of a trace: the gradient at the output
}

// start points a worker at its samples.
func (s *step) start(set *data.Set, order []int32, number int64, epoch int) {
	s.set, s.order, s.number, s.epoch = set, order, number, epoch
	n := len(order)
	if order == nil {
		n = set.Len()
	}
	s.part(0, n)
}

// part narrows a step to n of its samples.
func (s *step) part(base, n int) {
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
