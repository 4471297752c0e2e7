package kernel

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

type windowGradCase struct {
	name string
	rows int
	spec WindowGradSpec
}

// windowGradCases are convolutions with a 2×2 pool: of all numbers of taps and outputs that tiles have, with strides and dilation.
func windowGradCases() []windowGradCase {
	conv := func(h, w, c, f, kh, kw, stride, dilation int) windowGradCase {
		s := WindowGradSpec{Right: stride * c, Down: stride * w * c}
		oh, ow := (h-(kh-1)*dilation-1)/stride+1, (w-(kw-1)*dilation-1)/stride+1
		s.GradSpec = GradSpec{Grid: Grid{ow / 2, 2 * s.Down, 2 * s.Right, ow / 2 * f, f}, Outs: f}
		for y := range kh {
			if dilation == 1 {
				s.Taps = append(s.Taps, Run{int32(y * w * c), int32(y * kw * c), int32(kw * c)})
				continue
			}
			for x := range kw {
				s.Taps = append(s.Taps, Run{int32((y*w + x) * dilation * c), int32((y*kw + x) * c), int32(c)})
			}
		}
		return windowGradCase{fmt.Sprintf("%dx%dx%d by %dx%d to %d, stride %d, dilation %d", h, w, c, kh, kw, f, stride, dilation), oh / 2, s}
	}
	cases := []windowGradCase{
		conv(28, 28, 1, 8, 3, 3, 1, 1), conv(12, 11, 3, 15, 3, 3, 1, 1), conv(13, 15, 2, 5, 3, 3, 2, 1), conv(11, 12, 2, 3, 3, 3, 1, 2), conv(9, 10, 7, 2, 5, 5, 1, 1),
	}
	for kw := 1; kw <= 12; kw++ {
		for kh := 1; kh <= 4; kh++ {
			for f := 1; f <= 3; f++ {
				cases = append(cases, conv(kh+3, kw+6, 1, f, kh, kw, 1, 1))
			}
		}
	}
	return cases
}

// TestWindowGrad: the bound of a sum, and the bits that GradLanes and AddPositions give of what Pool.MaxGrad makes, with indices
// that a ReLU has closed and without.
func TestWindowGrad(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n, c := range windowGradCases() {
			g, err := k.NewWindowGrad(c.spec)
			if err != nil {
				t.Fatal(err)
			}
			for _, integers := range []bool{false, true} {
				r := seeded(uint64(n))
				size := g.y(c.rows, g.Outs) * Lanes
				x := data(r, g.Grid.x(c.rows, g.x)*Lanes+1, integers)[1:]
				dy, arg := data(r, size+2, integers)[2:], make([]uint8, size+1)[1:]
				winners(r, arg, n%2 == 0)
				old, oldBias := data(r, g.w*g.Outs*Lanes, integers), data(r, g.Outs*Lanes, integers)
				acc, bias := append([]float32(nil), old...), append([]float32(nil), oldBias...)
				g.Do(acc, bias, x, dy, arg, c.rows)
				alone := append([]float32(nil), old...)
				g.Do(alone, nil, x, dy, arg, c.rows)
				sameBits(t, c.name+" without bias", alone, acc)

				// each calls f with the gradient of every sum of output j in lane l, and where its taps begin in x.
				each := func(j, l int, f func(x int, d float32)) {
					at := []int{0, g.Right, g.Down, g.Right + g.Down}
					for row := range c.rows {
						for col := range g.Cols {
							yi := (row*g.YRow+col*g.YCol+j)*Lanes + l
							if arg[yi] != Closed {
								f((row*g.XRow+col*g.XCol+at[arg[yi]])*Lanes+l, dy[yi])
							}
						}
					}
				}
				for j := range g.Outs {
					for l := range Lanes {
						g.each(func(row, off int) {
							i := (row*g.Outs+j)*Lanes + l
							var s sum
							s.add(old[i], 1)
							each(j, l, func(at int, d float32) { s.add(x[at+off*Lanes], d) })
							s.check(t, c.name, i, acc[i], integers)
						})
						var s sum
						s.add(oldBias[j*Lanes+l], 1)
						each(j, l, func(_ int, d float32) { s.add(d, 1) })
						s.check(t, c.name+": bias", j*Lanes+l, bias[j*Lanes+l], integers)
					}
				}
				if k.Path() != Portable {
					wantAcc, wantBias := unpooled(t, k, g, c.rows, append([]float32(nil), old...), append([]float32(nil), oldBias...), x, dy, arg)
					sameBits(t, c.name+" unpooled", acc, wantAcc)
					sameBits(t, c.name+" unpooled: bias", bias, wantBias)
				}
			}
		}
	})
}

