package kernel

import "math"

// The elementary functions of the portable path, computed in float64 and rounded once: within 0.5001 ulp, on every processor the
// same. Subnormal results become 0, as in the assembly.

const smallest = 0x1p-126 // the smallest normal float32

func round32(v float64) float32 {
	if v < smallest && v > -smallest {
		return 0
	}
	return float32(v)
}

// exp64 is eˣ for |x| < 700: 2ⁿ·eʳ with |r| ≤ ln 2/2 and Taylor's series to degree 11, whose remainder is below 2⁻⁴⁶.
func exp64(x float64) float64 {
	n := math.Floor(x*math.Log2E + 0.5)
	r := x - n*math.Ln2
	p := 1 + r*(1+r*(1./2+r*(1./6+r*(1./24+r*(1./120+r*(1./720+r*(1./5040+r*(1./40320+r*(1./362880+r*(1./3628800+r/39916800))))))))))
	return p * math.Float64frombits(uint64(1023+int64(n))<<52)
}

func exp(x float32) float32 {
	switch {
	case x != x:
		return x
	case x > 89:
		return float32(math.Inf(1))
	case x < -88:
		return 0
	}
	return round32(exp64(float64(x)))
}

// expm1 is eˣ − 1: the series for small x, where the difference would cancel.
func expm1(x float32) float32 {
	v := float64(x)
	switch {
	case x != x:
		return x
	case x > 89:
		return float32(math.Inf(1))
	case x < -88:
		return -1
	case v > -0x1p-10 && v < 0x1p-10:
		return round32(v * (1 + v*(1./2+v*(1./6+v/24))))
	}
	return round32(exp64(v) - 1)
}

func tanh(x float32) float32 {
	v := float64(x)
	switch {
	case x != x:
		return x
	case x > 10:
		return 1
	case x < -10:
		return -1
	case v > -0x1p-9 && v < 0x1p-9:
		return round32(v * (1 + v*v*(-1./3+v*v*(2./15))))
	}
	return round32(1 - 2/(exp64(2*v)+1))
}

func sigmoid(x float32) float32 {
	switch {
	case x != x:
		return x
	case x > 89:
		return 1
	case x < -88:
		return 0
	}
	return round32(1 / (1 + exp64(-float64(x))))
}

func softplus(x float32) float32 {
	switch {
	case x != x:
		return x
	case x > 30:
		return x
	case x < -88:
		return 0
	}
	return round32(math.Log1p(exp64(float64(x))))
}

// gelu is x·Φ(x), through erfc: no cancellation where x is far below 0.
func gelu(x float32) float32 {
	v := float64(x)
	if v < -40 {
		return 0 // also for −Inf, where Keras has NaN from −Inf·0
	}
	return round32(v * 0.5 * math.Erfc(-v*math.Sqrt2/2))
}

// geluSlope is Φ(x) + x·φ(x).
func geluSlope(x float32) float32 {
	v := float64(x)
	switch {
	case x != x:
		return x
	case v > 40:
		return 1
	case v < -40:
		return 0
	}
	density := 0.0
	if v*v < 1400 {
		density = exp64(-0.5*v*v) / math.Sqrt(2*math.Pi)
	}
	return round32(0.5*math.Erfc(-v*math.Sqrt2/2) + v*density)
}

func sqrt(v float32) float32 { return float32(math.Sqrt(float64(v))) }
