package kernel

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// paths runs a test on every path of this processor.
func paths(t *testing.T, f func(t *testing.T, k *Kernels)) {
	t.Helper()
	for _, p := range Available() {
		k, err := Open(string(p))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(string(p), func(t *testing.T) { f(t, k) })
	}
}

// data fills a slice with reals in [-1, 1), or with integers from -3 to 3.
func data(r *rand.Rand, n int, integers bool) []float32 {
	s := make([]float32, n)
	for i := range s {
		if s[i] = r.Float32()*2 - 1; integers {
			s[i] = float32(r.IntN(7) - 3)
		}
	}
	return s
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// sum is a float64 sum and the sum of its terms' absolute values.
type sum struct {
	v, abs float64
	n      int
}

func (s *sum) add(a, b float32) {
	p := float64(a) * float64(b)
	s.v += p
	s.abs += math.Abs(p)
	s.n++
}

// check compares with the derived bound 2(n+1)·u·Σ|ab|, which is 0 where all terms are small integers.
func (s *sum) check(t *testing.T, what string, i int, got float32, exact bool) {
	t.Helper()
	bound := 2 * float64(s.n+1) * 0x1p-24 * s.abs
	if exact {
		bound = 0
	}
	if d := math.Abs(float64(got) - s.v); !(d <= bound) {
		t.Fatalf("%s[%d]: got %v, want %v, off by %.3g, allowed %.3g", what, i, got, s.v, d, bound)
	}
}

func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s[%d]: got %v (%#08x), want %v (%#08x)", what, i, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	have := Available()
	if have[len(have)-1] != Portable {
		t.Errorf("the last of %v is not portable", have)
	}
	for _, name := range []string{"sse9", "AVX2"} {
		if _, err := Open(name); !errors.Is(err, ErrPath) {
			t.Errorf("Open(%q): %v", name, err)
		}
	}
	for _, p := range []Path{Portable, AVX2, AVX512, NEON} {
		k, err := Open(string(p))
		if slices.Contains(have, p) != (err == nil) {
			t.Errorf("Open(%q): %v, available are %v", p, err, have)
		}
		if err == nil && k.Path() != p {
			t.Errorf("Open(%q) has path %q", p, k.Path())
		}
	}
	if k, err := Open(""); err != nil || k.Path() != have[0] {
		t.Errorf(`Open(""): %v, %v`, k, err)
	}
}

func TestFlushSubnormals(t *testing.T) {
	tiny := math.Float32frombits(1 << 10)
	f := FlushSubnormals()
	flushed := double(tiny)
	f.Restore()
	if flushed != 0 {
		t.Errorf("2·%g is %g while subnormals are flushed", tiny, flushed)
	}
	if got := double(tiny); got == 0 {
		t.Errorf("2·%g is 0 after Restore", tiny)
	}
}

//go:noinline
func double(v float32) float32 { return v + v }