// winners fills indices, of which some are closed behind a ReLU.
func winners(r *rand.Rand, arg []uint8, relu bool) {
	for i := range arg {
		if arg[i] = uint8(r.IntN(windowSums)); relu && r.IntN(3) == 0 {
			arg[i] = Closed
		}
	}
}

// unpooled is the gradient by way of the sums' gradient.
func unpooled(t *testing.T, k *Kernels, g *WindowGrad, rows int, acc, bias, x, dy []float32, arg []uint8) ([]float32, []float32) {
	t.Helper()
	outs := g.Outs
	sumCols := 2 * g.Cols
	pool := PoolSpec{Grid: Grid{g.Cols, 2 * sumCols * outs, 2 * outs, g.YRow, g.YCol}, Channels: outs}
	for i := range windowSums {
		pool.Taps = append(pool.Taps, PoolTap{int32((i/2*sumCols + i%2) * outs), int32(i)})
	}
	p, err := k.NewPool(pool)
	if err != nil {
		t.Fatal(err)
	}
	dz := make([]float32, 2*rows*sumCols*outs*Lanes)
	p.MaxGrad(dz, dy, arg, rows, false)
	k.AddPositions(bias, dz, outs, outs, 2*rows*sumCols)
	d, err := k.NewGradLanes(GradSpec{Grid{sumCols, g.Down, g.Right, sumCols * outs, outs}, g.Taps, outs})
	if err != nil {
		t.Fatal(err)
	}
	d.Do(acc, x, dz, 2*rows)
	return acc, bias
}

func TestIdenticalWindowGrad(t *testing.T) {
	t.Parallel()
	for n, c := range windowGradCases() {
		natives(t, c.name, func(k *Kernels) []float32 {
			g, err := k.NewWindowGrad(c.spec)
			if err != nil {
				t.Fatal(err)
			}
			r := seeded(uint64(n))
			size := g.y(c.rows, g.Outs) * Lanes
			arg := make([]uint8, size)
			winners(r, arg, n%2 == 0)
			acc := make([]float32, (g.w+1)*g.Outs*Lanes)
			bias := acc[g.w*g.Outs*Lanes:]
			g.Do(acc, bias, data(r, g.Grid.x(c.rows, g.x)*Lanes, false), data(r, size, false), arg, c.rows)
			return acc
		})
	}
}

func TestWindowGradSpec(t *testing.T) {
	t.Parallel()
	k, err := Open("portable")
	if err != nil {
		t.Fatal(err)
	}
	good := WindowGradSpec{GradSpec: GradSpec{Grid: Grid{Cols: 1}, Taps: []Run{{0, 0, 1}}, Outs: 1}, Right: 1, Down: 2}
	for name, change := range map[string]func(s *WindowGradSpec){
		"negative step": func(s *WindowGradSpec) { s.Right = -1 },
		"no outputs":    func(s *WindowGradSpec) { s.Outs = 0 },
		"no taps":       func(s *WindowGradSpec) { s.Taps = nil },
	} {
		s := good
		change(&s)
		if _, err := k.NewWindowGrad(s); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: %v", name, err)
		}
	}
	g, err := k.NewWindowGrad(good)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a short x was accepted")
		}
	}()
	g.Do(make([]float32, 16), nil, make([]float32, 63), make([]float32, 16), make([]uint8, 16), 1)
}
