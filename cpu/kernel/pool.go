package kernel

import (
	"fmt"

	"gcnn/model"
)

// PoolSpec describes pooling over a rectangle of windows that all have the same valid taps: x at a position's base plus a tap's offset,
// each of Channels consecutive vectors.
type PoolSpec struct {
	Grid
	Channels int
	Taps     []PoolTap // in row-major order of the window
	ReLU     bool      // x is the output of a ReLU: a maximum that is not above 0, where no gradient passes, has the byte index Closed
}

// Closed is the index of a maximum that a ReLU holds back. It is that of no tap.
const Closed = 255

// PoolTap is an element of the window.
type PoolTap struct {
	X     int32 // vectors from a position's base; at least 0
	Index int32 // what the argmax names it; below 256 for byte indices
}

// Pool is a PoolSpec made ready.
type Pool struct {
	PoolSpec
	x    int
	impl *implementation
	aux  poolPlan
}

// NewPool checks a spec and makes it ready. Errors wrap ErrSpec.
func (k *Kernels) NewPool(s PoolSpec) (*Pool, error) {
	if s.Channels < 1 || len(s.Taps) == 0 {
		return nil, fmt.Errorf("%w: a pool has at least one channel and one tap, got %d and %d", ErrSpec, s.Channels, len(s.Taps))
	}
	p := &Pool{PoolSpec: s, impl: &k.impl}
	for i, t := range s.Taps {
		if t.X < 0 || t.Index < 0 {
			return nil, fmt.Errorf("%w: tap %d is %+v; offsets and indices are at least 0", ErrSpec, i, t)
		}
		if s.ReLU && t.Index >= Closed {
			return nil, fmt.Errorf("%w: tap %d has index %d; behind a ReLU indices are below %d", ErrSpec, i, t.Index, Closed)
		}
		p.x = max(p.x, int(t.X)+s.Channels)
	}
	p.aux = k.impl.planPool(p)
	return p, s.check()
}

// ArgIndex is the type of an argmax: bytes for windows of up to 256 elements.
type ArgIndex interface{ uint8 | int32 }

// Max computes y = max over the taps and, where arg is not nil, which tap: one index for each float of y, at the same place. Of equal
// values the first wins; a NaN wins over numbers. With ReLU the index of a maximum that is not above 0 is Closed.
func (p *Pool) Max(y []float32, arg []uint8, x []float32, rows int) {
	if rows <= 0 {
		return
	}
	y, x = vectors(y, p.y(rows, p.Channels)), vectors(x, p.Grid.x(rows, p.x))
	if arg != nil {
		arg = arg[:len(y)]
	}
	p.impl.maxPool(p, y, arg, x, rows)
}

// MaxWide is Max with wide indices, for windows of more than 256 elements.
func (p *Pool) MaxWide(y []float32, arg []int32, x []float32, rows int) {
	maxPoolPortable(p, y, arg, x, rows)
}

// MaxGrad sends dy to the elements that won: with add to dx += dy, without to dx = dy or 0, for windows that do not overlap. No element
// has the gradient of a window whose index is Closed.
func (p *Pool) MaxGrad(dx, dy []float32, arg []uint8, rows int, add bool) {
	if rows <= 0 {
		return
	}
	dy, dx = vectors(dy, p.y(rows, p.Channels)), vectors(dx, p.Grid.x(rows, p.x))
	p.impl.maxPoolGrad(p, dx, dy, arg[:len(dy)], rows, add)
}

// MaxGradWide is MaxGrad with wide indices.
func (p *Pool) MaxGradWide(dx, dy []float32, arg []int32, rows int, add bool) {
	maxPoolGradPortable(p, dx, dy, arg, rows, add)
}

// Average computes y = (Σ taps)/len(Taps), taps in order.
func (p *Pool) Average(y, x []float32, rows int) {
	if rows > 0 {
		p.impl.avgPool(p, vectors(y, p.y(rows, p.Channels)), vectors(x, p.Grid.x(rows, p.x)), rows)
	}
}

// AverageGrad spreads dy/len(Taps) over the taps: with add to dx +=, without to dx =, for windows that do not overlap.
func (p *Pool) AverageGrad(dx, dy []float32, rows int, add bool) {
	if rows > 0 {
		p.impl.avgPoolGrad(p, vectors(dx, p.Grid.x(rows, p.x)), vectors(dy, p.y(rows, p.Channels)), rows, add)
	}
}

// PreferAverageOf says whether AverageOf and AverageGradOf take an activation and go faster than it and the pool one after the other. (ReLU's
// values come from the sums' own kernels: there is no AverageOf it.)
func (k *Kernels) PreferAverageOf(f model.ActivationFunc) bool {
	return k.impl.averageOf && (f == model.ReLU || f == model.Tanh || f == model.Sigmoid)
}

// AverageOf computes x = f(x) for the elements of the windows, which do not overlap, and y = (Σ taps)/len(Taps): bit for bit what Activate
// and Average give. f is Tanh or Sigmoid.
func (p *Pool) AverageOf(f model.ActivationFunc, y, x []float32, rows int) {
	if rows > 0 {
		p.impl.avgPoolOf(p, f, vectors(y, p.y(rows, p.Channels)), vectors(x, p.Grid.x(rows, p.x)), rows)
	}
}

