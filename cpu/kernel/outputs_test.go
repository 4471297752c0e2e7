package kernel

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// lane is lane l of vectors.
func lane(x []float32, l int) []float32 {
	y := make([]float32, (len(x)-l+Lanes-1)/Lanes)
	for i := range y {
		y[i] = x[i*Lanes+l]
	}
	return y
}

// outputsCases are those of Gemm whose outputs lie side by side, and some with many taps, whose rows are far apart.
func outputsCases() []gemmCase {
	var cases []gemmCase
	for _, c := range gemmCases() {
		if c.spec.WOut == 1 && c.spec.YOut <= 1 && c.spec.WTap >= c.spec.Outs {
			cases = append(cases, c)
		}
	}
	for _, s := range []struct{ cols, rows, taps, outs, wtap int }{
		{13, 3, 700, 130, 384}, {9, 1, 193, 64, 65}, {7, 2, 97, 200, 200}, {1, 1, 1000, 515, 600}, {3, 1, 300, 72, 72}, {5, 4, 96, 24, 24},
	} {
		cases = append(cases, gemmCase{fmt.Sprintf("%+v", s), s.rows, GemmSpec{
			Grid: Grid{s.cols, 20 * s.cols, 20, 700 * s.cols, 700}, Outs: s.outs, WTap: s.wtap, WOut: 1,
			Taps: []Run{{3, 0, int32(s.taps / 3)}, {50, int32(s.taps / 3), int32(s.taps - s.taps/3 - 1)}, {0, int32(s.taps), 1}},
		}})
	}
	return cases
}

// TestOutputs holds every lane of a Gemm against the product whose lanes are outputs, bit for bit.
func TestOutputs(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n, c := range outputsCases() {
			c.spec.Init, c.spec.ReLU = Init(n%3), n%4 == 1
			want, x, w, bias, g := c.run(t, k, false, uint64(n))
			r := seeded(uint64(n)) // the values that y had, drawn as run drew them
			data(r, len(x)+3, false)
			data(r, len(w)+1, false)
			data(r, len(bias), false)
			old := data(r, len(want)+5, false)[5:]
			o, err := k.NewOutputs(OutputsSpec{
				Regions: []OutputsRegion{{Grid: g.Grid, Rows: c.rows, Taps: g.Taps}}, Outs: g.Outs, WTap: g.WTap, Init: g.Init, ReLU: g.ReLU,
			})
			if err != nil {
				t.Fatal(err)
			}
			if 16*o.Flops() != g.Flops(c.rows) {
				t.Errorf("%s: %d operations for one sample, %d for 16", c.name, o.Flops(), g.Flops(c.rows))
			}
			for l := range 2 {
				y := lane(old, l)
				o.Do(y, lane(x, l), w, bias)
				sameBits(t, c.name, y, lane(want, l))
			}
		}
	})
}

// TestOutputsRegions cuts a 3×3 convolution with padding into regions; each output's taps in one call are the same in many.
func TestOutputsRegions(t *testing.T) {
	t.Parallel()
	const h, w, c, f = 7, 9, 37, 70
	region := func(rows, cols, y0, x0 int, taps []int) OutputsRegion { // rows y0 to y0+rows of the output, by three columns of taps
		r := OutputsRegion{Grid: Grid{cols, w * c, c, w * f, f}, Rows: rows, Y: (y0*w + x0) * f}
		first := taps[0]
		r.X = ((y0+first/3-1)*w + x0 + first%3 - 1) * c
		for _, t := range taps {
			r.Taps = append(r.Taps, Run{int32(((t/3-first/3)*w + t%3 - first%3) * c), int32(t * c), c})
		}
		return r
	}
	whole := []OutputsRegion{
		region(h-2, w-2, 1, 1, []int{0, 1, 2, 3, 4, 5, 6, 7, 8}), region(1, w-2, 0, 1, []int{3, 4, 5, 6, 7, 8}),
		region(1, w-2, h-1, 1, []int{0, 1, 2, 3, 4, 5}), region(h-2, 1, 1, 0, []int{1, 2, 4, 5, 7, 8}), region(h-2, 1, 1, w-1, []int{0, 1, 3, 4, 6, 7}),
		region(1, 1, 0, 0, []int{4, 5, 7, 8}), region(1, 1, h-1, w-1, []int{0, 1, 3, 4}), region(1, 1, 0, w-1, []int{3, 4, 6, 7}),
		{Grid: Grid{Cols: 1}, Rows: 1, Y: (h - 1) * w * f}, // without taps
	}
	paths(t, func(t *testing.T, k *Kernels) {
		r := seeded(7)
		x, kern, bias := data(r, h*w*c, false), data(r, 9*c*f, false), data(r, f, false)
		do := func(regions []OutputsRegion, y []float32) {
			o, err := k.NewOutputs(OutputsSpec{Regions: regions, Outs: f, WTap: f, Init: Bias, ReLU: true})
			if err != nil {
				t.Fatal(err)
			}
			o.Do(y, x, kern, bias)
		}
		got, want := make([]float32, h*w*f), make([]float32, h*w*f)
		do(whole, got)
		for _, r := range whole { // each position alone
			for row := range r.Rows {
				for col := range r.Cols {
					one := r
					one.Rows, one.Cols = 1, 1
					one.X, one.Y = r.X+row*r.XRow+col*r.XCol, r.Y+row*r.YRow+col*r.YCol
					do([]OutputsRegion{one}, want)
				}
			}
		}
		sameBits(t, "regions", got, want)
		for j, b := range bias {
			if v := got[(h-1)*w*f+j]; v != relu(b) {
				t.Fatalf("an output without taps is %g, its bias %g", v, b)
			}
		}
	})
}

