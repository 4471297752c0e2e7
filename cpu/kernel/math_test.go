package kernel

import (
	"math"
	"os"
	"runtime"
	"sync"
	"testing"

	"gcnn/model"
)

// stride is the step through the bit patterns of float32: all of them with GCNN_EXHAUSTIVE=1, a prime's multiples otherwise.
func stride() uint64 {
	if os.Getenv("GCNN_EXHAUSTIVE") == "1" {
		return 1
	}
	return 211
}

// sweep gives f blocks of bit patterns, the whole range on all cores. It reports the largest error in ulp of f's results against want in float64;
// results below the smallest normal number may be 0.
func sweep(t *testing.T, f func(y, x []float32), want func(x float64) float64) (worst float64, at float32) {
	t.Helper()
	var mu sync.Mutex
	patterns(func(x []float32) {
		y := make([]float32, len(x))
		f(y, x)
		local, where := 0.0, float32(0)
		for i, v := range x {
			if e := ulps(y[i], v, want); e > local {
				local, where = e, v
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if local > worst {
			worst, at = local, where
		}
	})
	return worst, at
}

// agree reports whether f and g give the same bits, any NaN for any other.
func agree(f, g func(y, x []float32)) (same bool, at float32) {
	var mu sync.Mutex
	same = true
	patterns(func(x []float32) {
		y, z := make([]float32, len(x)), make([]float32, len(x))
		f(y, x)
		g(z, x)
		for i := range x {
			if math.Float32bits(y[i]) != math.Float32bits(z[i]) && (y[i] == y[i] || z[i] == z[i]) {
				mu.Lock()
				same, at = false, x[i]
				mu.Unlock()
				return
			}
		}
	})
	return same, at
}

// patterns calls f with blocks of bit patterns, the whole range on all cores.
func patterns(f func(x []float32)) {
	const block = 1 << 12
	step := stride()
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			x := make([]float32, block)
			for b := uint64(w) * block * step; b < 1<<32; b += uint64(workers) * block * step {
				n := 0
				for ; n < block && b+uint64(n)*step < 1<<32; n++ {
					x[n] = math.Float32frombits(uint32(b + uint64(n)*step))
				}
				f(x[:n])
			}
		})
	}
	wg.Wait()
}

// ulps is the error of got in units in the last place of the float32 nearest to want(x).
func ulps(got, x float32, want func(x float64) float64) float64 {
	if x != x {
		if got != got {
			return 0
		}
		return math.Inf(1)
	}
	w := want(float64(x))
	switch {
	case math.Abs(w) < 0x1p-126:
		if math.Abs(float64(got)-w) < 0x1p-126 {
			return 0
		}
		return math.Inf(1)
	case math.Abs(w) >= 0x1.ffffffp127: // rounds to infinity
		if math.IsInf(float64(got), 0) && (got > 0) == (w > 0) {
			return 0
		}
		return math.Inf(1)
	}
	_, e := math.Frexp(w)
	d := math.Abs(float64(got)-w) / math.Ldexp(1, e-24)
	if d != d {
		return math.Inf(1)
	}
	return d
}

func tanh64(x float64) float64 {
	switch {
	case x > 20:
		return 1
	case x < -20:
		return -1
	case math.Abs(x) < 0x1p-9:
		return x * (1 + x*x*(-1./3+x*x*(2./15)))
	}
	return 1 - 2/(exp64(2*x)+1)
}

func exp64Clamped(x float64) float64 { return exp64(max(min(x, 700), -700)) }

// TestExhaustive: the functions of the first assembly path and of the portable path against float64, the other paths' against the first's bits.
func TestExhaustive(t *testing.T) {
	kernels := map[Path]*Kernels{}
	for _, p := range Available() {
		k, err := Open(string(p))
		if err != nil {
			t.Fatal(err)
		}
		kernels[p] = k
	}
	first := Available()[0]
	for _, c := range elementary {
		for _, p := range Available() {
			t.Run(c.name+"/"+string(p), func(t *testing.T) {
				f := c.f(kernels[p])
				if p != first && p != Portable {
					if same, at := agree(c.f(kernels[first]), f); !same {
						t.Errorf("at %v %s and %s differ", at, first, p)
					}
					return
				}
				worst, at := sweep(t, f, c.want)
				t.Logf("at most %.3f ulp, at %v", worst, at)
				if !(worst <= c.bound) {
					t.Errorf("%.3f ulp at %v (%#08x), allowed %v", worst, at, math.Float32bits(at), c.bound)
				}
			})
		}
	}
}

// elementary lists the functions with their values in float64 and what they may be off by, in ulp.
var elementary = []struct {
	name  string
	f     func(k *Kernels) func(y, x []float32)
	want  func(x float64) float64
	bound float64
}{
	{"exp", func(k *Kernels) func(y, x []float32) {
		return func(y, x []float32) {
			n := len(x) / Lanes * Lanes
			k.impl.softmax.exp(y[:n], x[:n], &softmaxSums{})
			for i := n; i < len(x); i++ {
				y[i] = exp(x[i])
			}
		}
	}, exp64Clamped, 2},
	{"tanh", activation(model.Tanh), tanh64, 2},
	{"sigmoid", activation(model.Sigmoid), func(x float64) float64 { return 1 / (1 + exp64Clamped(-x)) }, 4},
	{"elu", activation(model.ELU), func(x float64) float64 {
		switch {
		case x > 0:
			return x
		case x > -0x1p-10:
			return x * (1 + x*(1./2+x*(1./6+x/24)))
		}
		return exp64Clamped(x) - 1
	}, 4},
	{"softplus", activation(model.Softplus), func(x float64) float64 { return max(x, 0) + math.Log1p(exp64Clamped(-math.Abs(x))) }, 4},
	{"gelu", activation(model.GELU), func(x float64) float64 {
		if x < -40 {
			return 0
		}
		return x * 0.5 * math.Erfc(-x/math.Sqrt2)
	}, 8},
}

func activation(f model.ActivationFunc) func(k *Kernels) func(y, x []float32) {
	return func(k *Kernels) func(y, x []float32) {
		return func(y, x []float32) { k.Activate(f, 1, y, x) }
	}
}

// TestReference compares the float64 exponential, which the tests and the portable path stand on, with the standard library's.
func TestReference(t *testing.T) {
	t.Parallel()
	for x := -180.0; x < 180; x += 0.0137 {
		if got, want := exp64(x), math.Exp(x); math.Abs(got-want) > 0x1p-44*want {
			t.Fatalf("exp64(%v) = %v, want %v", x, got, want)
		}
	}
	for x := -12.0; x < 12; x += 0.00137 {
		if got, want := tanh64(x), math.Tanh(x); math.Abs(got-want) > 0x1p-40*math.Abs(want) {
			t.Fatalf("tanh64(%v) = %v, want %v", x, got, want)
		}
	}
}