// AverageGradOf computes dx = dy/len(Taps)·f′ for the elements of the windows, which do not overlap, bit for bit what AverageGrad and
// ActivateGrad give: s is f's value at dx's places, f ReLU, Tanh or Sigmoid.
func (p *Pool) AverageGradOf(f model.ActivationFunc, dx, dy, s []float32, rows int) {
	if rows > 0 {
		n := p.Grid.x(rows, p.x)
		p.impl.avgPoolGradOf(p, f, vectors(dx, n), vectors(dy, p.y(rows, p.Channels)), vectors(s, n), rows)
	}
}

func avgPoolOfPortable(p *Pool, f model.ActivationFunc, y, x []float32, rows int) {
	p.visit(rows, func(at int) {
		v := x[at : at+Lanes]
		p.impl.activate(f, 0, v, v)
	})
	p.impl.avgPool(p, y, x, rows)
}

func avgPoolGradOfPortable(p *Pool, f model.ActivationFunc, dx, dy, s []float32, rows int) {
	p.impl.avgPoolGrad(p, dx, dy, rows, false)
	p.visit(rows, func(at int) {
		d := dx[at : at+Lanes]
		p.impl.activateGrad(f, 0, d, d, s[at:at+Lanes])
	})
}

// visit calls do for each vector of x that a window has.
func (p *Pool) visit(rows int, do func(at int)) {
	for r := range rows {
		for c := range p.Cols {
			for ch := range p.Channels {
				for _, t := range p.Taps {
					do((r*p.XRow + c*p.XCol + ch + int(t.X)) * Lanes)
				}
			}
		}
	}
}

func maxPoolPortable[I ArgIndex](p *Pool, y []float32, arg []I, x []float32, rows int) {
	for r := range rows {
		for c := range p.Cols {
			for ch := range p.Channels {
				xi := (r*p.XRow + c*p.XCol + ch) * Lanes
				yi := (r*p.YRow + c*p.YCol + ch) * Lanes
				best := *vec(x, xi+int(p.Taps[0].X)*Lanes)
				var at [Lanes]I
				for l := range at {
					at[l] = I(p.Taps[0].Index)
				}
				for _, t := range p.Taps[1:] {
					v := vec(x, xi+int(t.X)*Lanes)
					for l, e := range v {
						if e > best[l] || e != e {
							best[l], at[l] = e, I(t.Index)
						}
					}
				}
				*vec(y, yi) = best
				if arg != nil {
					if p.ReLU {
						for l, v := range best {
							if !(v > 0) {
								at[l] = Closed
							}
						}
					}
					*(*[Lanes]I)(arg[yi : yi+Lanes]) = at
				}
			}
		}
	}
}

func maxPoolGradPortable[I ArgIndex](p *Pool, dx, dy []float32, arg []I, rows int, add bool) {
	for r := range rows {
		for c := range p.Cols {
			for ch := range p.Channels {
				xi := (r*p.XRow + c*p.XCol + ch) * Lanes
				yi := (r*p.YRow + c*p.YCol + ch) * Lanes
				d := *vec(dy, yi)
				at := (*[Lanes]I)(arg[yi : yi+Lanes])
				for _, t := range p.Taps {
					o := vec(dx, xi+int(t.X)*Lanes)
					for l := range o {
						switch {
						case at[l] == I(t.Index) && add:
							o[l] += d[l]
						case at[l] == I(t.Index):
							o[l] = d[l]
						case !add:
							o[l] = 0
						}
					}
				}
			}
		}
	}
}

func avgPoolPortable(p *Pool, y, x []float32, rows int) {
	n := float32(len(p.Taps))
	for r := range rows {
		for c := range p.Cols {
			for ch := range p.Channels {
				xi := (r*p.XRow + c*p.XCol + ch) * Lanes
				s := *vec(x, xi+int(p.Taps[0].X)*Lanes)
				for _, t := range p.Taps[1:] {
					for l, e := range vec(x, xi+int(t.X)*Lanes) {
						s[l] += e
					}
				}
				for l := range s {
					s[l] /= n
				}
				*vec(y, (r*p.YRow+c*p.YCol+ch)*Lanes) = s
			}
		}
	}
}

func avgPoolGradPortable(p *Pool, dx, dy []float32, rows int, add bool) {
	n := float32(len(p.Taps))
	for r := range rows {
		for c := range p.Cols {
			for ch := range p.Channels {
				xi := (r*p.XRow + c*p.XCol + ch) * Lanes
				d := *vec(dy, (r*p.YRow+c*p.YCol+ch)*Lanes)
				for l := range d {
					d[l] /= n
				}
				for _, t := range p.Taps {
					o := vec(dx, xi+int(t.X)*Lanes)
					if !add {
						*o = d
						continue
					}
					for l := range o {
						o[l] += d[l]
					}
				}
			}
		}
	}
}
