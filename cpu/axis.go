package cpu

import "gcnn/model"

// tap is an element of a kernel along one axis and where it falls on the operand for a segment's first position.
type tap struct{ k, x int }

// segment is a run of positions along one axis that see the same elements of the kernel. Kernels of a region, a segment of
// rows by a segment of columns, need neither a border of zeros nor a test in their loops.
type segment struct {
	first, step, n int // positions of the result: first, first+step, …
	advance        int // of the operand, from one position to the next
	taps           []tap
}

// forwardAxis cuts the outputs of a window into segments; the operand is the input.
func forwardAxis(w model.Window) []segment {
	return segments(w.Out, 1, w.Stride, func(o int) (taps []tap) {
		for k := range w.Kernel {
			if x := o*w.Stride - w.Before + k*w.Dilation; x >= 0 && x < w.In {
				taps = append(taps, tap{k, x})
			}
		}
		return taps
	})
}

// backwardAxis cuts the inputs of a window into segments; the operand is the output's gradient. Taps come in ascending order
// of the operand, so with the kernel reversed.
func backwardAxis(w model.Window) []segment {
	return segments(w.In, w.Stride, 1, func(i int) (taps []tap) {
		for k := w.Kernel - 1; k >= 0; k-- {
			if t := i + w.Before - k*w.Dilation; t >= 0 && t%w.Stride == 0 && t/w.Stride < w.Out {
				taps = append(taps, tap{k, t / w.Stride})
			}
		}
		return taps
	})
}

func segments(n, step, advance int, tapsOf func(int) []tap) []segment {
	var all []segment
	for r := range min(step, n) {
		var open *segment
		for i := r; i < n; i += step {
			taps := tapsOf(i)
			if open != nil && sameTaps(open.taps, taps, open.n*advance) {
				open.n++
				continue
			}
			all = append(all, segment{first: i, step: step, n: 1, advance: advance, taps: taps})
			open = &all[len(all)-1]
		}
	}
	return all
}

func sameTaps(a, b []tap, moved int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].k != b[i].k || a[i].x+moved != b[i].x {
			return false
		}
	}
	return true
}

// within is the part of a segment whose positions lie in [lo, hi); ok is false where there is none.
func (s segment) within(lo, hi int) (part segment, ok bool) {
	skip := 0
	if lo > s.first {
		skip = (lo - s.first + s.step - 1) / s.step
	}
	end := min(s.n, (hi-s.first+s.step-1)/s.step)
	if hi <= s.first || skip >= end {
		return segment{}, false
	}
	part = s
	part.first, part.n = s.first+skip*s.step, end-skip
	part.taps = make([]tap, len(s.taps))
	for i, t := range s.taps {
		part.taps[i] = tap{t.k, t.x + skip*s.advance}
	}
	return part, true
}
