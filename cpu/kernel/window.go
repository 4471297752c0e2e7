package kernel

import "fmt"

// windowSums is the sums of a window: two in each of two rows.
const windowSums = 4

// WindowSpec describes a tap product whose sums are pooled: a position of the grid is a window of 2×2 sums, of which the largest is
// the output,
//
//	y[q + j·YOut] = max over i of init + Σ_t w[t·WTap + j·WOut] · x[q + at(i) + off(t)], at = 0, Right, Down, Right+Down,
//
// each sum in Gemm's order, with ReLU, where asked for, before the maximum: bit for bit what Gemm and Pool.Max give. It is convolution
// with max pooling of windows that do not overlap.
type WindowSpec struct {
	GemmSpec
	Right, Down int // vectors of x from a window's first sum to the one beside it and below it
}

// Window is a WindowSpec made ready.
type Window struct {
	WindowSpec
	gemm *Gemm
	x    int
	impl *implementation
	aux  gemmPlan
}

// A Window has four sums for each output, so that fewer outputs leave the multipliers idle, and takes all taps in one stage, so that
// more weights leave the caches.
const (
	windowOuts    = 4
	windowWeights = 96 << 10 // bytes
)

// PreferWindow says whether a convolution of so many taps and outputs with its pooling goes faster as a Window than as a Gemm and a Pool.
func (k *Kernels) PreferWindow(taps, outs int) bool {
	return k.impl.planWindow != nil && outs >= windowOuts && 4*taps*outs < windowWeights
}

// NewWindow checks a spec and makes it ready: sums start from zero or the bias, outputs lie side by side in w, which is not packed. The
// spec's taps are kept, not copied. Errors wrap ErrSpec.
func (k *Kernels) NewWindow(s WindowSpec) (*Window, error) {
	if s.Right < 0 || s.Down < 0 || s.Init > Bias || s.Packed != 0 || s.WOut != 1 {
		return nil, fmt.Errorf("%w: a window's steps are at least 0, its sums start from zero or the bias, its weights lie side by side; got Right %d, Down %d, Init %d, Packed %d, WOut %d",
			ErrSpec, s.Right, s.Down, s.Init, s.Packed, s.WOut)
	}
	g, err := k.NewGemm(s.GemmSpec)
	if err != nil {
		return nil, err
	}
	w := &Window{WindowSpec: s, gemm: g, x: g.x + s.Right + s.Down, impl: &k.impl}
	w.GemmSpec = g.GemmSpec
	if k.impl.planWindow != nil {
		w.aux = k.impl.planWindow(g)
	}
	return w, nil
}

// Do computes rows rows of windows and, where arg is not nil, which sum of each is its maximum, 0 to 3 by rows: one index for each
// float of y, at the same place, and Closed where a ReLU is asked for and y is not above 0. Of equal sums the first wins; a NaN wins
// over numbers. y, x, weights and bias are as Gemm.Do takes them.
func (w *Window) Do(y []float32, arg []uint8, x, weights, bias []float32, rows int) {
	if rows <= 0 {
		return
	}
	y = vectors(y, w.y(rows, (w.Outs-1)*w.YOut+1))
	x = vectors(x, w.Grid.x(rows, w.x))
	weights = weights[:w.gemm.w]
	if w.Init == Bias {
		bias = bias[:w.Outs]
	}
	if arg != nil {
		arg = arg[:len(y)]
	}
	w.impl.window(w, y, arg, x, weights, bias, rows)
}

// Flops is the number of floating-point operations of so many rows: two for each tap, output and lane of each sum.
func (w *Window) Flops(rows int) int64 { return windowSums * w.gemm.Flops(rows) }

func windowPortable(w *Window, y []float32, arg []uint8, x, weights, bias []float32, rows int) {
	at := [windowSums]int{0, w.Right, w.Down, w.Right + w.Down}
	var sums [windowSums][Lanes]float32
	for r := range rows {
		for c := range w.Cols {
			xi, yi := r*w.XRow+c*w.XCol, r*w.YRow+c*w.YCol
			for j := range w.Outs {
				var b []float32
				if w.Init == Bias {
					b = bias[j:]
				}
				for i := range sums {
					for l := 0; l < Lanes; l += 4 {
						w.gemm.quad1(sums[i][:], x[(xi+at[i])*Lanes:], weights[j:], b, 0, l)
					}
				}
				best, index := sums[0], [Lanes]uint8{}
				for i := 1; i < windowSums; i++ {
					for l, v := range sums[i] {
						if v > best[l] || v != v {
							best[l], index[l] = v, uint8(i)
						}
					}
				}
				for l, v := range best {
					if w.ReLU && !(v > 0) {
						index[l] = Closed
					}
				}
				out := (yi + j*w.YOut) * Lanes
				*vec(y, out) = best
				if arg != nil {
					*(*[Lanes]uint8)(arg[out:]) = index
				}
			}
		}
	}
}
