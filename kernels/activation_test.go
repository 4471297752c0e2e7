//go:build cuda

package kernels_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gcnn/kernels"
)

// activations are the functions and their derivatives in float64. near is the bound of f(z)'s error in units of u·scale(z), and
// slope that of f′(z)'s. They follow from math.cuh's errors and the operations of activation.cuh; alpha is 0.3 throughout.
var activations = []struct {
	function      int
	f, derivative func(z float64) float64
	near, slope   float64
}{
	{kernels.Linear, func(z float64) float64 { return z }, func(float64) float64 { return 1 }, 0, 0},
	{kernels.ReLU, func(z float64) float64 { return math.Max(z, 0) }, func(z float64) float64 { return step(z, 0) }, 0, 0},
	{kernels.Tanh, math.Tanh, func(z float64) float64 { return 1 - math.Tanh(z)*math.Tanh(z) }, 3, 8},
	{kernels.Sigmoid, sigmoid, func(z float64) float64 { return sigmoid(z) * (1 - sigmoid(z)) }, 5, 8},
	{kernels.LeakyReLU, func(z float64) float64 { return math.Max(z, 0) + alpha*math.Min(z, 0) }, func(z float64) float64 { return step(z, alpha) }, 1, 0},
	{kernels.ELU, func(z float64) float64 { return math.Max(z, 0) + alpha*math.Expm1(math.Min(z, 0)) },
		func(z float64) float64 { return step(z, alpha*math.Exp(z)) }, 4, 3},
	{kernels.GELU, func(z float64) float64 { return z * phi(z) },
		func(z float64) float64 { return phi(z) + z*math.Exp(-z*z/2)/math.Sqrt(2*math.Pi) }, 6, 12},
	{kernels.SiLU, func(z float64) float64 { return z * sigmoid(z) }, func(z float64) float64 { return sigmoid(z) * (1 + z*(1-sigmoid(z))) }, 6, 12},
	{kernels.Softplus, func(z float64) float64 { return math.Max(z, 0) + math.Log1p(math.Exp(-math.Abs(z))) }, sigmoid, 4, 8},
	{kernels.ReLU6, relu6, func(z float64) float64 { return step(z, 0) * step(6-z, 0) }, 0, 0},
	{kernels.HardSigmoid, hardSigmoid, func(z float64) float64 { return step(z+3, 0) * step(3-z, 0) / 6 }, 3, 1},
	{kernels.HardSiLU, func(z float64) float64 { return z * hardSigmoid(z) },
		func(z float64) float64 { return hardSigmoid(z) + step(z+3, 0)*step(3-z, 0)*z/6 }, 4, 6},
}

var alpha = float64(float32(0.3))

func sigmoid(z float64) float64     { return 1 / (1 + math.Exp(-z)) }
func phi(z float64) float64         { return 0.5 * math.Erfc(-z/math.Sqrt2) }
func relu6(z float64) float64       { return math.Min(math.Max(z, 0), 6) }
func hardSigmoid(z float64) float64 { return relu6(z+3) / 6 }
func step(z, below float64) float64 {
	if z > 0 {
		return 1
	}
	return below
}

// inputs are normal numbers of standard deviation 3, with zeros and large ones among them.
func inputs(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 0))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * 3)
	}
	copy(x, []float32{0, 1e-30, -1e-30, 20, -20, 87, -87, 0.5, -0.5})
	return x
}

func TestActivationForward(t *testing.T) {
	t.Parallel()
	const rows, channels = 37, 11
	for _, a := range activations {
		t.Run(fmt.Sprint(a.function), func(t *testing.T) {
			t.Parallel()
			x, bias := inputs(rows*channels, 1), inputs(channels, 2)
			dx, db, dz, dy := upload(t, x), upload(t, bias), empty(t, len(x)), empty(t, len(x))
			launch(t, kernels.ActivationForward{X: dx.ptr(), Bias: db.ptr(), Z: dz.ptr(), Y: dy.ptr(), N: rows * channels, Channels: channels,
				Function: int32(a.function), Alpha: float32(alpha)}.Launch())
			z, want := make([]float32, len(x)), make([]float64, len(x))
			for i := range x {
				z[i] = x[i] + bias[i%channels]
				want[i] = a.f(float64(z[i]))
			}
			equal(t, "z", dz.host(), z)
			scale := func(i int) float64 {
				return math.Max(math.Abs(want[i]), math.Min(math.Abs(float64(z[i])), 1)*boolean(a.function == kernels.GELU))
			}
			// a subnormal factor is off by up to 2⁻¹⁵⁰
			bound := func(i int) float64 { return a.near*u*scale(i) + (1+math.Abs(float64(z[i])))*0x1p-149 }
			near(t, "y", dy.host(), want, bound)
			// in place and without a bias
			launch(t, kernels.ActivationForward{X: dx.ptr(), Y: dx.ptr(), N: rows * channels, Channels: channels, Function: int32(a.function), Alpha: float32(alpha)}.Launch())
			for i := range x {
				z[i], want[i] = x[i], a.f(float64(x[i]))
			}
			near(t, "y in place", dx.host(), want, bound)
		})
	}
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func TestActivationBackward(t *testing.T) {
	t.Parallel()
	for _, shape := range [][2]int{{1, 1}, {5, 3}, {300, 6}, {129, 33}, {700, 100}} {
		for _, a := range activations {
			t.Run(fmt.Sprint(a.function, shape), func(t *testing.T) {
				t.Parallel()
				rows, channels := shape[0], shape[1]
				z, dy := inputs(rows*channels, 3), inputs(rows*channels, 4)
				y, want, sums, magnitude := make([]float32, len(z)), make([]float64, len(z)), make([]float64, channels), make([]float64, channels)
				for i := range z {
					y[i] = float32(a.f(float64(z[i])))
					want[i] = float64(dy[i]) * a.derivative(float64(z[i]))
					sums[i%channels] += want[i]
					magnitude[i%channels] += math.Abs(float64(dy[i])) // derivatives are below 1.2
				}
				gy, gz, gdy := upload(t, y), upload(t, z), upload(t, dy)
				bound := func(i int) float64 { return (a.slope*u+u)*math.Abs(float64(dy[i]))*1.2 + 1e-44 }
				dz := empty(t, len(z))
				launch(t, kernels.ActivationBackward{DY: gdy.ptr(), Y: gy.ptr(), Z: gz.ptr(), DZ: dz.ptr(), N: uint32(len(z)), Function: int32(a.function), Alpha: float32(alpha)}.Launch())
				near(t, "dz", dz.host(), want, bound)

				chunk, chunks, groups := kernels.BiasChunks(rows, channels)
				dz, db, partials, tickets := empty(t, len(z)), empty(t, channels), empty(t, chunks*channels), upload(t, make([]uint32, groups))
				for range 2 { // the tickets are zeros again after the first
					launch(t, kernels.BiasActivationBackward{DY: gdy.ptr(), Y: gy.ptr(), Z: gz.ptr(), DZ: dz.ptr(), Partials: partials.ptr(), Dbias: db.ptr(), Tickets: tickets.ptr(),
						Rows: uint32(rows), Channels: uint32(channels), Chunk: uint32(chunk), Function: int32(a.function), Alpha: float32(alpha)}.Launch())
					near(t, "dz", dz.host(), want, bound)
					near(t, "dbias", db.host(), sums, func(c int) float64 { return (a.slope + 30) * u * 1.2 * magnitude[c] })
				}
				equal(t, "tickets", tickets.host(), make([]uint32, groups))
			})
		}
	}
}
