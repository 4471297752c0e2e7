package reference

import (
	"math"

	"gcnn/model"
)

// activation is an activation function and its parameter (LeakyReLU's slope, ELU's α).
type activation struct {
	f     model.ActivationFunc
	alpha float64
}

func (a activation) forward(z *Tensor) *Tensor {
	if a.f == model.Linear {
		return z
	}
	y := like(z, make([]Ball, len(z.Elems)))
	if a.f == model.Softmax {
		c := z.Shape[len(z.Shape)-1]
		for i := 0; i < len(z.Elems); i += c {
			copy(y.Elems[i:], softmax(z.Elems[i:i+c]).p)
		}
		return y
	}
	for i, e := range z.Elems {
		y.Elems[i] = a.value(e)
	}
	return y
}

// backward is the gradient at z of the gradient dy at f(z).
func (a activation) backward(z, dy *Tensor) *Tensor {
	if a.f == model.Linear {
		return dy
	}
	dz := like(z, make([]Ball, len(z.Elems)))
	if a.f == model.Softmax {
		c := z.Shape[len(z.Shape)-1]
		for i := 0; i < len(z.Elems); i += c {
			softmaxGradient(softmax(z.Elems[i:i+c]).p, dy.Elems[i:i+c], dz.Elems[i:i+c])
		}
		return dz
	}
	for i, e := range z.Elems {
		dz.Elems[i] = dy.Elems[i].mul(a.derivative(e))
	}
	return dz
}

// value is f(z). Each case adds the error of evaluating f in float32.
func (a activation) value(z Ball) Ball {
	switch a.f {
	case model.Linear, model.Softmax: // softmax has no value of one element
		return z
	case model.ReLU:
		return increasing(z, func(v float64) float64 { return max(v, 0) })
	case model.Tanh:
		return increasing(z, math.Tanh).within(tanhError)
	case model.Sigmoid:
		return sigmoidBall(z)
	case model.LeakyReLU:
		y := increasing(z, func(v float64) float64 {
			if v > 0 {
				return v
			}
			return a.alpha * v
		})
		if z.V-z.R > 0 {
			return y
		}
		return y.rounded(2)
	case model.ELU:
		y := increasing(z, func(v float64) float64 {
			if v > 0 {
				return v
			}
			return a.alpha * math.Expm1(v)
		})
		if z.V-z.R > 0 {
			return y
		}
		return y.rounded(3).wider(a.alpha * expError) // exp(x) − 1 is allowed, near 0 too
	case model.GELU:
		// Φ is (1 + erf(x/√2))/2, whose error is absolute: erf's own, u of the sum, and that of the rounded argument,
		// x/√2·erf'(x/√2)·2u < u.
		y := Ball{z.V * normalCDF(z.V), maxGELUSlope * z.R}
		return y.rounded(2).wider(z.magnitude() * (erfError + 2*u) / 2)
	case model.SiLU:
		y := Ball{z.V * sigmoid(z.V), maxSiLUSlope * z.R}
		return y.within(sigmoidError + 2*u)
	case model.Softplus:
		return increasing(z, softplus).within(softplusError)
	case model.ReLU6:
		return increasing(z, relu6)
	case model.HardSigmoid:
		return increasing(z, hardSigmoid).rounded(3).wider(hardArgument(z) / 6)
	case model.HardSiLU:
		return Ball{z.V * hardSigmoid(z.V), maxHardSlope * z.R}.rounded(4).wider(hardArgument(z) * maxHardSlope)
	}
	return Ball{math.NaN(), math.NaN()}
}

// Bounds of |f′| and |f″| of the functions that are not monotone.
const (
	maxGELUSlope = 1.13
	maxGELUCurve = 0.8 // 2φ(0) = 0.7979
	maxSiLUSlope = 1.1
	maxSiLUCurve = 0.5
	maxHardSlope = 1.5
)

