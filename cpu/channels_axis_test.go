package cpu

import (
	"testing"

	"gcnn/model"
)

// TestTapAxis holds the outputs of each element against those of forwardAxis.
func TestTapAxis(t *testing.T) {
	t.Parallel()
	for in := 1; in < 12; in++ {
		for size := 1; size <= 5; size++ {
			for stride := 1; stride <= 3; stride++ {
				for dilation := 1; dilation <= 3; dilation++ {
					for _, padding := range []model.Padding{model.Valid, model.Same} {
						w, ok := model.NewWindow(in, size, stride, dilation, padding)
						if !ok {
							continue
						}
						want, got := map[[3]int]bool{}, map[[3]int]bool{} // element, output, place on the input
						add := func(to map[[3]int]bool, segments []segment) {
							for _, s := range segments {
								for i := range s.n {
									for _, p := range s.taps {
										to[[3]int{p.k, s.first + i*s.step, p.x + i*s.advance}] = true
									}
								}
							}
						}
						add(want, forwardAxis(w))
						for k := range size {
							add(got, tapAxis(w, k))
						}
						if len(got) != len(want) {
							t.Fatalf("%+v: %d places of elements, want %d", w, len(got), len(want))
						}
						for p := range want {
							if !got[p] {
								t.Fatalf("%+v: element, output and place %v are missing", w, p)
							}
						}
					}
				}
			}
		}
	}
}
