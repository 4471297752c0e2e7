package kernel

import (
	"errors"
	"fmt"
	"math"
	"testing"
)

// gemmCase is a convolution, a dense layer or an input gradient as the plan would ask for it.
type gemmCase struct {
	name string
	rows int
	spec GemmSpec
}

func gemmCases() []gemmCase {
	conv := func(h, w, c, f, kh, kw, stride, dilation int) gemmCase {
		oh, ow := (h-(kh-1)*dilation-1)/stride+1, (w-(kw-1)*dilation-1)/stride+1
		var taps []Run
		for y := range kh {
			if dilation == 1 {
				taps = append(taps, Run{int32(y * w * c), int32(y * kw * c), int32(kw * c)})
				continue
			}
			for x := range kw {
				taps = append(taps, Run{int32((y*w + x) * dilation * c), int32((y*kw + x) * c), int32(c)})
			}
		}
		return gemmCase{fmt.Sprintf("conv %dx%dx%d %dx%d to %d stride %d dilation %d", h, w, c, kh, kw, f, stride, dilation), oh,
			GemmSpec{Grid: Grid{ow, stride * w * c, stride * c, ow * f, f}, Taps: taps, Outs: f, WTap: f, WOut: 1}}
	}
	dense := func(groups, in, out int) gemmCase {
		return gemmCase{fmt.Sprintf("dense %d groups %d to %d", groups, in, out), 1,
			GemmSpec{Grid: Grid{groups, 0, in, 0, out}, Taps: []Run{{0, 0, int32(in)}}, Outs: out, WTap: out, WOut: 1}}
	}
	denseGrad := func(groups, in, out int) gemmCase {
		return gemmCase{fmt.Sprintf("dense gradient %d groups %d to %d", groups, in, out), 1,
			GemmSpec{Grid: Grid{groups, 0, out, 0, in}, Taps: []Run{{0, 0, int32(out)}}, Outs: in, WTap: 1, WOut: out}}
	}
	cases := []gemmCase{
		conv(28, 28, 1, 8, 3, 3, 1, 1), conv(14, 14, 6, 16, 5, 5, 1, 1), conv(5, 5, 16, 120, 5, 5, 1, 1), conv(8, 9, 3, 7, 3, 2, 1, 1),
		conv(9, 9, 2, 5, 3, 3, 2, 1), conv(9, 9, 2, 5, 3, 3, 1, 2), conv(6, 6, 32, 64, 3, 3, 1, 1), conv(5, 7, 5, 1, 1, 1, 1, 1), conv(11, 11, 4, 33, 1, 1, 2, 1),
		dense(2, 1352, 28), dense(8, 120, 84), dense(1, 84, 10), dense(3, 7, 1), dense(5, 9, 131),
		denseGrad(2, 1352, 28), denseGrad(8, 120, 84), denseGrad(1, 33, 10), denseGrad(3, 5, 1),
		conv(5, 6, 40, 70, 3, 3, 1, 1),
	}
	for cols := range 9 {
		for outs := 1; outs <= 40; outs++ {
			cases = append(cases, gemmCase{fmt.Sprintf("tile %dx%d", cols+1, outs), 2, GemmSpec{
				Grid: Grid{cols + 1, 31, 2, 64 * 9, 64}, Taps: []Run{{0, 0, 3}, {7, 5, 1}}, Outs: outs, WTap: outs + outs%3, WOut: 1}})
		}
	}
	return cases
}

func (c gemmCase) run(t *testing.T, k *Kernels, integers bool, seed uint64) (y, x, w, bias []float32, g *Gemm) {
	t.Helper()
	g, err := k.NewGemm(c.spec)
	if err != nil {
		t.Fatal(err)
	}
	r := seeded(seed)
	// an odd offset: nothing may rely on alignment
	x = data(r, g.Grid.x(c.rows, g.x)*Lanes+3, integers)[3:]
	w = data(r, g.w+1, integers)[1:]
	bias = data(r, c.spec.Outs, integers)
	y = data(r, g.Grid.y(c.rows, (g.Outs-1)*g.YOut+1)*Lanes+5, integers)[5:]
	g.Do(y, x, w, bias, c.rows)
	return y, x, w, bias, g
}

