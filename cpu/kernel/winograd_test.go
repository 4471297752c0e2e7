package kernel

import (
	"fmt"
	"math"
	"testing"
)

// transform runs a transform over lines drawn from a seed, with gaps between them.
func transform(k *Kernels, w Winograd, n, outer int, bias, relu bool, seed uint64) (in [WinogradPatch][]float32, out []float32, l Lines) {
	r := seeded(seed)
	l = Lines{N: n, Outer: outer, InOuter: n + 1, OutOuter: 7 * (n + 2), OutStride: n + 2, ReLU: relu}
	for j := range winogradLines[w].in {
		in[j] = data(r, (outer*(n+1))*Lanes+3, false)[3:]
	}
	if l.In = in; bias {
		l.Bias = data(r, n, false)
	}
	out = data(r, outer*7*(n+2)*Lanes+5, false)[5:]
	l.Out = out
	k.Winograd(w, l)
	return in, out, l
}

// TestWinograd: each line is the transform of the numbers of its place, within the rounding of a few operations, and nothing between the
// lines is touched; the native paths agree bit for bit.
func TestWinograd(t *testing.T) {
	t.Parallel()
	for w := range winograds {
		for _, n := range []int{1, 2, 5, 64} {
			for _, extra := range []int{0, 1, 2, 3} {
				bias, relu := extra&1 == 1 && w.biased(), extra&2 == 2 && w.biased()
				what := fmt.Sprintf("transform %d of %d vectors, bias %v, relu %v", w, n, bias, relu)
				natives(t, what, func(k *Kernels) []float32 {
					_, out, _ := transform(k, w, n, 3, bias, relu, uint64(n))
					return out
				})
				paths(t, func(t *testing.T, k *Kernels) {
					in, out, l := transform(k, w, n, 3, bias, relu, uint64(n))
					_, old, _ := transform(&Kernels{impl: implementation{winograd: func(Winograd, Lines) {}}}, w, n, 3, bias, relu, uint64(n))
					for o := range l.Outer {
						for i := range n * Lanes {
							var x, y, size, sum [WinogradPatch]float32
							for j := range winogradLines[w].in {
								x[j] = in[j][o*l.InOuter*Lanes+i]
								size[j] = float32(math.Abs(float64(x[j])))
							}
							w.apply(&y, &x)
							w.bound(&sum, &size)
							for j := range winogradLines[w].out {
								at := (o*l.OutOuter+j*l.OutStride)*Lanes + i
								want, most := y[j], sum[j]
								if j < w.adds() {
									want += old[at]
									most += float32(math.Abs(float64(old[at])))
								}
								if bias {
									want += l.Bias[i/Lanes]
									most += float32(math.Abs(float64(l.Bias[i/Lanes])))
								}
								if relu {
									want = max(want, 0)
								}
								if d := math.Abs(float64(out[at] - want)); d > 16*0x1p-24*float64(most) {
									t.Fatalf("%s: line %d, place %d, output %d is %v, want %v", what, o, i, j, out[at], want)
								}
								old[at] = out[at]
							}
						}
					}
					sameBits(t, what+" between the lines", old, out)
				})
			}
		}
	}
}

// bound is the transform of absolute values by the absolute values of the matrix: each unit vector's image gives a column.
func (w Winograd) bound(sum, size *[WinogradPatch]float32) {
	for j := range winogradLines[w].in {
		var unit, column [WinogradPatch]float32
		unit[j] = 1
		w.apply(&column, &unit)
		for i := range column {
			sum[i] += float32(math.Abs(float64(column[i]))) * size[j]
		}
	}
}

// BenchmarkWinograd is the first transform of a patch of 64 channels and of its products.
func BenchmarkWinograd(b *testing.B) {
	for w := range winograds {
		b.Run(fmt.Sprint(w), func(b *testing.B) {
			benchPaths(b, func(_ *testing.B, k *Kernels) (int64, func()) {
				l := Lines{N: 64, Outer: 4, InOuter: 64, OutOuter: 64, OutStride: 256, Out: make([]float32, 6*256*Lanes)}
				for j := range l.In {
					l.In[j] = filled(256 * Lanes)
				}
				return -256, func() { k.Winograd(w, l) }
			})
		})
	}
}
