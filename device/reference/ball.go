package reference

import "math"

// Ball is a number and how far from it a float32 implementation may be: |computed − V| ≤ R.
//
// V is computed in float64, whose own rounding is 2⁻²⁹ of a float32's and is not counted. R follows from the standard model of
// floating-point arithmetic, fl(a∘b) = (a∘b)(1+δ) + η with |δ| ≤ u = 2⁻²⁴ and |η| ≤ 2⁻¹²⁶, since a device may flush denormals
// (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., §2.2 and §2.8). It holds for any order of summation, with
// or without fused multiply-add.
type Ball struct{ V, R float64 }

const (
	u    = 0x1p-24  // unit roundoff of float32
	tiny = 0x1p-126 // smallest normal float32
)

// Bounds, relative, of the float32 functions that devices bring: 2 ulp for exp, tanh and log, 3 ulp for what is composed of
// them. An ulp is at most 2u.
const (
	expError      = 4 * u
	logError      = 4 * u
	tanhError     = 4 * u
	sigmoidError  = 6 * u
	softplusError = 6 * u
	erfError      = 4 * u
	sqrtError     = 2 * u
	powError      = 8 * u
)

// exact is a number that every implementation has as it is.
func exact(v float64) Ball { return Ball{V: v} }

// constant is a number that a float32 implementation rounds, or that differs from its decimal by that much.
func constant(v float64) Ball { return Ball{v, u * math.Abs(v)} }

// given is a float32 that a device reads. A denormal may be read as zero.
func given(v float32) Ball {
	b := exact(float64(v))
	if v != 0 && math.Abs(b.V) < tiny {
		b.R = tiny
	}
	return b
}

// gamma is γ_n = n·u/(1−n·u), the relative error of n roundings (Higham, lemma 3.1). Beyond n·u = 1 there is no bound.
func gamma(n int) float64 {
	nu := float64(n) * u
	if nu >= 1 {
		return math.Inf(1)
	}
	return nu / (1 - nu)
}

// magnitude is the largest absolute value in the ball.
func (a Ball) magnitude() float64 { return math.Abs(a.V) + a.R }

// rounded adds n roundings of the result.
func (a Ball) rounded(n int) Ball { return a.within(gamma(n)) }

// within adds a relative error of the result.
func (a Ball) within(relative float64) Ball {
	return Ball{a.V, known(a.R + relative*a.magnitude() + tiny)}
}

// known is a radius, or infinity where infinite ones cancelled out to NaN.
func known(r float64) float64 {
	if math.IsNaN(r) {
		return math.Inf(1)
	}
	return r
}

// wider adds an absolute error.
func (a Ball) wider(absolute float64) Ball { return Ball{a.V, a.R + absolute} }

func (a Ball) add(b Ball) Ball { return Ball{a.V + b.V, a.R + b.R}.rounded(1) }
func (a Ball) sub(b Ball) Ball { return Ball{a.V - b.V, a.R + b.R}.rounded(1) }

func (a Ball) mul(b Ball) Ball {
	return Ball{a.V * b.V, math.Abs(a.V)*b.R + a.R*math.Abs(b.V) + a.R*b.R}.rounded(1)
}

// div is unbounded where b may be zero.
func (a Ball) div(b Ball) Ball {
	d := math.Abs(b.V)
	if d <= b.R {
		return Ball{a.V / b.V, math.Inf(1)}
	}
	return Ball{a.V / b.V, (math.Abs(a.V)*b.R + a.R*d) / (d * (d - b.R))}.rounded(1)
}

// sqrt takes what may be negative as zero.
func (a Ball) sqrt() Ball {
	return increasing(a, func(v float64) float64 { return math.Sqrt(max(v, 0)) }).within(sqrtError)
}

// increasing is the image of a ball under a function that does not decrease.
func increasing(a Ball, f func(float64) float64) Ball {
	v := f(a.V)
	if a.R == 0 {
		return exact(v)
	}
	return Ball{v, max(f(a.V+a.R)-v, v-f(a.V-a.R), 0)}
}

// sum is a sum of products and numbers in any order.
//
// Its radius is Σ(|a|r_b + |b|r_a + r_a·r_b) + γ_{n+2}·Σ(|a|+r_a)(|b|+r_b) (Higham §3.1, and §3.5 for inner products: each
// product passes through at most n additions, and is rounded itself).
type sum struct {
	v            float64
	inner, outer float64 // Σ|a||b| and Σ(|a|+r_a)(|b|+r_b)
	n            int
}

func (s *sum) addProduct(a, b Ball) {
	absA, absB := math.Abs(a.V), math.Abs(b.V)
	s.v += a.V * b.V
	s.inner += absA * absB
	s.outer += (absA + a.R) * (absB + b.R)
	s.n++
}

func (s *sum) add(a Ball) {
	abs := math.Abs(a.V)
	s.v += a.V
	s.inner += abs
	s.outer += abs + a.R
	s.n++
}

// ball is the sum, once it is complete.
func (s *sum) ball() Ball {
	if s.n == 0 {
		return Ball{}
	}
	return Ball{s.v, known(s.outer - s.inner + gamma(s.n+2)*s.outer + float64(s.n)*tiny)}
}

func balls(sums []sum) []Ball {
	out := make([]Ball, len(sums))
	for i := range sums {
		out[i] = sums[i].ball()
	}
	return out
}
