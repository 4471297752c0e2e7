package cpu

import (
	"testing"

	"gcnn/model"
)

// TestSegments compares the segments of every small window with its definition: which elements of the kernel meet which
// elements of the input.
func TestSegments(t *testing.T) {
	t.Parallel()
	type meeting struct{ out, k, in int }
	for n := 1; n <= 9; n++ {
		for kernel := 1; kernel <= 4; kernel++ {
			for stride := 1; stride <= 4; stride++ {
				for dilation := 1; dilation <= 3; dilation++ {
					for _, padding := range []model.Padding{model.Valid, model.Same} {
						w, ok := model.NewWindow(n, kernel, stride, dilation, padding)
						if !ok {
							continue
						}
						want := map[meeting]bool{}
						for o := range w.Out {
							for k := range kernel {
								if in := o*stride - w.Before + k*dilation; in >= 0 && in < n {
									want[meeting{o, k, in}] = true
								}
							}
						}
						for name, segs := range map[string][]segment{"forward": forwardAxis(w), "backward": backwardAxis(w)} {
							got := map[meeting]bool{}
							positions := 0
							for lo := 0; lo < max(w.Out, w.In); lo += 2 { // in pieces, as bands take them
								for _, s := range segs {
									s, ok := s.within(lo, lo+2)
									if !ok {
										continue
									}
									positions += s.n
									for q := range s.n {
										for _, tp := range s.taps {
											m := meeting{s.first + q*s.step, tp.k, tp.x + q*s.advance}
											if name == "backward" {
												m.out, m.in = m.in, m.out
											}
											if got[m] {
												t.Fatalf("%s %+v: %+v twice", name, w, m)
											}
											got[m] = true
										}
									}
								}
							}
							if all := map[string]int{"forward": w.Out, "backward": w.In}[name]; positions != all {
								t.Fatalf("%s %+v: %d positions of %d", name, w, positions, all)
							}
							if len(got) != len(want) {
								t.Fatalf("%s %+v: %d products, want %d", name, w, len(got), len(want))
							}
							for m := range want {
								if !got[m] {
									t.Fatalf("%s %+v: %+v is missing", name, w, m)
								}
							}
						}
					}
				}
			}
		}
	}
}
