package kernel

import (
	"fmt"
	"testing"
)

type gradCase struct {
	name string
	rows int
	spec GradSpec
}

func gradCases() []gradCase {
	conv := func(h, w, c, f, kh, kw int) gradCase {
		oh, ow := h-kh+1, w-kw+1
		var taps []Run
		for y := range kh {
			taps = append(taps, Run{int32(y * w * c), int32(y * kw * c), int32(kw * c)})
		}
		return gradCase{fmt.Sprintf("conv %dx%dx%d %dx%d to %d", h, w, c, kh, kw, f), oh, GradSpec{Grid{ow, w * c, c, ow * f, f}, taps, f}}
	}
	dense := func(groups, in, out int) gradCase {
		return gradCase{fmt.Sprintf("dense %d groups %d to %d", groups, in, out), 1, GradSpec{Grid{groups, 0, in, 0, out}, []Run{{0, 0, int32(in)}}, out}}
	}
	cases := []gradCase{conv(12, 12, 1, 8, 3, 3), conv(9, 8, 6, 16, 5, 5), conv(5, 5, 16, 120, 5, 5), conv(6, 7, 3, 7, 3, 2), dense(2, 133, 28), dense(8, 60, 84), dense(1, 9, 10)}
	for taps := 1; taps <= 30; taps++ {
		for _, outs := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 30, 32, 33, 47, 48, 49, 64, 66} {
			cases = append(cases, gradCase{fmt.Sprintf("tile %dx%d", taps, outs), 2,
				GradSpec{Grid{3, 50, 3, 3 * outs, outs}, []Run{{0, 0, int32(taps)}, {40, int32(taps + 2), 1}}, outs}})
		}
	}
	return cases
}

func TestGradLanes(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n, c := range gradCases() {
			if c.spec.Outs > 33 {
				continue
			}
			g, err := k.NewGradLanes(c.spec)
			if err != nil {
				t.Fatal(err)
			}
			for _, integers := range []bool{false, true} {
				r := seeded(uint64(n))
				x := data(r, g.Grid.x(c.rows, g.x)*Lanes+1, integers)[1:]
				dy := data(r, g.y(c.rows, g.Outs)*Lanes+2, integers)[2:]
				old := data(r, g.w*g.Outs*Lanes, integers)
				acc := append([]float32(nil), old...)
				g.Do(acc, x, dy, c.rows)
				g.each(func(row, off int) {
					for j := range g.Outs {
						for l := range Lanes {
							at := (row*g.Outs+j)*Lanes + l
							var s sum
							s.add(old[at], 1)
							for r := range c.rows {
								for q := range g.Cols {
									s.add(x[(r*g.XRow+q*g.XCol+off)*Lanes+l], dy[(r*g.YRow+q*g.YCol+j)*Lanes+l])
								}
							}
							s.check(t, c.name, at, acc[at], integers)
							old[at] = acc[at]
						}
					}
				})
				sameBits(t, c.name+": other rows", acc, old)
			}
		}
	})
}

func TestGradOuter(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n, c := range gradCases() {
			s := c.spec
			pad := Padded(s.Outs)
			s.YRow, s.YCol = s.YRow/s.Outs*pad, s.YCol/s.Outs*pad
			wtap := s.Outs + n%2
			g, err := k.NewGradOuter(s, wtap)
			if err != nil {
				t.Fatal(err)
			}
			add := n%3 == 0
			for _, integers := range []bool{false, true} {
				r := seeded(uint64(n))
				x := data(r, g.Grid.x(c.rows, g.x)*Lanes+1, integers)[1:]
				dy := data(r, g.y(c.rows, pad)*Lanes+2, integers)[2:]
				old := data(r, g.w, integers)
				dw := append([]float32(nil), old...)
				g.Do(dw, x, dy, c.rows, add)
				g.each(func(row, off int) {
					for j := range g.Outs {
						at := row*wtap + j
						var s sum
						if add {
							s.add(old[at], 1)
						}
						for r := range c.rows {
							for q := range g.Cols {
								for l := range Lanes {
									s.add(x[(r*g.XRow+q*g.XCol+off)*Lanes+l], dy[(r*g.YRow+q*g.YCol)*Lanes+l*pad+j])
								}
							}
						}
						s.check(t, c.name, at, dw[at], integers)
						old[at] = dw[at]
					}
				})
				sameBits(t, c.name+": between the rows", dw, old)
			}
		}
	})
}

func TestReduceLanes(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n := 1; n < 40; n += 3 {
			for _, shards := range []int{1, 2, 8} {
				for _, valid := range []int{1, 5, 16} {
					acc := data(seeded(uint64(n)), ((shards-1)*(n+1)+n)*Lanes, false)
					dst := make([]float32, n)
					k.ReduceLanes(dst, acc, n, shards, n+1, valid)
					for i := range dst {
						var s sum
						for h := range shards {
							for l := range valid {
								s.add(acc[(h*(n+1)+i)*Lanes+l], 1)
							}
						}
						s.check(t, "dst", i, dst[i], false)
					}
					want := make([]float32, n)
					reduceLanes(want, acc, shards, n+1, valid)
					sameBits(t, "the tree", dst, want)
					flat := make([]float32, n)
					k.SumShards(flat, acc, shards, n+5)
					for i := range flat {
						want := acc[i]
						for h := 1; h < shards; h++ {
							want += acc[h*(n+5)+i]
						}
						if flat[i] != want {
							t.Fatalf("SumShards[%d]: %v, want %v", i, flat[i], want)
						}
					}
				}
			}
		}
	})
}
