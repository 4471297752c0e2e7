package kernel

import "testing"

// natives runs f on every path but the portable one and compares what it returns bit for bit.
func natives(t *testing.T, what string, f func(k *Kernels) []float32) {
	t.Helper()
	var want []float32
	for _, p := range Available() {
		if p == Portable {
			continue
		}
		k, err := Open(string(p))
		if err != nil {
			t.Fatal(err)
		}
		got := f(k)
		if want == nil {
			want = got
		}
		sameBits(t, what+" on "+string(p), got, want)
	}
}

func TestIdenticalGemm(t *testing.T) {
	t.Parallel()
	for n, c := range gemmCases() {
		c.spec.Init, c.spec.ReLU = Init(n%3), n%4 == 1
		natives(t, c.name, func(k *Kernels) []float32 {
			y, _, _, _, _ := c.run(t, k, false, uint64(n))
			return y
		})
	}
}

func TestIdenticalGrads(t *testing.T) {
	t.Parallel()
	for n, c := range gradCases() {
		natives(t, c.name, func(k *Kernels) []float32 { return runGrads(t, k, c, n) })
	}
}
