package kernel

import "testing"

// benchPaths runs a benchmark on every path and reports GFLOP/s.
func benchPaths(b *testing.B, run func(b *testing.B, k *Kernels) (flops int64, once func())) {
	for _, p := range Available() {
		b.Run(string(p), func(b *testing.B) {
			k, err := Open(string(p))
			if err != nil {
				b.Fatal(err)
			}
			flops, once := run(b, k)
			once()
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
			if flops > 0 {
				b.ReportMetric(float64(flops)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
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

func BenchmarkDenseForward(b *testing.B) {
	for _, s := range [][3]int{{2, 1352, 28}, {8, 120, 84}, {2, 9216, 4096}} {
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
	for _, s := range [][3]int{{2, 1352, 28}, {8, 120, 84}, {2, 9216, 4096}} {
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

func filled(n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(i%17)/16 - 0.5
	}
	return s
}
