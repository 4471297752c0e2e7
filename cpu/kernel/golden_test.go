package kernel

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"testing"
)

// TestGoldenBits compares every assembly path with the bits that AVX2 gave: the order of summation is one for all processors.
func TestGoldenBits(t *testing.T) {
	t.Parallel()
	const gemmBits, gradBits, updateBits uint64 = 0xcc1fa23e2c013d3b, 0x8e07d9c300069256, 0x6f56a9e8d340f179
	hash := func(values ...[]float32) uint64 {
		h := fnv.New64a()
		var b [4]byte
		for _, v := range values {
			for _, x := range v {
				binary.LittleEndian.PutUint32(b[:], math.Float32bits(x))
				h.Write(b[:])
			}
		}
		return h.Sum64()
	}
	for _, p := range Available() {
		if p == Portable {
			continue
		}
		k, err := Open(string(p))
		if err != nil {
			t.Fatal(err)
		}
		var sums [][]float32
		for n, c := range gemmCases() {
			c.spec.Init, c.spec.ReLU = Init(n%3), n%4 == 1
			y, _, _, _, _ := c.run(t, k, false, uint64(n))
			sums = append(sums, y)
		}
		if got := hash(sums...); got != gemmBits {
			t.Errorf("Gemm on %s: hash %#x, want %#x", p, got, gemmBits)
		}
		sums = nil
		for n, c := range gradCases() {
			sums = append(sums, runGrads(t, k, c, n))
		}
		if got := hash(sums...); got != gradBits {
			t.Errorf("weight gradients on %s: hash %#x, want %#x", p, got, gradBits)
		}
		sums = nil
		for n, u := range updates() {
			const size = 4000
			r := seeded(uint64(n))
			w, s1, s2 := data(r, size, false), make([]float32, size), make([]float32, size)
			for range 3 {
				k.Update(&u, w, data(r, size, false), s1, s2)
			}
			sums = append(sums, w, s1, s2)
		}
		if got := hash(sums...); got != updateBits {
			t.Errorf("optimisers on %s: hash %#x, want %#x", p, got, updateBits)
		}
	}
}

// runGrads computes a case's weight gradient both ways: the lanes' sums, then those of GradOuter.
func runGrads(t *testing.T, k *Kernels, c gradCase, n int) []float32 {
	t.Helper()
	r := seeded(uint64(n))
	g, err := k.NewGradLanes(c.spec)
	if err != nil {
		t.Fatal(err)
	}
	acc := data(r, g.w*g.Outs*Lanes, false)
	g.Do(acc, data(r, g.Grid.x(c.rows, g.x)*Lanes, false), data(r, g.y(c.rows, g.Outs)*Lanes, false), c.rows)
	s := c.spec
	s.YRow, s.YCol = s.YRow/s.Outs*Padded(s.Outs), s.YCol/s.Outs*Padded(s.Outs)
	o, err := k.NewGradOuter(s, s.Outs)
	if err != nil {
		t.Fatal(err)
	}
	dw := data(r, o.w, false)
	o.Do(dw, data(r, o.Grid.x(c.rows, o.x)*Lanes, false), data(r, o.y(c.rows, Padded(o.Outs))*Lanes, false), c.rows, n%2 == 0)
	return append(acc, dw...)
}