// derivative is f′(z).
func (a activation) derivative(z Ball) Ball {
	switch a.f {
	case model.Linear, model.Softmax:
		return exact(1)
	case model.ReLU:
		return step(z, 0)
	case model.Tanh:
		y := a.value(z)
		return exact(1).sub(y.mul(y))
	case model.Sigmoid:
		y := sigmoidBall(z)
		return y.mul(exact(1).sub(y))
	case model.LeakyReLU:
		return step(z, a.alpha)
	case model.ELU:
		return a.eluDerivative(z)
	case model.GELU:
		// Φ(x) + x·φ(x); the exponent −x²/2 has an error of 2u relative.
		xphi := z.V * math.Exp(-z.V*z.V/2) / math.Sqrt(2*math.Pi)
		d := Ball{normalCDF(z.V) + xphi, maxGELUCurve * z.R}
		return d.rounded(1).wider((erfError+2*u)/2 + math.Abs(xphi)*(expError+(4+z.V*z.V)*u))
	case model.SiLU:
		// s + x·s·(1−s), or s·(1 + x·(1−s))
		s := sigmoid(z.V)
		d := Ball{s * (1 + z.V*(1-s)), maxSiLUCurve * z.R}
		return d.rounded(1).wider((sigmoidError + 3*u) * s * (1 + math.Abs(z.V)*(2-s)))
	case model.Softplus:
		return sigmoidBall(z)
	case model.ReLU6:
		return between(z, 0, 6, exact(1), 0)
	case model.HardSigmoid: // z+3, whose rounding may move z across an edge, if it does not lie there
		return between(z, -3, 3, constant(1./6), 6*u)
	case model.HardSiLU:
		d := hardSigmoid(z.V)
		if math.Abs(z.V) < 3 {
			d += z.V / 6
		}
		slope := Ball{d, z.R / 3}
		if reaches(z, -3, 0) || reaches(z, 3, 0) {
			slope.R += 0.5
		}
		return slope.rounded(4).wider(3 * u) // its two terms cancel around −3/2
	}
	return Ball{math.NaN(), math.NaN()}
}

// between is d where z lies between lo and hi, and 0 elsewhere. Where z may be on either side of an edge the radius covers both.
func between(z Ball, lo, hi float64, d Ball, slack float64) Ball {
	at := exact(0)
	if z.V > lo && z.V < hi {
		at = d
	}
	if reaches(z, lo, slack) || reaches(z, hi, slack) {
		at.R += d.V
	}
	return at
}

// reaches reports whether z, or z with an error, may lie on either side of an edge.
func reaches(z Ball, edge, slack float64) bool {
	return (z.R > 0 || z.V != edge) && math.Abs(z.V-edge) <= z.R+slack
}

// step is 1 above zero and low at zero and below. Where z may be on either side the radius covers both.
func step(z Ball, low float64) Ball {
	d := exact(1)
	if z.V <= 0 {
		d = constant(low)
	}
	if z.R > 0 && math.Abs(z.V) <= z.R {
		d.R += math.Abs(1 - low)
	}
	return d
}

func (a activation) eluDerivative(z Ball) Ball {
	below := func(v float64) float64 { return a.alpha * math.Exp(v) }
	if z.V-z.R > 0 {
		return exact(1)
	}
	if z.V+z.R <= 0 {
		return increasing(z, below).rounded(2).wider(a.alpha * (expError + u)) // exp(x), or (exp(x) − 1) + 1
	}
	d := exact(1)
	if z.V <= 0 {
		d = exact(below(z.V))
	}
	for _, edge := range []float64{below(z.V - z.R), a.alpha, 1} {
		d.R = max(d.R, math.Abs(edge-d.V))
	}
	return d.rounded(2).wider(a.alpha * (expError + u))
}

func sigmoid(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}

func relu6(x float64) float64 { return min(max(x, 0), 6) }

// hardArgument is the rounding of z where the hard activations bend: z+3 cancels near −3, so that a z which was rounded to a float32
// before it was given, as the one of a trace is, shows in the result by more than the result's own rounding.
func hardArgument(z Ball) float64 {
	if math.Abs(z.V)-z.R > 3 {
		return 0
	}
	return z.magnitude() * u
}

func hardSigmoid(x float64) float64 { return relu6(x+3) / 6 }

func sigmoidBall(z Ball) Ball { return increasing(z, sigmoid).within(sigmoidError) }

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// normalCDF is Φ, without cancellation for negative x.
func normalCDF(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
