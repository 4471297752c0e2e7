package reference

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gcnn/device"
	"gcnn/model"
)

// The tests of this file compute in plain float32, as a backend might, and must lie within the radii of the same inputs.

func f32(f func(float64) float64, x float32) float32 { return float32(f(float64(x))) }

func within(t *testing.T, what string, got float32, want Ball) {
	t.Helper()
	if d := CompareNumber(float64(got), want); !(d.Share <= 1) {
		t.Errorf("%s: %v", what, d)
	}
}

func TestActivationsInFloat32(t *testing.T) {
	t.Parallel()
	const rootHalf, rootTau = float32(math.Sqrt2 / 2), float32(0.3989422804014327) // 1/√(2π)
	sigmoid32 := func(x float32) float32 { return 1 / (1 + f32(math.Exp, -x)) }
	phi := func(x float32) float32 { return 0.5 * (1 + f32(math.Erf, x*rootHalf)) }
	value := map[model.ActivationFunc]func(x float32) float32{
		model.ReLU:      func(x float32) float32 { return max(x, 0) },
		model.Tanh:      func(x float32) float32 { return f32(math.Tanh, x) },
		model.Sigmoid:   sigmoid32,
		model.LeakyReLU: func(x float32) float32 { return max(x, 0.2*x) },
		model.ELU: func(x float32) float32 {
			if x > 0 {
				return x
			}
			return f32(math.Exp, x) - 1
		},
		model.GELU:        func(x float32) float32 { return x * phi(x) },
		model.SiLU:        func(x float32) float32 { return x * sigmoid32(x) },
		model.ReLU6:       func(x float32) float32 { return min(max(x, 0), 6) },
		model.HardSigmoid: hardSigmoid32,
		model.HardSiLU:    func(x float32) float32 { return x * hardSigmoid32(x) },
		model.Softplus:    func(x float32) float32 { return max(x, 0) + f32(math.Log1p, f32(math.Exp, -abs32(x))) },
	}
	slope := map[model.ActivationFunc]func(x float32) float32{
		model.ReLU:    func(x float32) float32 { return step32(x, 0) },
		model.Tanh:    func(x float32) float32 { y := f32(math.Tanh, x); return 1 - y*y },
		model.Sigmoid: func(x float32) float32 { y := sigmoid32(x); return y * (1 - y) },
		model.ELU: func(x float32) float32 {
			if x > 0 {
				return 1
			}
			return (f32(math.Exp, x) - 1) + 1
		},
		model.LeakyReLU:   func(x float32) float32 { return step32(x, 0.2) },
		model.GELU:        func(x float32) float32 { return phi(x) + x*(rootTau*f32(math.Exp, -0.5*x*x)) },
		model.SiLU:        func(x float32) float32 { y := sigmoid32(x); return y * (1 + x*(1-y)) },
		model.Softplus:    sigmoid32,
		model.ReLU6:       func(x float32) float32 { return inside32(x, 0, 6, 1) },
		model.HardSigmoid: func(x float32) float32 { return inside32(x+3, 0, 6, float32(1)/6) },
		model.HardSiLU:    func(x float32) float32 { return hardSigmoid32(x) + inside32(x, -3, 3, x/6) },
	}
	rng := rand.New(rand.NewPCG(11, 12))
	for f, in32 := range value {
		act := activation{f, device.Decimal(f.DefaultAlpha())}
		for i := range 20000 {
			x := float32(rng.NormFloat64() * math.Pow(10, 3*rng.Float64()-2))
			if i < 100 {
				x = float32(i-50) / 4
			}
			within(t, fmt.Sprintf("%v(%g)", f, x), in32(x), act.value(given(x)))
			within(t, fmt.Sprintf("%v′(%g)", f, x), slope[f](x), act.derivative(given(x)))
		}
	}
}

func abs32(x float32) float32 { return max(x, -x) }

// hardSigmoid32 divides, as Keras does.
func hardSigmoid32(x float32) float32 { return min(max(x+3, 0), 6) / 6 }

// inside32 is v where x lies between lo and hi.
func inside32(x, lo, hi, v float32) float32 {
	if x > lo && x < hi {
		return v
	}
	return 0
}

func step32(x, low float32) float32 {
	if x > 0 {
		return 1
	}
	return low
}

