package kernel

import (
	"errors"
	"fmt"
	"math"
	"testing"
)

type windowCase struct {
	name string
	rows int
	spec WindowSpec
}

// windowCases are convolutions with a 2×2 pool.
func windowCases() []windowCase {
	conv := func(h, w, c, f, k, stride int) windowCase {
		s := WindowSpec{Right: stride * c, Down: stride * w * c}
		oh, ow := (h-k)/stride+1, (w-k)/stride+1
		s.GemmSpec = GemmSpec{Grid: Grid{ow / 2, 2 * s.Down, 2 * s.Right, ow / 2 * f, f}, Outs: f, WTap: f, WOut: 1}
		for y := range k {
			s.Taps = append(s.Taps, Run{int32(y * w * c), int32(y * k * c), int32(k * c)})
		}
		return windowCase{fmt.Sprintf("%dx%dx%d by %d to %d, stride %d", h, w, c, k, f, stride), oh / 2, s}
	}
	cases := []windowCase{
		conv(28, 28, 1, 8, 3, 1), conv(14, 14, 6, 16, 5, 1), conv(9, 12, 3, 32, 3, 1), conv(13, 11, 2, 5, 3, 2), conv(4, 5, 2, 3, 1, 1),
	}
	for f := 1; f <= 26; f++ {
		cases = append(cases, conv(7, 6, 1, f, 2, 1))
	}
	cases = append(cases, conv(9, 12, 1, 6, 5, 1), conv(9, 12, 1, 7, 4, 1), conv(8, 9, 2, 5, 2, 1), conv(9, 11, 1, 5, 4, 2))
	for n := range cases {
		s := &cases[n].spec
		s.Init, s.ReLU = Init(n%2), n%3 > 0
		if n%5 == 4 { // outputs, positions and weights with others between
			s.WTap, s.YCol, s.YRow, s.YOut = s.WTap+3, 2*s.YCol+1, 3*s.YRow, 2
		}
	}
	return cases
}

// TestWindow: the bits of Gemm and Pool.Max, values and indices, with ties, infinities and NaN.
func TestWindow(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n, c := range windowCases() {
			for _, kind := range []string{"reals", "integers", "NaN"} {
				name := c.name + " of " + kind
				w, err := k.NewWindow(c.spec)
				if err != nil {
					t.Fatal(err)
				}
				r := seeded(uint64(n))
				x := data(r, w.Grid.x(c.rows, w.x)*Lanes+1, kind != "reals")[1:]
				weights, bias := data(r, w.gemm.w+1, kind != "reals")[1:], data(r, w.Outs, kind != "reals")
				if kind == "NaN" {
					for range len(x) / 40 {
						x[r.IntN(len(x))] = float32(math.NaN())
						x[r.IntN(len(x))] = float32(math.Inf(1))
						x[r.IntN(len(x))] = float32(math.Inf(-1))
					}
				}
				size := w.y(c.rows, (w.Outs-1)*w.YOut+1) * Lanes
				old := data(r, size, false)
				y, y2, want := append([]float32{0}, old...)[1:], append([]float32{0}, old...)[1:], append([]float32(nil), old...)
				arg, wantArg := make([]uint8, size), make([]uint8, size)
				w.Do(y, arg, x, weights, bias, c.rows)
				w.Do(y2, nil, x, weights, bias, c.rows)
				sameBits(t, name+" without indices", y2, y)

				// the sums of every window, then their maxima
				s := w.GemmSpec
				s.Cols, s.XRow, s.XCol, s.YRow, s.YCol, s.YOut = 1, 0, 0, 0, 0, 1
				g, err := k.NewGemm(s)
				if err != nil {
					t.Fatal(err)
				}
				spec := PoolSpec{Grid: Grid{Cols: 1}, Channels: w.Outs, ReLU: w.ReLU}
				for i := range windowSums {
					spec.Taps = append(spec.Taps, PoolTap{int32(i * w.Outs), int32(i)})
				}
				p, err := k.NewPool(spec)
				if err != nil {
					t.Fatal(err)
				}
				vectors := w.Outs * Lanes
				sums, best, index := make([]float32, windowSums*vectors), make([]float32, vectors), make([]uint8, vectors)
				for row := range c.rows {
					for col := range w.Cols {
						for i, at := range []int{0, w.Right, w.Down, w.Right + w.Down} {
							g.Do(sums[i*vectors:], x[(row*w.XRow+col*w.XCol+at)*Lanes:], weights, bias, 1)
						}
						p.Max(best, index, sums, 1)
						for j := range w.Outs {
							out := (row*w.YRow + col*w.YCol + j*w.YOut) * Lanes
							copy(want[out:out+Lanes], best[j*Lanes:])
							copy(wantArg[out:out+Lanes], index[j*Lanes:])
						}
					}
				}
				if k.Path() == Portable { // which NaN comes of two is the compiler's choice, another with -race
					oneNaN(y)
					oneNaN(want)
				}
				sameBits(t, name, y, want)
				for i, v := range arg {
					if v != wantArg[i] {
						t.Fatalf("%s: index %d at %d, want %d", name, v, i, wantArg[i])
					}
				}
			}
		}
	})
}

func TestIdenticalWindow(t *testing.T) {
	t.Parallel()
	for n, c := range windowCases() {
		natives(t, c.name, func(k *Kernels) []float32 {
			w, err := k.NewWindow(c.spec)
			if err != nil {
				t.Fatal(err)
			}
			r := seeded(uint64(n))
			y := make([]float32, w.y(c.rows, (w.Outs-1)*w.YOut+1)*Lanes)
			w.Do(y, nil, data(r, w.Grid.x(c.rows, w.x)*Lanes, false), data(r, w.gemm.w, false), data(r, w.Outs, false), c.rows)
			return y
		})
	}
}

func TestWindowSpec(t *testing.T) {
	t.Parallel()
	k, err := Open("portable")
	if err != nil {
		t.Fatal(err)
	}
	good := WindowSpec{GemmSpec: GemmSpec{Grid: Grid{Cols: 1}, Taps: []Run{{0, 0, 1}}, Outs: 1, WTap: 1, WOut: 1}, Right: 1, Down: 2}
	for name, change := range map[string]func(s *WindowSpec){
		"negative step": func(s *WindowSpec) { s.Down = -1 },
		"accumulate":    func(s *WindowSpec) { s.Init = Accumulate },
		"packed":        func(s *WindowSpec) { s.Packed = 1 },
		"strided":       func(s *WindowSpec) { s.WOut = 2 },
		"no taps":       func(s *WindowSpec) { s.Taps = nil },
	} {
		s := good
		change(&s)
		if _, err := k.NewWindow(s); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w, err := k.NewWindow(good)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a short x was accepted")
		}
	}()
	w.Do(make([]float32, 16), nil, make([]float32, 63), make([]float32, 1), nil, 1)
}

// oneNaN makes all NaNs the same one.
func oneNaN(values []float32) {
	for i, v := range values {
		if v != v {
			values[i] = float32(math.NaN())
		}
	}
}
