package kernel

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// benchPaths runs a benchmark on every path. It reports the rate of the fastest call, in GFLOP/s and as a share of the peak measured
// just before: on a shared machine the mean says more about the neighbours. Negative flops are a number of vectors, for a time each.
func benchPaths(b *testing.B, run func(b *testing.B, k *Kernels) (flops int64, once func())) {
	for _, p := range Available() {
		b.Run(string(p), func(b *testing.B) {
			k, err := Open(string(p))
			if err != nil {
				b.Fatal(err)
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			flops, once := run(b, k)
			once()
			peak := k.Peak(20 * time.Millisecond)
			b.ReportAllocs()
			start := threadTime()
			once()
			calls := 1 + int(20*time.Microsecond/max(threadTime()-start, 100)) // reading the clock takes a third of a microsecond
			best := time.Duration(1 << 62)
			for b.Loop() {
				start := threadTime()
				for range calls {
					once()
				}
				best = min(best, threadTime()-start)
			}
			best /= time.Duration(calls)
			peak = max(peak, k.Peak(20*time.Millisecond))
			b.ReportMetric(best.Seconds()*1e6, "best-µs")
			if flops < 0 {
				b.ReportMetric(best.Seconds()*1e9/float64(-flops), "ns/vec")
			}
			if flops > 0 {
				rate := float64(flops) / best.Seconds() / 1e9
				b.ReportMetric(rate, "GFLOP/s")
				if peak > 0 {
					b.ReportMetric(100*rate/peak, "%peak")
				}
			}
		})
	}
}

// convShape is a valid convolution: an input of h×w×c and f filters of k×k.
type convShape struct {
	name    string
	h, w, c int
	k, f    int
}

var convShapes = []convShape{
	{"cnn", 28, 28, 1, 3, 8},
	{"cnn-band", 4, 28, 1, 3, 8}, // two rows, as a plan asks for them
	{"lenet1", 28, 28, 1, 3, 6},
	{"lenet2", 14, 14, 6, 5, 16},
	{"lenet3", 5, 5, 16, 5, 120},
	{"vgg64", 34, 34, 64, 3, 64},
	{"vgg128", 18, 18, 128, 3, 128},
	{"resnet512", 6, 6, 512, 3, 512},
	{"alexnet1", 59, 59, 3, 11, 96},
}

func (s convShape) taps() []Run {
	var runs []Run
	for ky := range s.k {
		runs = append(runs, Run{int32(ky * s.w * s.c), int32(ky * s.k * s.c), int32(s.k * s.c)})
	}
	return runs
}

func (s convShape) grid() Grid {
	ow := s.w - s.k + 1
	return Grid{Cols: ow, XRow: s.w * s.c, XCol: s.c, YRow: ow * s.f, YCol: s.f}
}

func BenchmarkConvForward(b *testing.B) {
	for _, s := range convShapes {
		b.Run(s.name, func(b *testing.B) {
			benchPaths(b, func(b *testing.B, k *Kernels) (int64, func()) {
				rows := s.h - s.k + 1
				g, err := k.NewGemm(GemmSpec{Grid: s.grid(), Taps: s.taps(), Outs: s.f, WTap: s.f, WOut: 1, Init: Bias, ReLU: true})
				if err != nil {
					b.Fatal(err)
				}
				y, x := make([]float32, rows*(s.w-s.k+1)*s.f*Lanes), filled(s.h*s.w*s.c*Lanes)
				w, bias := filled(s.k*s.k*s.c*s.f), filled(s.f)
				return g.Flops(rows), func() { g.Do(y, x, w, bias, rows) }
			})
		})
	}
}

// BenchmarkConvMaxPool is a convolution with a 2×2 pool a row of windows at a time: with the sums stored, and as a Window.
func BenchmarkConvMaxPool(b *testing.B) {
	for _, s := range []convShape{{"cnn", 28, 28, 1, 3, 8}, {"lenet1", 28, 28, 1, 3, 6}, {"lenet2", 14, 14, 6, 5, 16}, {"cifar", 32, 32, 3, 3, 32}, {"small", 16, 16, 16, 3, 64}, {"large", 14, 14, 24, 5, 36}} {
		oh, ow := (s.h-s.k+1)/2, (s.w-s.k+1)/2
		x, w, bias := filled(s.h*s.w*s.c*Lanes), filled(s.k*s.k*s.c*s.f), filled(s.f)
		y, arg, sums := make([]float32, oh*ow*s.f*Lanes), make([]uint8, oh*ow*s.f*Lanes), make([]float32, 2*(s.w-s.k+1)*s.f*Lanes)
		spec := GemmSpec{Grid: s.grid(), Taps: s.taps(), Outs: s.f, WTap: s.f, WOut: 1, Init: Bias, ReLU: true}
		b.Run(s.name+"/sums", func(b *testing.B) {
			benchPaths(b, func(b *testing.B, k *Kernels) (int64, func()) {
				g, err := k.NewGemm(spec)
				if err != nil {
					b.Fatal(err)
				}
				pool := PoolSpec{Grid: Grid{Cols: ow, XCol: 2 * s.f, YCol: s.f}, Channels: s.f}
				for i := range 4 {
					pool.Taps = append(pool.Taps, PoolTap{int32((i/2*(s.w-s.k+1) + i%2) * s.f), int32(i)})
				}
				p, err := k.NewPool(pool)
				if err != nil {
					b.Fatal(err)
				}
				return g.Flops(2 * oh), func() {
					for r := range oh {
						at := r * ow * s.f * Lanes
						g.Do(sums, x[2*r*s.w*s.c*Lanes:], w, bias, 2)
						p.Max(y[at:], arg[at:], sums, 1)
					}
				}
			})
		})
		b.Run(s.name+"/windows", func(b *testing.B) {
			benchPaths(b, func(b *testing.B, k *Kernels) (int64, func()) {
				ws := WindowSpec{GemmSpec: spec, Right: s.c, Down: s.w * s.c}
				ws.Grid = Grid{Cols: ow, XCol: 2 * s.c, YCol: s.f}
				g, err := k.NewWindow(ws)
				if err != nil {
					b.Fatal(err)
				}
				return int64(oh) * g.Flops(1), func() {
					for r := range oh {
						at := r * ow * s.f * Lanes
						g.Do(y[at:], arg[at:], x[2*r*s.w*s.c*Lanes:], w, bias, 1)
					}
				}
			})
		})
	}
}

// BenchmarkPlanes is the products of Winograd's transform: 36 planes of so many tiles, channels and filters.
func BenchmarkPlanes(b *testing.B) {
	for _, s := range [][3]int{{4, 64, 64}, {4, 128, 128}, {4, 512, 512}, {1, 512, 512}} {
		b.Run(fmt.Sprint(s), func(b *testing.B) {
			benchPaths(b, func(b *testing.B, k *Kernels) (int64, func()) {
				tiles, c, f := s[0], s[1], s[2]
				g, err := k.NewGemm(GemmSpec{Grid: Grid{Cols: tiles, XRow: tiles * c, XCol: c, YRow: tiles * f, YCol: f}, Taps: []Run{{0, 0, int32(c)}}, Outs: f, Packed: c})
				if err != nil {
					b.Fatal(err)
				}
				y, x, w := make([]float32, 36*tiles*f*Lanes), filled(36*tiles*c*Lanes), filled(36*c*f)
				return 36 * g.Flops(1), func() {
					for i := range 36 {
						g.Do(y[i*tiles*f*Lanes:], x[i*tiles*c*Lanes:], w[i*c*f:], nil, 1)
					}
				}
			})
		})
	}
}

// BenchmarkPackedForward is BenchmarkConvForward with packed weights.
func BenchmarkPackedForward(b *testing.B) {
	for _, s := range convShapes[5:8] {
		b.Run(s.name, func(b *testing.B) {
			benchPaths(b, func(b *testing.B, k *Kernels) (int64, func()) {
				rows := s.h - s.k + 1
				g, err := k.NewGemm(GemmSpec{Grid: s.grid(), Taps: s.taps(), Outs: s.f, Packed: s.k * s.k * s.c, Init: Bias, ReLU: true})
				if err != nil {
					b.Fatal(err)
				}
				y, x := make([]float32, rows*(s.w-s.k+1)*s.f*Lanes), filled(s.h*s.w*s.c*Lanes)
				w, bias := filled(s.k*s.k*s.c*s.f), filled(s.f)
				return g.Flops(rows), func() { g.Do(y, x, w, bias, rows) }
			})
		})
	}
}

// BenchmarkOutputs is one image through convolutions and dense layers, with lanes over outputs.
func BenchmarkOutputs(b *testing.B) {
	for _, s := range []convShape{
		{"cnn", 28, 28, 1, 3, 8}, {"lenet2", 14, 14, 6, 5, 16}, {"vgg64", 34, 34, 64, 3, 64}, {"alexnet1", 59, 59, 3, 11, 96},
		{"alexnet2", 31, 31, 48, 5, 128}, {"alexnet3", 15, 15, 256, 3, 384}, {"alexnet6", 1, 1, 9216, 1, 4096}, {"lenet4", 1, 1, 120, 1, 84},
	} {
		b.Run(s.name, func(b *testing.B) {
			benchPaths(b, func(b *testing.B, k *Kernels) (int64, func()) {
				rows := s.h - s.k + 1
				o, err := k.NewOutputs(OutputsSpec{
					Regions: []OutputsRegion{{Grid: s.grid(), Rows: rows, Taps: s.taps()}}, Outs: s.f, WTap: s.f, Init: Bias, ReLU: true,
				})
				if err != nil {
					b.Fatal(err)
				}
				y, x := make([]float32, rows*(s.w-s.k+1)*s.f), filled(s.h*s.w*s.c)
				w, bias := filled(s.k*s.k*s.c*s.f), filled(s.f)
				return o.Flops(), func() { o.Do(y, x, w, bias) }
			})
		})
	}
}

func BenchmarkDenseForward(b *testing.B) {
	for _, s := range [][3]int{{2, 1352, 28}, {8, 120, 84}, {2, 9216, 4096}, {2, 168, 28}} {
		b.Run("", func(b *testing.B) {
			benchPaths(b, func(b *testing.B, k *Kernels) (int64, func()) {
				g, err := k.NewGemm(GemmSpec{Grid: Grid{Cols: s[0], XCol: s[1], YCol: s[2]}, Taps: []Run{{0, 0, int32(s[1])}}, Outs: s[2], WTap: s[2], WOut: 1, Init: Bias})
				if err != nil {
					b.Fatal(err)
				}
				y, x, w, bias := make([]float32, s[0]*s[2]*Lanes), filled(s[0]*s[1]*Lanes), filled(s[1]*s[2]), filled(s[2])
				return g.Flops(1), func() { g.Do(y, x, w, bias, 1) }
			})
		})
	}
}

func BenchmarkDenseInputGrad(b *testing.B) {
	for _, s := range [][3]int{{2, 1352, 28}, {8, 120, 84}, {2, 9216, 4096}, {2, 168, 28}} {
		b.Run("", func(b *testing.B) {
			benchPaths(b, func(b *testing.B, k *Kernels) (int64, func()) {
				g, err := k.NewGemm(GemmSpec{Grid: Grid{Cols: s[0], XCol: s[2], YCol: s[1]}, Taps: []Run{{0, 0, int32(s[2])}}, Outs: s[1], WTap: 1, WOut: s[2]})
				if err != nil {
					b.Fatal(err)
				}
				y, x, w := make([]float32, s[0]*s[1]*Lanes), filled(s[0]*s[2]*Lanes), filled(s[1]*s[2])
				return g.Flops(1), func() { g.Do(y, x, w, nil, 1) }
			})
		})
	}
}

func (s convShape) gradGrid(ld int) Grid {
	g := s.grid()
	g.YRow, g.YCol = g.YRow/s.f*ld, ld
	return g
}

func BenchmarkConvWeightGrad(b *testing.B) {
	for _, s := range convShapes {
		b.Run(s.name, func(b *testing.B) {
			benchPaths(b, func(b *testing.B, k *Kernels) (int64, func()) {
				rows, taps := s.h-s.k+1, s.k*s.k*s.c
				x := filled(s.h * s.w * s.c * Lanes)
				if PreferLanes(s.f) {
					g, err := k.NewGradLanes(GradSpec{s.gradGrid(s.f), s.taps(), s.f})
					if err != nil {
						b.Fatal(err)
					}
					acc, dy := make([]float32, taps*s.f*Lanes), filled(rows*(s.w-s.k+1)*s.f*Lanes)
					return g.Flops(rows), func() { clear(acc); g.Do(acc, x, dy, rows) }
				}
				g, err := k.NewGradOuter(GradSpec{s.gradGrid(Padded(s.f)), s.taps(), s.f}, s.f)
				if err != nil {
					b.Fatal(err)
				}
				dw, dy := make([]float32, taps*s.f), filled(rows*(s.w-s.k+1)*Padded(s.f)*Lanes)
				return g.Flops(rows), func() { g.Do(dw, x, dy, rows, false) }
			})
		})
	}
}

// BenchmarkConvMaxPoolGrad is the weight gradient of a convolution with a ReLU and a 2×2 pool: a row of windows at a time by way of the
// sums' gradient, and as a WindowGrad.
func BenchmarkConvMaxPoolGrad(b *testing.B) {
	for _, s := range []convShape{{"cnn", 28, 28, 1, 3, 8}, {"lenet1", 28, 28, 1, 5, 6}, {"cifar", 32, 32, 3, 3, 12}, {"narrow", 28, 28, 1, 1, 8}} {
		oh, ow := (s.h-s.k+1)/2, (s.w-s.k+1)/2
		taps, width := s.k*s.k*s.c, 2*ow*s.f
		x, dy := filled(s.h*s.w*s.c*Lanes), filled(oh*ow*s.f*Lanes)
		acc, bias, arg := make([]float32, taps*s.f*Lanes), make([]float32, s.f*Lanes), make([]uint8, oh*ow*s.f*Lanes)
		for i := range arg {
			if arg[i] = uint8(i / 7 % (windowSums + 1)); arg[i] == windowSums {
				arg[i] = Closed
			}
		}
		row := 2 * s.w * s.c * Lanes
		b.Run(s.name+"/sums", func(b *testing.B) {
			benchPaths(b, func(b *testing.B, k *Kernels) (int64, func()) {
				pool := PoolSpec{Grid: Grid{Cols: ow, XCol: 2 * s.f, YCol: s.f}, Channels: s.f}
				for i := range windowSums {
					pool.Taps = append(pool.Taps, PoolTap{int32(i/2*width + i%2*s.f), int32(i)})
				}
				p, err := k.NewPool(pool)
				if err != nil {
					b.Fatal(err)
				}
				g, err := k.NewGradLanes(GradSpec{Grid{2 * ow, s.w * s.c, s.c, width, s.f}, s.taps(), s.f})
				if err != nil {
					b.Fatal(err)
				}
				dz := make([]float32, 2*width*Lanes)
				return int64(oh) * g.Flops(2), func() {
					for r := range oh {
						at := r * ow * s.f * Lanes
						p.MaxGrad(dz, dy[at:], arg[at:], 1, false)
						k.AddPositions(bias, dz, s.f, s.f, 4*ow)
						g.Do(acc, x[r*row:], dz, 2)
					}
				}
			})
		})
		b.Run(s.name+"/windows", func(b *testing.B) {
			benchPaths(b, func(b *testing.B, k *Kernels) (int64, func()) {
				g, err := k.NewWindowGrad(WindowGradSpec{GradSpec{Grid{ow, 2 * s.w * s.c, 2 * s.c, ow * s.f, s.f}, s.taps(), s.f}, s.c, s.w * s.c})
				if err != nil {
					b.Fatal(err)
				}
				return g.Flops(oh), func() { g.Do(acc, bias, x, dy, arg, oh) }
			})
		})
	}
}

func BenchmarkDenseUpdate(b *testing.B) {
	for _, s := range [][3]int{{2, 1352, 28}, {8, 120, 84}, {2, 9216, 4096}, {2, 168, 28}} {
		b.Run("", func(b *testing.B) {
			benchPaths(b, func(b *testing.B, k *Kernels) (int64, func()) {
				const block = 104
				ld := Padded(s[2])
				g, err := k.NewGradOuter(GradSpec{Grid{Cols: s[0], XCol: s[1], YCol: ld}, []Run{{0, 0, block}}, s[2]}, s[2])
				if err != nil {
					b.Fatal(err)
				}
				x, dy, dw := filled(s[0]*s[1]*Lanes), filled(s[0]*ld*Lanes), make([]float32, block*s[2]+UpdateSlack)
				n := s[1] * s[2]
				w, m, v := filled(n + 16*5)[16*5:], make([]float32, n+16*9)[16*9:], make([]float32, n+16*13)[16*13:]
				u := &Update{Rule: Adam, Rate: 1e-3, C1: 0.1, C2: 1e-3, Epsilon: 1e-7, Scale: 1}
				return g.Flops(1) * int64(s[1]/block), func() {
					for r := 0; r+block <= s[1]; r += block {
						i, j := r*s[2], (r+block)*s[2]
						g.Update(u, w[i:j], dw, m[i:j], v[i:j], x[r*Lanes:], dy, 1)
					}
				}
			})
		})
	}
}

func filled(n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(i%17)/16 - 0.5
	}
	return s
}
