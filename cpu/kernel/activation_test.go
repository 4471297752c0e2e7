package kernel

import (
	"math"
	"testing"

	"gcnn/model"
)

var allFuncs = []model.ActivationFunc{model.Linear, model.ReLU, model.Tanh, model.Sigmoid, model.LeakyReLU, model.ELU, model.GELU, model.SiLU, model.Softplus,
	model.ReLU6, model.HardSigmoid, model.HardSiLU}

// function64 is an activation in float64.
func function64(f model.ActivationFunc, alpha, x float64) float64 {
	switch f {
	case model.ReLU:
		return max(x, 0)
	case model.Tanh:
		return math.Tanh(x)
	case model.Sigmoid:
		return 1 / (1 + math.Exp(-x))
	case model.LeakyReLU:
		return max(x, 0) + alpha*min(x, 0)
	case model.ELU:
		return max(x, 0) + alpha*math.Expm1(min(x, 0))
	case model.GELU:
		return x * 0.5 * math.Erfc(-x/math.Sqrt2)
	case model.SiLU:
		return x / (1 + math.Exp(-x))
	case model.Softplus:
		return math.Log1p(math.Exp(x))
	case model.ReLU6:
		return min(max(x, 0), 6)
	case model.HardSigmoid:
		return min(max(x+3, 0), 6) / 6
	case model.HardSiLU:
		return x * min(max(x+3, 0), 6) / 6
	case model.Linear, model.Softmax:
	}
	return x
}

// TestActivate compares values with float64 and gradients with central differences in float64.
func TestActivate(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for _, f := range allFuncs {
			for _, n := range []int{1, 15, 16, 37, 1000} {
				r := seeded(uint64(n))
				x, dy := data(r, n, false), data(r, n, false)
				for i := range x {
					x[i] *= 8
				}
				alpha := float32(0.3)
				y, dx := make([]float32, n), make([]float32, n)
				k.Activate(f, alpha, y, x)
				s := y
				if NeedsInput(f) {
					s = x
				}
				k.ActivateGrad(f, alpha, dx, dy, s)
				for i, v := range x {
					a, xv := float64(alpha), float64(v)
					want := function64(f, a, xv)
					if d := math.Abs(float64(y[i]) - want); !(d <= 4*0x1p-23*math.Abs(want)) {
						t.Errorf("%v(%v) = %v, want %v", f, v, y[i], want)
					}
					const h = 1e-6
					slope := (function64(f, a, xv+h) - function64(f, a, xv-h)) / (2 * h)
					if d := math.Abs(float64(dx[i]) - float64(dy[i])*slope); !(d <= 2e-6) {
						t.Errorf("%v gradient at %v is %v, want %v", f, v, dx[i], float64(dy[i])*slope)
					}
				}
			}
		}
	})
}

// TestActivateSpecial: infinities and NaN.
func TestActivateSpecial(t *testing.T) {
	t.Parallel()
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	x := []float32{nan, inf, -inf, 0, 1e30, -1e30}
	want := map[model.ActivationFunc][]float32{
		model.Linear:      {nan, inf, -inf, 0, 1e30, -1e30},
		model.ReLU:        {nan, inf, 0, 0, 1e30, 0},
		model.Tanh:        {nan, 1, -1, 0, 1, -1},
		model.Sigmoid:     {nan, 1, 0, 0.5, 1, 0},
		model.LeakyReLU:   {nan, inf, -inf, 0, 1e30, -5e29},
		model.ELU:         {nan, inf, -0.5, 0, 1e30, -0.5},
		model.GELU:        {nan, inf, 0, 0, 1e30, 0},
		model.SiLU:        {nan, inf, nan, 0, 1e30, 0},
		model.Softplus:    {nan, inf, 0, float32(math.Ln2), 1e30, 0},
		model.ReLU6:       {nan, 6, 0, 0, 6, 0},
		model.HardSigmoid: {nan, 1, 0, 0.5, 1, 0},
		model.HardSiLU:    {nan, inf, nan, 0, 1e30, 0},
	}
	paths(t, func(t *testing.T, k *Kernels) {
		for _, f := range allFuncs {
			y := make([]float32, len(x))
			k.Activate(f, 0.5, y, x)
			for i, v := range y {
				w := want[f][i]
				if (v != v) != (w != w) || w == w && math.Abs(float64(v)-float64(w)) > 1e-6*math.Abs(float64(w)) {
					t.Errorf("%v(%v) = %v, want %v", f, x[i], v, w)
				}
			}
		}
	})
}

func TestIdenticalActivations(t *testing.T) {
	t.Parallel()
	for _, f := range allFuncs {
		natives(t, f.String(), func(k *Kernels) []float32 {
			r := seeded(uint64(f))
			x, dy := make([]float32, 1<<16+5), data(r, 1<<16+5, false)
			for i := range x {
				if x[i] = math.Float32frombits(r.Uint32()); i%3 == 0 {
					x[i] = r.Float32()*20 - 10
				}
				if x[i] != x[i] {
					x[i] = 0 // which NaN comes out is not part of the promise
				}
			}
			y, dx := make([]float32, len(x)), make([]float32, len(x))
			k.Activate(f, 0.3, y, x)
			s := y
			if NeedsInput(f) {
				s = x
			}
			k.ActivateGrad(f, 0.3, dx, dy, s)
			for i := range dx {
				if dx[i] != dx[i] {
					dx[i] = 0
				}
				if y[i] != y[i] {
					y[i] = 0
				}
			}
			return append(y, dx...)
		})
	}
}

func TestNoAllocations(t *testing.T) {
	paths(t, func(t *testing.T, k *Kernels) {
		r := seeded(1)
		x, y, w := data(r, 1000, false), data(r, 1000, false), data(r, 1000, false)
		u := &Update{Rule: Adam, Rate: 1e-3, C1: 0.1, C2: 1e-3, Epsilon: 1e-7, Scale: 1}
		s1, s2 := make([]float32, 999), make([]float32, 999)
		lrn := &LRN{Channels: 10, Size: 5, Share: 1, Beta: 0.75, Bias: 1}
		for name, f := range map[string]func(){
			"update":   func() { k.Update(u, w[:999], x, s1, s2) },
			"activate": func() { k.Activate(model.Tanh, 0, y[:999], x); k.ActivateGrad(model.Tanh, 0, y[:999], x, x) },
			"add":      func() { k.Add(y[:999], x, w); k.SumShards(y[:300], x, 3, 301) },
			"lrn":      func() { k.LRN(y[:160], x, w, lrn, 1); k.LRNGrad(y[:160], x, x, w, lrn, 1) },
			"channel":  func() { k.AddPositions(y[:16*9], x, 9, 9, 3); k.Softmax(y, x, 10, 3) },
		} {
			if n := testing.AllocsPerRun(10, f); n != 0 {
				t.Errorf("%s allocates %v times", name, n)
			}
		}
	})
}
