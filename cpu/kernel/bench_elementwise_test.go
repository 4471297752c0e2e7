package kernel

import (
	"fmt"
	"strings"
	"testing"

	"gcnn/model"
)

// The benchmarks here report ns/vec, the time of one vector of 16 samples.
func benchVectors(b *testing.B, vectors int, run func(b *testing.B, k *Kernels) func()) {
	benchPaths(b, func(b *testing.B, k *Kernels) (int64, func()) { return -int64(vectors), run(b, k) })
}

func BenchmarkActivate(b *testing.B) {
	for _, f := range []model.ActivationFunc{model.ReLU, model.Tanh, model.Sigmoid, model.ELU, model.SiLU, model.GELU, model.Softplus, model.ReLU6, model.HardSigmoid, model.HardSiLU} {
		for _, grad := range []bool{false, true} {
			b.Run(fmt.Sprintf("%v/grad=%v", f, grad), func(b *testing.B) {
				benchVectors(b, 256, func(_ *testing.B, k *Kernels) func() {
					x, y, dy := filled(4096), make([]float32, 4096), filled(4096)
					if grad {
						return func() { k.ActivateGrad(f, 1, y, dy, x) }
					}
					return func() { k.Activate(f, 1, y, x) }
				})
			})
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	for name, rule := range map[string]Rule{"sgd": SGD, "momentum": Momentum, "adam": Adam, "rmsprop": RMSprop} {
		b.Run(name, func(b *testing.B) {
			benchVectors(b, 256, func(_ *testing.B, k *Kernels) func() {
				w, g, m, v := filled(4096), filled(4096), make([]float32, 4096), make([]float32, 4096)
				u := &Update{Rule: rule, Rate: 1e-3, Mu: 0.9, Rho: 0.9, C1: 0.1, C2: 1e-3, Epsilon: 1e-7, Scale: 1}
				return func() { k.Update(u, w, g, m, v) }
			})
		})
	}
}

func BenchmarkPool(b *testing.B) {
	c := poolCases()[0] // the cnn preset's: 26×26×8
	c.rows = 1          // as in a band: all of it lies in the first-level cache
	for _, name := range []string{"max", "max-grad", "average", "average-grad"} {
		b.Run(name, func(b *testing.B) {
			benchVectors(b, 104, func(b *testing.B, k *Kernels) func() {
				p, err := k.NewPool(c.spec)
				if err != nil {
					b.Fatal(err)
				}
				x := filled(p.Grid.x(c.rows, p.x) * Lanes)
				y := make([]float32, p.y(c.rows, p.Channels)*Lanes)
				arg := make([]uint8, len(y))
				p.Max(y, arg, x, c.rows)
				switch name {
				case "max":
					return func() { p.Max(y, arg, x, c.rows) }
				case "max-grad":
					return func() { p.MaxGrad(x, y, arg, c.rows, false) }
				case "average":
					return func() { p.Average(y, x, c.rows) }
				default:
					return func() { p.AverageGrad(x, y, c.rows, false) }
				}
			})
		})
	}
}

func BenchmarkGather(b *testing.B) {
	plain, other := [256]float32{}, [256]float32{}
	for v := range plain {
		plain[v], other[v] = float32(v)/255, float32(v)
	}
	for name, n := range map[string]*Normalizer{"plain": NewNormalizer([][256]float32{plain}), "tables": NewNormalizer([][256]float32{other})} {
		b.Run(name, func(b *testing.B) {
			benchVectors(b, 784, func(_ *testing.B, k *Kernels) func() {
				images, dst := make([]byte, 100*784), make([]float32, 784*Lanes)
				index := [Lanes]int32{3, 9, 27, 81, 5, 25, 50, 7, 49, 11, 22, 33, 44, 55, 66, 77}
				return func() { k.GatherBytes(dst, images, 784, 0, 784, &index, n) }
			})
		})
	}
}

func BenchmarkSoftmaxCrossEntropy(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			benchVectors(b, n, func(_ *testing.B, k *Kernels) func() {
				z, dz := filled(n*Lanes), make([]float32, n*Lanes)
				labels := [Lanes]int32{3, 9, 2, 0, 1, 5, 5, 7, 4, 8, 6, 3, 2, 9, 0, 1}
				ce := &CrossEntropy{Classes: n}
				var out Scores
				return func() { k.SoftmaxCrossEntropy(ce, dz, nil, z, &labels, 1, &out) }
			})
		})
	}
}

func BenchmarkToSamples(b *testing.B) {
	for _, n := range []int{10, 28, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			benchVectors(b, n, func(_ *testing.B, k *Kernels) func() {
				src, dst := filled(n*Lanes), make([]float32, Padded(n)*Lanes)
				return func() { k.ToSamples(dst, src, n, Padded(n), 1) }
			})
		})
	}
}

func BenchmarkChannels(b *testing.B) {
	const c, positions = 16, 64
	for _, name := range []string{"sum", "squares", "affine", "affine relu", "gradients", "gradients relu", "input gradient", "input gradient relu"} {
		b.Run(name, func(b *testing.B) {
			benchVectors(b, c*positions, func(_ *testing.B, k *Kernels) func() {
				x, dy, y, acc, f := filled(c*positions*Lanes), filled(c*positions*Lanes), make([]float32, c*positions*Lanes), make([]float32, c*Lanes), filled(c)
				n := &Norm{Mean: f, Scale: f, Shift: f, Offset: f, Slope: f, ReLU: strings.HasSuffix(name, "relu")}
				switch strings.TrimSuffix(name, " relu") {
				case "sum":
					return func() { k.AddPositions(acc, x, c, c, positions) }
				case "squares":
					return func() { k.AddSquares(acc, x, &Norm{Mean: f}, positions) }
				case "affine":
					return func() { k.Affine(y, x, n, positions) }
				case "gradients":
					products := make([]float32, c*Lanes)
					return func() { k.NormGrads(acc, products, dy, x, n, positions) }
				default:
					return func() { k.NormInputGrad(y, dy, x, n, positions) }
				}
			})
		})
	}
}
