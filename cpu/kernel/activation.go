package kernel

import "gcnn/model"

// NeedsInput says which tensor ActivateGrad wants of an activation: its input x, or (false) its output y.
func NeedsInput(f model.ActivationFunc) bool {
	return f == model.GELU || f == model.SiLU || f == model.HardSiLU
}

// Activate computes y = f(x) for each element; x and y may be the same slice. alpha is LeakyReLU's slope and ELU's α. Softmax is not
// elementwise: see Kernels.Softmax.
//
// NaN gives NaN. exp and tanh are within 2 ulp, sigmoid, ELU with α = 1 and softplus within 4, GELU within 8, on every path and for every x; or
// within 2⁻¹²⁶ where x or the result is subnormal.
func (k *Kernels) Activate(f model.ActivationFunc, alpha float32, y, x []float32) {
	if len(y) > 0 {
		k.impl.activate(f, alpha, y, x[:len(y)])
	}
}

// ActivateGrad computes dx = dy·f′; s is x or y, as NeedsInput says. dx may be dy or s.
func (k *Kernels) ActivateGrad(f model.ActivationFunc, alpha float32, dx, dy, s []float32) {
	if len(dx) > 0 {
		k.impl.activateGrad(f, alpha, dx, dy[:len(dx)], s[:len(dx)])
	}
}

const sixth = float32(1) / 6

// relu6 is min(max(x, 0), 6).
func relu6(x float32) float32 {
	switch {
	case x < 0:
		return 0
	case x > 6:
		return 6
	}
	return x
}

func hardSigmoid(x float32) float32 { return relu6(x+3) * sixth }

func activatePortable(f model.ActivationFunc, alpha float32, y, x []float32) {
	y = y[:len(x)]
	switch f {
	case model.Linear, model.Softmax:
		copy(y, x)
	case model.ReLU:
		for i, v := range x {
			y[i] = relu(v)
		}
	case model.Tanh:
		for i, v := range x {
			y[i] = tanh(v)
		}
	case model.Sigmoid:
		for i, v := range x {
			y[i] = sigmoid(v)
		}
	case model.LeakyReLU:
		for i, v := range x {
			if v <= 0 {
				v *= alpha
			}
			y[i] = v
		}
	case model.ELU:
		for i, v := range x {
			if v <= 0 {
				v = alpha * expm1(v)
			}
			y[i] = v
		}
	case model.GELU:
		for i, v := range x {
			y[i] = gelu(v)
		}
	case model.SiLU:
		for i, v := range x {
			y[i] = v * sigmoid(v)
		}
	case model.Softplus:
		for i, v := range x {
			y[i] = softplus(v)
		}
	case model.ReLU6:
		for i, v := range x {
			y[i] = relu6(v)
		}
	case model.HardSigmoid:
		for i, v := range x {
			y[i] = hardSigmoid(v)
		}
	case model.HardSiLU:
		for i, v := range x {
			y[i] = v * hardSigmoid(v)
		}
	}
}

func activateGradPortable(f model.ActivationFunc, alpha float32, dx, dy, s []float32) {
	dy, s = dy[:len(dx)], s[:len(dx)]
	switch f {
	case model.Linear, model.Softmax:
		copy(dx, dy)
	case model.ReLU:
		for i, v := range s {
			d := dy[i]
			if !(v > 0) {
				d = 0
			}
			dx[i] = d
		}
	case model.Tanh:
		for i, v := range s {
			dx[i] = dy[i] * (1 - v*v)
		}
	case model.Sigmoid:
		for i, v := range s {
			dx[i] = dy[i] * (v * (1 - v))
		}
	case model.LeakyReLU:
		for i, v := range s {
			d := dy[i]
			if !(v > 0) {
				d *= alpha
			}
			dx[i] = d
		}
	case model.ELU:
		for i, v := range s {
			d := dy[i]
			if !(v > 0) {
				d *= v + alpha
			}
			dx[i] = d
		}
	case model.GELU:
		for i, v := range s {
			dx[i] = dy[i] * geluSlope(v)
		}
	case model.SiLU:
		for i, v := range s {
			p := sigmoid(v)
			dx[i] = dy[i] * (p + v*p*(1-p))
		}
	case model.Softplus:
		for i, v := range s {
			dx[i] = dy[i] * -expm1(-v)
		}
	case model.ReLU6:
		for i, v := range s {
			d := dy[i]
			if !(v > 0 && v < 6) {
				d = 0
			}
			dx[i] = d
		}
	case model.HardSigmoid:
		for i, v := range s {
			d := dy[i]
			if !(v > 0 && v < 1) {
				d = 0
			}
			dx[i] = d * sixth
		}
	case model.HardSiLU:
		for i, v := range s {
			slope := hardSigmoid(v)
			if v > -3 && v < 3 {
				slope += v * sixth
			}
			dx[i] = dy[i] * slope
		}
	}
}