// TestPackedWeights: the same sums in the same order, whether the weights are packed or not.
func TestPackedWeights(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n, c := range gemmCases() {
			if c.spec.WOut != 1 {
				continue
			}
			c.spec.Init, c.spec.ReLU = Init(n%3), n%4 == 1
			want, x, w, bias, g := c.run(t, k, false, uint64(n))
			s := c.spec
			rows := (g.w + s.WTap - 1) / s.WTap
			s.Packed = rows + 2 // a region of a kernel need not reach its last tap
			p, err := k.NewGemm(s)
			if err != nil {
				t.Fatal(err)
			}
			packed := make([]float32, s.Packed*s.Outs)
			half := rows / 2
			PackWeights(packed, w, s.Outs, s.WTap, 0, half, s.Packed)
			PackWeights(packed, w[half*s.WTap:], s.Outs, s.WTap, half, rows-half, s.Packed)
			r := seeded(uint64(n))
			data(r, len(x)+3, false)
			data(r, len(w)+1, false)
			data(r, len(bias), false)
			got := data(r, len(want)+5, false)[5:]
			p.Do(got, x, packed, bias, c.rows)
			sameBits(t, c.name, got, want)
		}
	})
}

func TestGemm(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n, c := range gemmCases() {
			c.spec.Init, c.spec.ReLU = Init(n%3), n%4 == 1
			for _, integers := range []bool{false, true} {
				y, x, w, bias, g := c.run(t, k, integers, uint64(n))
				// the values that y had, drawn as run drew them
				r := seeded(uint64(n))
				data(r, len(x)+3, integers)
				data(r, len(w)+1, integers)
				data(r, len(bias), integers)
				old := data(r, len(y)+5, integers)[5:]
				for row := range c.rows {
					for col := range g.Cols {
						for j := range g.Outs {
							at := (row*g.YRow + col*g.YCol + j*g.YOut) * Lanes
							for l := range Lanes {
								var s sum
								switch g.Init {
								case Bias:
									s.add(bias[j], 1)
								case Accumulate:
									s.add(old[at+l], 1)
								case Zero:
								}
								for _, run := range g.Taps {
									for i := range int(run.N) {
										s.add(w[(int(run.W)+i)*g.WTap+j*g.WOut], x[(row*g.XRow+col*g.XCol+int(run.X)+i)*Lanes+l])
									}
								}
								if g.ReLU && s.v < 0 {
									s.v = 0
								}
								s.check(t, c.name, at+l, y[at+l], integers)
								old[at+l] = y[at+l]
							}
						}
					}
				}
				sameBits(t, c.name+": outside of the outputs", y, old)
			}
		}
	})
}

func TestGemmNaN(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		g, err := k.NewGemm(GemmSpec{Grid: Grid{Cols: 1}, Taps: []Run{{0, 0, 1}}, Outs: 7, WTap: 7, WOut: 1, ReLU: true})
		if err != nil {
			t.Fatal(err)
		}
		x, w, y := make([]float32, Lanes), data(seeded(1), 7, false), make([]float32, 7*Lanes)
		inf := float32(math.Inf(1))
		for i := range w {
			w[i] = 1
		}
		x[0], x[1], x[2], x[3] = float32(math.NaN()), inf, -inf, -2
		g.Do(y, x, w, nil, 1)
		for j := range 7 {
			if v := y[j*Lanes:]; v[0] == v[0] || v[1] != inf || v[2] != 0 || v[3] != 0 || v[4] != 0 {
				t.Errorf("relu of NaN, +Inf, -Inf, -2 and 0 is %v", v[:5])
			}
		}
	})
}

func TestGemmSpec(t *testing.T) {
	t.Parallel()
	k, err := Open("portable")
	if err != nil {
		t.Fatal(err)
	}
	good := GemmSpec{Grid: Grid{Cols: 1}, Taps: []Run{{0, 0, 1}}, Outs: 1, WTap: 1, WOut: 1}
	for name, change := range map[string]func(s *GemmSpec){
		"no columns":      func(s *GemmSpec) { s.Cols = 0 },
		"negative stride": func(s *GemmSpec) { s.XRow = -1 },
		"no taps":         func(s *GemmSpec) { s.Taps = nil },
		"negative offset": func(s *GemmSpec) { s.Taps = []Run{{-1, 0, 1}} },
		"empty run":       func(s *GemmSpec) { s.Taps = []Run{{0, 0, 0}} },
		"no outputs":      func(s *GemmSpec) { s.Outs = 0 },
		"unknown init":    func(s *GemmSpec) { s.Init = 3 },
	} {
		s := good
		change(&s)
		if _, err := k.NewGemm(s); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: %v", name, err)
		}
	}
	g, err := k.NewGemm(good)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a short x was accepted")
		}
	}()
	g.Do(make([]float32, 16), make([]float32, 15), make([]float32, 1), nil, 1)
}