// TestDepthwise holds each channel against a Gemm of one output.
func TestDepthwise(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n, channels := range []int{1, 3, 8, 15, 16, 17, 24, 31, 40, 64} {
			for cols := 1; cols <= 9; cols++ {
				const rows = 3
				padded := Padded(channels)
				width := cols + 2
				r := seeded(uint64(n))
				x, w, bias := data(r, (rows+1)*width*padded, false), data(r, 4*channels, false), data(r, channels, false)
				region := OutputsRegion{Grid: Grid{cols, width * padded, padded, cols * padded, padded}, Rows: rows}
				var taps []Run
				for i, at := range []int{0, 2, width, width + 1} {
					region.Taps = append(region.Taps, Run{int32(at * padded), int32(i), 1})
					taps = append(taps, Run{int32(at), int32(i), 1})
				}
				init, relu := Init(cols%3), cols%2 == 0
				d, err := k.NewDepthwise([]OutputsRegion{region}, channels, init, relu)
				if err != nil {
					t.Fatal(err)
				}
				y := data(r, rows*cols*padded, false)
				old := slices.Clone(y)
				d.Do(y, x, w, bias)
				g, err := k.NewGemm(GemmSpec{
					Grid: Grid{cols, width, 1, cols, 1}, Taps: taps, Outs: 1, WTap: channels, WOut: 1, Init: init, ReLU: relu,
				})
				if err != nil {
					t.Fatal(err)
				}
				for c := range channels {
					plane := func(x []float32) []float32 { // channel c in lane 0
						v := make([]float32, len(x)/padded*Lanes)
						for p := range len(x) / padded {
							v[p*Lanes] = x[p*padded+c]
						}
						return v
					}
					want := plane(old)
					g.Do(want, plane(x), w[c:], bias[c:], rows)
					for p := range rows * cols {
						if got := y[p*padded+c]; got != want[p*Lanes] {
							t.Fatalf("%d channels, %d columns: channel %d at %d is %g, of a Gemm %g", channels, cols, c, p, got, want[p*Lanes])
						}
					}
				}
			}
		}
	})
}

func TestIdenticalOutputs(t *testing.T) {
	t.Parallel()
	for n, c := range outputsCases() {
		natives(t, c.name, func(k *Kernels) []float32 {
			o, err := k.NewOutputs(OutputsSpec{
				Regions: []OutputsRegion{{Grid: c.spec.Grid, Rows: c.rows, Taps: c.spec.Taps}}, Outs: c.spec.Outs, WTap: c.spec.WTap, Init: Bias, ReLU: n%2 == 0,
			})
			if err != nil {
				t.Fatal(err)
			}
			r := seeded(uint64(n))
			y := make([]float32, o.y)
			o.Do(y, data(r, o.x, false), data(r, o.w, false), data(r, o.Outs, false))
			return y
		})
	}
}

func TestOutputsSpec(t *testing.T) {
	t.Parallel()
	k, err := Open("portable")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(s *OutputsSpec){
		"no columns":       func(s *OutputsSpec) { s.Regions[0].Cols = 0 },
		"no rows":          func(s *OutputsSpec) { s.Regions[0].Rows = 0 },
		"negative offset":  func(s *OutputsSpec) { s.Regions[0].Y = -1 },
		"empty run":        func(s *OutputsSpec) { s.Regions[0].Taps[0].N = 0 },
		"descending rows":  func(s *OutputsSpec) { s.Regions[0].Taps = []Run{{0, 1, 1}, {1, 0, 1}} },
		"no outputs":       func(s *OutputsSpec) { s.Outs = 0 },
		"rows too close":   func(s *OutputsSpec) { s.WTap = 0 },
		"unknown init":     func(s *OutputsSpec) { s.Init = 3 },
		"overlapping rows": func(s *OutputsSpec) { s.Regions[0].Taps = []Run{{0, 0, 2}, {1, 1, 1}} },
	} {
		s := OutputsSpec{Regions: []OutputsRegion{{Grid: Grid{Cols: 1}, Rows: 1, Taps: []Run{{0, 0, 1}}}}, Outs: 1, WTap: 1}
		change(&s)
		if _, err := k.NewOutputs(s); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := k.NewDepthwise([]OutputsRegion{{Grid: Grid{Cols: 1}, Rows: 1, Taps: []Run{{0, 0, 2}}}}, 3, Zero, false); !errors.Is(err, ErrSpec) {
		t.Errorf("a run of two taps: %v", err)
	}
}
