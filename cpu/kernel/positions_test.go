package kernel

import (
	"testing"
)

// TestGradPositions holds every weight's gradient against the sum in float64, and what lies between rows against what was there.
func TestGradPositions(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n, c := range gradCases() {
			s := c.spec
			pad := Padded(s.Outs)
			s.YRow, s.YCol = s.YRow/s.Outs*pad, s.YCol/s.Outs*pad
			wtap := s.Outs + n%2
			g, err := k.NewGradPositions(s, wtap)
			if err != nil {
				t.Fatal(err)
			}
			for _, integers := range []bool{false, true} {
				r := seeded(uint64(n))
				x := data(r, g.Grid.x(c.rows, g.x)+1, integers)[1:]
				dy := data(r, g.y(c.rows, pad)+2, integers)[2:]
				old := data(r, g.w, integers)
				dw := append([]float32(nil), old...)
				g.Do(dw, x, dy, c.rows)
				g.each(func(row, off int) {
					for j := range g.Outs {
						at := row*wtap + j
						var s sum
						s.add(old[at], 1)
						for r := range c.rows {
							for q := range g.Cols {
								s.add(x[r*g.XRow+q*g.XCol+off], dy[r*g.YRow+q*g.YCol+j])
							}
						}
						s.check(t, c.name, at, dw[at], integers)
						old[at] = dw[at]
					}
				})
				sameBits(t, c.name+": other weights", dw, old)
			}
		}
	})
}

func TestIdenticalGradPositions(t *testing.T) {
	t.Parallel()
	for n, c := range gradCases() {
		s := c.spec
		s.YRow, s.YCol = s.YRow/s.Outs*Padded(s.Outs), s.YCol/s.Outs*Padded(s.Outs)
		natives(t, c.name, func(k *Kernels) []float32 {
			g, err := k.NewGradPositions(s, s.Outs)
			if err != nil {
				t.Fatal(err)
			}
			r := seeded(uint64(n))
			dw := data(r, g.w, false)
			g.Do(dw, data(r, g.Grid.x(c.rows, g.x), false), data(r, g.y(c.rows, Padded(s.Outs)), false), c.rows)
			return dw
		})
	}
}