func TestSoftmaxInFloat32(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(13, 14))
	for i := range 3000 {
		n := 2 + rng.IntN(30)
		z, logits := make([]float32, n), newTensor(1, n)
		top := float32(math.Inf(-1))
		for j := range z {
			z[j] = float32(rng.NormFloat64() * math.Pow(10, float64(i%4)-1))
			logits.Elems[j] = given(z[j])
			top = max(top, z[j])
		}
		label := rng.IntN(n)
		o := crossEntropy{}.of(logits, []uint16{uint16(label)})
		var total float32
		e := make([]float32, n)
		for j := range z {
			e[j] = f32(math.Exp, z[j]-top)
			total += e[j]
		}
		for j := range z {
			p, target := e[j]*(1/total), float32(0)
			if j == label {
				target = 1
			}
			within(t, "probability", p, o.p.Elems[j])
			within(t, "gradient", p-target, o.dz.Elems[j])
		}
		within(t, "loss", f32(math.Log, total)-(z[label]-top), o.losses[0])
	}
}

// TestBatchNormInFloat32 computes the variance in two passes and by Welford's method, and y in both forms.
func TestBatchNormInFloat32(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(15, 16))
	net, err := model.New("net", model.Shape{1, 1, 1}, model.BatchNormalization{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		n := 2 + rng.IntN(200)
		offset, spread := math.Pow(10, float64(i%4))-1, math.Pow(10, float64(i%3)-1)
		x, dy := make([]float32, n), make([]float32, n)
		in, up := newTensor(n, 1, 1, 1), newTensor(n, 1, 1, 1)
		for k := range x {
			x[k], dy[k] = float32(offset+spread*rng.NormFloat64()), float32(rng.NormFloat64())
			in.Elems[k], up.Elems[k] = given(x[k]), given(dy[k])
		}
		gamma, beta := float32(rng.NormFloat64()), float32(rng.NormFloat64())
		one := func(v float32) *Tensor { return fromFloats([]float32{v}, 1) }
		ps := &pass{net: net, weights: map[string]*Tensor{
			"batch_normalization/gamma": one(gamma), "batch_normalization/beta": one(beta),
			"batch_normalization/moving_mean": one(0.5), "batch_normalization/moving_variance": one(2),
		}}
		y := ps.forward(in)
		g := ps.backward(up, false)

		var sum, sumDY, sumDYX float32
		for _, v := range x {
			sum += v
		}
		mean := sum / float32(n)
		var squares, welfordMean, welford float32
		for k, v := range x {
			squares += (v - mean) * (v - mean)
			delta := v - welfordMean
			welfordMean += delta / float32(k+1)
			welford += delta * (v - welfordMean)
		}
		for form, variance := range []float32{squares / float32(n), welford / float32(n)} {
			moved := ps.updated()
			within(t, "moving mean", 0.5*0.99+mean*0.01, moved["batch_normalization/moving_mean"].Elems[0])
			within(t, "moving variance", 2*0.99+variance*0.01, moved["batch_normalization/moving_variance"].Elems[0])
			istd := 1 / f32(math.Sqrt, variance+1e-3)
			scale := gamma * istd
			shift := beta - mean*scale
			sumDY, sumDYX = 0, 0
			for k, v := range x {
				normal := (v - mean) * istd
				within(t, fmt.Sprint("y in form ", form), []float32{normal*gamma + beta, v*scale + shift}[form], y.Elems[k])
				sumDY += dy[k]
				sumDYX += dy[k] * normal
			}
			within(t, "gamma's gradient", sumDYX, g.params["batch_normalization/gamma"].Elems[0])
			within(t, "beta's gradient", sumDY, g.params["batch_normalization/beta"].Elems[0])
			for k, v := range x {
				normal := (v - mean) * istd
				within(t, "gradient at x", scale/float32(n)*(float32(n)*dy[k]-sumDY-normal*sumDYX), g.input.Elems[k])
			}
		}
	}
}

