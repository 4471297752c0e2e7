package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gcnn/model"
)

// normCase is a batch normalisation of channels with values around it.
func normCase(channels, positions int) (n *Norm, x, dy []float32) {
	r := seeded(uint64(channels*100 + positions))
	floats := func() []float32 { return data(r, channels, false) }
	n = &Norm{Mean: floats(), Scale: floats(), Shift: floats(), Offset: floats(), Slope: floats()}
	return n, data(r, channels*positions*Lanes, false), data(r, channels*positions*Lanes, false)
}

func TestNorm(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for _, c := range []int{1, 3, 8, 16, 21} {
			const positions = 5
			n, x, dy := normCase(c, positions)
			out, sums, products := make([]float32, len(x)), make([]float32, c*Lanes), make([]float32, c*Lanes)
			k.Affine(out, x, n, positions)
			for i, v := range out {
				var s sum
				s.add(x[i], n.Scale[i/Lanes%c])
				s.add(n.Shift[i/Lanes%c], 1)
				s.check(t, "affine", i, v, false)
			}
			k.NormGrads(sums, products, dy, x, n, positions)
			for ch := range c {
				for l := range Lanes {
					var s1, s2 sum
					for p := range positions {
						i := (p*c+ch)*Lanes + l
						s1.add(dy[i], 1)
						s2.add(dy[i], x[i]-n.Mean[ch])
					}
					s1.check(t, "gradients", ch, sums[ch*Lanes+l], false)
					s2.check(t, "products", ch, products[ch*Lanes+l], false)
				}
			}
			k.NormInputGrad(out, dy, x, n, positions)
			for i, v := range out {
				var s sum
				ch := i / Lanes % c
				s.add(dy[i], n.Scale[ch])
				s.add(n.Offset[ch], 1)
				s.add(-x[i], n.Slope[ch])
				s.add(n.Mean[ch], n.Slope[ch])
				s.check(t, "input gradient", i, v, false)
			}
		}
	})
}

// TestNormReLU compares batch normalisation with its ReLU in one pass with the two in turn: every bit is the same, of zeros with
// either sign, infinities and NaN too.
func TestNormReLU(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for _, c := range []int{1, 3, 8, 16, 21} {
			for _, positions := range []int{1, 2, 7} {
				what := fmt.Sprintf("%d channels, %d positions, ", c, positions)
				plain, x, dy := normCase(c, positions)
				for i, v := range []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())} {
					x[3*i], dy[3*i+1] = v, v
				}
				plain.Shift[0] = 0 // so that zeros stay zeros
				fused := *plain
				fused.ReLU = true
				size := len(x)

				y, want := make([]float32, size), make([]float32, size)
				k.Affine(y, x, &fused, positions)
				k.Affine(want, x, plain, positions)
				k.Activate(model.ReLU, 0, want, want)
				sameBits(t, what+"forward", y, want)

				dz := make([]float32, size)
				k.ActivateGrad(model.ReLU, 0, dz, dy, y)
				var sums [4][]float32
				for i := range sums {
					sums[i] = make([]float32, c*Lanes)
				}
				k.NormGrads(sums[0], sums[1], dy, x, &fused, positions)
				k.NormGrads(sums[2], sums[3], dz, x, plain, positions)
				sameBits(t, what+"gradients", sums[0], sums[2])
				sameBits(t, what+"products", sums[1], sums[3])

				got := append([]float32(nil), dy...)
				k.NormInputGrad(got, got, x, &fused, positions) // in place
				k.NormInputGrad(want, dz, x, plain, positions)
				sameBits(t, what+"input gradient", got, want)
			}
		}
	})
}

// TestNormAcross holds the kernels whose lanes are channels against those of one channel for each lane, bit for bit: turned, a position's
// vectors are 16 channels of one lane.
func TestNormAcross(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for _, relu := range []bool{false, true} {
			for _, vectors := range []int{1, 2, 5} {
				const positions = 7
				channels := vectors * Lanes
				one, _, _ := normCase(channels, 1)
				one.ReLU = relu
				across := *one
				across.Across = true
				r := seeded(uint64(vectors))
				x, dy := data(r, channels*positions, false), data(r, channels*positions, false)
				wide := func(v []float32) []float32 { // every lane has the channel's value
					var w []float32
					for _, f := range v {
						for range Lanes {
							w = append(w, f)
						}
					}
					return w
				}
				check := func(what string, got, want []float32) {
					sameBits(t, fmt.Sprintf("%s of %d vectors", what, vectors), got, lane(want, 0))
				}
				y, wantY := make([]float32, channels*positions), make([]float32, channels*positions*Lanes)
				k.Affine(y, x, &across, positions)
				k.Affine(wantY, wide(x), one, positions)
				check("affine", y, wantY)
				k.NormInputGrad(y, dy, x, &across, positions)
				k.NormInputGrad(wantY, wide(dy), wide(x), one, positions)
				check("input gradient", y, wantY)
				old, old2 := data(r, channels, false), data(r, channels, false)
				sums, wantSums, products, wantProducts := slices.Clone(old), wide(old), slices.Clone(old2), wide(old2)
				k.NormGrads(sums, products, dy, x, &across, positions)
				k.NormGrads(wantSums, wantProducts, wide(dy), wide(x), one, positions)
				check("gradients", sums, wantSums)
				check("products", products, wantProducts)
				k.AddSquares(sums, x, &across, positions)
				k.AddSquares(wantSums, wide(x), one, positions)
				check("squares", sums, wantSums)
			}
		}
	})
}

func TestIdenticalNorm(t *testing.T) {
	t.Parallel()
	for _, relu := range []bool{false, true} {
		natives(t, fmt.Sprintf("batch normalisation, relu %v", relu), func(k *Kernels) []float32 {
			const c, positions = 11, 7
			n, x, dy := normCase(c, positions)
			n.ReLU = relu
			size := len(x)
			out := make([]float32, 2*size+2*c*Lanes)
			sums := out[2*size:]
			k.Affine(out, x, n, positions)
			k.NormInputGrad(out[size:], dy, x, n, positions)
			k.NormGrads(sums, sums[c*Lanes:], dy, x, n, positions)
			return out
		})
	}
}
