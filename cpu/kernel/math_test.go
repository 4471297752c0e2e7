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
	const block = 1 << 12
	step := stride()
	var mu sync.Mutex
	var wg sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		wg.Go(func() {
			x, y := make([]float32, block), make([]float32, block)
			local, where := 0.0, float32(0)
			for b := uint64(w) * block * step; b < 1<<32; b += uint64(workers) * block * step {
				n := 0
				for ; n < block && b+uint64(n)*step < 1<<32; n++ {
					x[n] = math.Float32frombits(uint32(b + uint64(n)*step))
				}
				f(y[:n], x[:n])
				for i, v := range x[:n] {
					if e := ulps(y[i], v, want); e > local {
						local, where = e, v
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if local > worst {
				worst, at = local, where
			}
		})
	}
	wg.Wait()
	return worst, at
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

func TestExhaustive(t *testing.T) {
	paths(t, func(t *testing.T, k *Kernels) {
		activate := func(f model.ActivationFunc) func(y, x []float32) {
			return func(y, x []float32) { k.Activate(f, 1, y, x) }
		}
		for _, c := range []struct {
			name  string
			f     func(y, x []float32)
			want  func(x float64) float64
			bound float64
		}{
			{"exp", func(y, x []float32) {
				var max, sum [Lanes]float32
				n := len(x) / Lanes * Lanes
				expShifted(k.impl.exp, y[:n], x[:n], &max, &sum)
				for i := n; i < len(x); i++ {
					y[i] = exp(x[i])
				}
			}, exp64Clamped, 2},
			{"tanh", activate(model.Tanh), tanh64, 2},
			{"sigmoid", activate(model.Sigmoid), func(x float64) float64 { return 1 / (1 + exp64Clamped(-x)) }, 4},
			{"elu", activate(model.ELU), func(x float64) float64 {
				switch {
				case x > 0:
					return x
				case x > -0x1p-10:
					return x * (1 + x*(1./2+x*(1./6+x/24)))
				}
				return exp64Clamped(x) - 1
			}, 4},
		} {
			worst, at := sweep(t, c.f, c.want)
			t.Logf("%s: at most %.3f ulp, at %v", c.name, worst, at)
			if !(worst <= c.bound) {
				t.Errorf("%s: %.3f ulp at %v (%#08x), allowed %v", c.name, worst, at, math.Float32bits(at), c.bound)
			}
		}
	})
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