func TestLRNInFloat32(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(17, 18))
	for _, spec := range []model.LocalResponseNormalization{
		{Size: 5, Alpha: 1e-4, Beta: 0.75, Bias: 2}, {Size: 3, Alpha: 2, Beta: 0.5, Bias: 0.1}, {Size: 9, Alpha: 1, Beta: 3, Bias: 1},
	} {
		for range 200 {
			const channels = 11
			l := &lrn{spec: spec, channels: channels}
			x, dy, s := make([]float32, channels), make([]float32, channels), make([]float32, channels)
			in, up := newTensor(1, 1, 1, channels), newTensor(1, 1, 1, channels)
			for k := range x {
				x[k], dy[k] = float32(3*rng.NormFloat64()), float32(rng.NormFloat64())
				in.Elems[k], up.Elems[k] = given(x[k]), given(dy[k])
			}
			y := l.forward([]*Tensor{in})
			dx, _ := l.backward(up)
			power := func(k int) float32 { return f32(math.Exp, -spec.Beta*f32(math.Log, s[k])) }
			for c := range channels {
				lo, hi := l.around(c)
				var squares float32
				for j := lo; j < hi; j++ {
					squares += x[j] * x[j]
				}
				s[c] = spec.Bias + spec.Alpha/float32(spec.Size)*squares
				within(t, "y", x[c]*power(c), y.Elems[c])
			}
			for c := range channels {
				var sum float32
				for j := range channels {
					if lo, hi := l.around(j); lo <= c && c < hi {
						sum += dy[j] * (x[j] * power(j)) / s[j]
					}
				}
				factor := 2 * spec.Alpha * spec.Beta / float32(spec.Size)
				within(t, "gradient", dy[c]*power(c)-factor*x[c]*sum, dx[0].Elems[c])
			}
		}
	}
}

// TestOptimizersInFloat32 follows each optimiser in float32, each step judged from the float32 state before it.
func TestOptimizersInFloat32(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(19, 20))
	adam, rms := device.NewAdam(), device.RMSprop{Rho: 0.9, Momentum: 0.5, Epsilon: 1e-7}
	const rate, decay = float32(0.01), float32(0.05)
	for name, c := range map[string]struct {
		optimizer device.Optimizer
		step      func(w, g float32, slots map[string]float32, t int64) float32
	}{
		"sgd": {device.SGD{}, func(w, g float32, _ map[string]float32, _ int64) float32 { return w - rate*g }},
		"nesterov": {device.SGD{Momentum: 0.9, Nesterov: true}, func(w, g float32, s map[string]float32, _ int64) float32 {
			s["momentum"] = 0.9*s["momentum"] - rate*g
			return w + (0.9*s["momentum"] - rate*g)
		}},
		"adam": {adam, func(w, g float32, s map[string]float32, t int64) float32 {
			s["momentum"] += (g - s["momentum"]) * device.Complement(adam.Beta1)
			s["velocity"] += (g*g - s["velocity"]) * device.Complement(adam.Beta2)
			return w - adam.StepFactor(rate, t)*s["momentum"]/(f32(math.Sqrt, s["velocity"])+adam.Epsilon)
		}},
		"rmsprop": {rms, func(w, g float32, s map[string]float32, _ int64) float32 {
			s["velocity"] = rms.Rho*s["velocity"] + device.Complement(rms.Rho)*(g*g)
			s["momentum"] = rms.Momentum*s["momentum"] + rate*g/f32(math.Sqrt, s["velocity"]+rms.Epsilon)
			return w - s["momentum"]
		}},
	} {
		for range 300 {
			w, slots := float32(rng.NormFloat64()), map[string]float32{}
			size := math.Pow(10, -9*rng.Float64())
			for k := range int64(20) {
				g := float32(rng.NormFloat64() * size)
				before := map[string]*Tensor{}
				for _, slot := range c.optimizer.Slots() {
					before[slot] = fromFloats([]float32{slots[slot]}, 1)
				}
				old := w
				w = c.step(w-rate*decay*w, g, slots, k+1)
				seen := map[string]*Tensor{}
				for _, slot := range c.optimizer.Slots() {
					seen[slot] = fromFloats([]float32{slots[slot]}, 1)
				}
				o := update{rate: constant(device.Decimal(rate)), decay: constant(device.Decimal(decay)), step: k, seen: seen}
				want, next := o.apply(c.optimizer, fromFloats([]float32{old}, 1), fromFloats([]float32{g}, 1), before)
				within(t, name+" weight", w, want.Elems[0])
				for slot, v := range slots {
					within(t, name+" "+slot, v, next[slot].Elems[0])
				}
			}
		}
	}
}
