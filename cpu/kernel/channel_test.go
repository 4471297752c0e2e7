package kernel

import (
	"testing"
)

func TestChannels(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for _, c := range []int{1, 3, 8, 16, 21} {
			const positions = 5
			r := seeded(uint64(c))
			n := c * positions * Lanes
			x, mean := data(r, n, false), data(r, c, false)
			sums, squares := make([]float32, c*Lanes), make([]float32, c*Lanes)
			k.AddPositions(sums, x, c, c, positions)
			k.AddSquares(squares, x, &Norm{Mean: mean}, positions)
			for ch := range c {
				for l := range Lanes {
					var s1, s2 sum
					for p := range positions {
						i := (p*c+ch)*Lanes + l
						s1.add(x[i], 1)
						s2.add(x[i]-mean[ch], x[i]-mean[ch])
					}
					s1.check(t, "sum", ch, sums[ch*Lanes+l], false)
					s2.check(t, "squares", ch, squares[ch*Lanes+l], false)
				}
			}
		}
		for _, n := range []int{1, 16, 45} {
			r := seeded(uint64(n))
			a, b, dst := data(r, n, false), data(r, n, false), make([]float32, n)
			for name, f := range map[string]struct {
				run  func()
				want func(i int) float32
			}{
				"add":   {func() { k.Add(dst, a, b) }, func(i int) float32 { return a[i] + b[i] }},
				"mul":   {func() { k.Mul(dst, a, b) }, func(i int) float32 { return a[i] * b[i] }},
				"scale": {func() { k.Scale(dst, a, 0.3) }, func(i int) float32 { return a[i] * 0.3 }},
			} {
				f.run()
				for i, v := range dst {
					if v != f.want(i) {
						t.Errorf("%s of %d: [%d] is %v, want %v", name, n, i, v, f.want(i))
					}
				}
			}
		}
	})
}

func TestIdenticalChannels(t *testing.T) {
	t.Parallel()
	natives(t, "channels", func(k *Kernels) []float32 {
		const c, positions = 11, 7
		r := seeded(3)
		n := c * positions * Lanes
		x, mean := data(r, n, false), data(r, c, false)
		out := make([]float32, 2*c*Lanes+n)
		k.AddPositions(out, x, c, c, positions)
		k.AddSquares(out[c*Lanes:], x, &Norm{Mean: mean}, positions)
		k.Softmax(out[2*c*Lanes:], x, c, positions)
		return out
	})
}
