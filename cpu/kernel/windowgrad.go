package kernel

import "fmt"

// WindowGradSpec describes the weight gradient of a convolution through 2×2 max pooling of its output, as WindowSpec describes the
// convolution: a position of the grid is a window, whose gradient belongs to one of its four sums, the one that won. For each tap t
// of the runs and output j
//
//	dw[t][j] += Σ_q Σ_i Σ_lane x[q + at(i) + off(t)] · (dy[q + j] where arg[q + j] = i, else 0), at = 0, Right, Down, Right+Down,
//
// and the bias's gradient grows by the same sum without x. Y strides are those of dy and arg, and of the pooled output. In a call every
// tap must be valid at every sum.
type WindowGradSpec struct {
	GradSpec
	Right, Down int // vectors of x from a window's first sum to the one beside it and below it
}

// WindowGrad is a WindowGradSpec made ready. The lanes of its sums are samples, as GradLanes' are.
type WindowGrad struct {
	WindowGradSpec
	x, w int
	impl *implementation
	aux  windowGradPlan
}

// windowGradLeast is how many taps keep the multipliers busy enough: each sum waits for itself twice a window.
const windowGradLeast = 4

// PreferWindowGrad says whether a convolution's gradient through its pooling goes faster as a WindowGrad than as a Pool.MaxGrad and a
// GradLanes, of which the latter is for few outputs. It reads a quarter of what they do, and multiplies as much: by zero where a sum has
// not won. (To choose the winner's x instead takes a blend for each multiplication that it saves, on the same ports.) It makes the sums'
// gradient once for each of its tiles, where they make it once, so that all taps have to fit one.
func (k *Kernels) PreferWindowGrad(taps []Run, outs int) bool {
	if k.impl.planWindowGrad == nil || outs < windowOuts || !PreferLanes(outs) {
		return false
	}
	n := 0
	for _, t := range taps {
		n += int(t.N)
	}
	return n >= windowGradLeast && len(k.impl.planWindowGrad(&WindowGrad{WindowGradSpec: WindowGradSpec{GradSpec: GradSpec{Taps: taps, Outs: 1}}})) == 1
}

// NewWindowGrad checks a spec and makes it ready. Errors wrap ErrSpec.
func (k *Kernels) NewWindowGrad(s WindowGradSpec) (*WindowGrad, error) {
	x, w, err := s.checkGrad()
	if err != nil {
		return nil, err
	}
	if s.Right < 0 || s.Down < 0 {
		return nil, fmt.Errorf("%w: a window's steps are at least 0, got Right %d, Down %d", ErrSpec, s.Right, s.Down)
	}
	g := &WindowGrad{WindowGradSpec: s, x: x + s.Right + s.Down, w: w, impl: &k.impl}
	if k.impl.planWindowGrad != nil {
		g.aux = k.impl.planWindowGrad(g)
	}
	return g, nil
}

// Do adds rows rows of windows to acc, [taps][Outs] vectors as GradLanes has them, and to bias, [Outs] vectors, unless it is nil. The
// order of a sum is that of GradLanes on the gradient before the pooling: over rows of windows, the two rows of sums of each, then
// columns. No sum has the gradient of a window whose index is Closed.
func (g *WindowGrad) Do(acc, bias, x, dy []float32, arg []uint8, rows int) {
	if rows <= 0 {
		return
	}
	dy = vectors(dy, g.y(rows, g.Outs))
	if bias != nil {
		bias = vectors(bias, g.Outs)
	}
	g.impl.windowGrad(g, vectors(acc, g.w*g.Outs), bias, vectors(x, g.Grid.x(rows, g.x)), dy, arg[:len(dy)], rows)
}

// Flops is the number of floating-point operations of so many rows: two for each tap, output and lane of each sum, of which one in
// four has a gradient.
func (g *WindowGrad) Flops(rows int) int64 { return windowSums * g.GradSpec.Flops(rows) }

func windowGradPortable(g *WindowGrad, acc, bias, x, dy []float32, arg []uint8, rows int) {
	at := [windowSums]int{0, g.Right, g.Down, g.Right + g.Down}
	for r := range rows {
		for first := 0; first < windowSums; first += 2 {
			for c := range g.Cols {
				for i := first; i < first+2; i++ {
					for j := range g.Outs {
						yi := (r*g.YRow + c*g.YCol + j) * Lanes
						d := *vec(dy, yi)
						for l := range d {
							if int(arg[yi+l]) != i {
								d[l] = 0
							}
						}
						if bias != nil {
							b := vec(bias, j*Lanes)
							for l, v := range d {
								b[l] += v
							}
						}
						g.each(func(row, off int) {
							a, v := vec(acc, (row*g.Outs+j)*Lanes), vec(x, (r*g.XRow+c*g.XCol+at[i]+off)*Lanes)
							for l, e := range v {
								a[l] += e * d[l]
							}
						})
					}
				}
			}
		}
	}
}
