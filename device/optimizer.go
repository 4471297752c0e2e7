package device

import (
	"fmt"
	"math"
)

// Optimizer is one of the optimisers, with Keras' formulas (keras.optimizers). The set is closed, as that of layers.
//
//sumtype:decl
type Optimizer interface {
	// Name is Keras' name in lower case: "sgd".
	Name() string
	// Slots names the tensors that are kept for each parameter.
	Slots() []string
	check() error
}

// SGD is stochastic gradient descent: w −= rate·g. With momentum μ: v = μ·v − rate·g and w += v; Nesterov: w += μ·v − rate·g.
type SGD struct {
	Momentum float32 // in [0, 1)
	Nesterov bool
}

// Adam is Kingma and Ba's, as Keras computes it: α = rate·√(1−β₂ᵗ)/(1−β₁ᵗ); m += (g−m)(1−β₁); v += (g²−v)(1−β₂);
// w −= α·m/(√v+ε). With Training.WeightDecay it is AdamW.
type Adam struct {
	Beta1, Beta2, Epsilon float32
}

// RMSprop is Hinton's, as Keras computes it: v = ρ·v + (1−ρ)·g²; w −= rate·g/√(v+ε); with momentum μ: b = μ·b + rate·g/√(v+ε)
// and w −= b.
type RMSprop struct {
	Rho, Momentum, Epsilon float32
}

// NewAdam is Adam with Keras' defaults: 0.9, 0.999, 1e-7.
func NewAdam() Adam { return Adam{0.9, 0.999, 1e-7} }

// NewRMSprop is RMSprop with Keras' defaults: 0.9, 0, 1e-7.
func NewRMSprop() RMSprop { return RMSprop{Rho: 0.9, Epsilon: 1e-7} }

// Name is "sgd".
func (SGD) Name() string { return "sgd" }

// Name is "adam".
func (Adam) Name() string { return "adam" }

// Name is "rmsprop".
func (RMSprop) Name() string { return "rmsprop" }

// Slots is "momentum" where there is one.
func (o SGD) Slots() []string {
	if o.Momentum == 0 {
		return nil
	}
	return []string{"momentum"}
}

// Slots is "momentum" (m) and "velocity" (v).
func (Adam) Slots() []string { return []string{"momentum", "velocity"} }

// Slots is "velocity" (v), and "momentum" (b) where there is one.
func (o RMSprop) Slots() []string {
	if o.Momentum == 0 {
		return []string{"velocity"}
	}
	return []string{"velocity", "momentum"}
}

// StepFactor is α of Adam for step t, which counts from 1: rate·√(1−β₂ᵗ)/(1−β₁ᵗ), in float64 from the decimal values that
// the float32 betas stand for, rounded once.
func (o Adam) StepFactor(rate float32, t int64) float32 {
	b1, b2 := Decimal(o.Beta1), Decimal(o.Beta2)
	return float32(float64(rate) * math.Sqrt(-math.Expm1(float64(t)*math.Log(b2))) / -math.Expm1(float64(t)*math.Log(b1)))
}

// Complement is 1 − v in float32, of the decimal that the float32 v stands for: 0.1 for 0.9, as Keras computes it in Python.
func Complement(v float32) float32 { return float32(1 - Decimal(v)) }

func (o SGD) check() error {
	if !(o.Momentum >= 0 && o.Momentum < 1) {
		return fmt.Errorf("%w: momentum lies in [0, 1), got %g", ErrArgument, o.Momentum)
	}
	if o.Nesterov && o.Momentum == 0 {
		return fmt.Errorf("%w: nesterov needs a momentum above 0", ErrArgument)
	}
	return nil
}

func (o Adam) check() error {
	if !(o.Beta1 >= 0 && o.Beta1 < 1 && o.Beta2 >= 0 && o.Beta2 < 1 && o.Epsilon > 0) {
		return fmt.Errorf("%w: adam's betas lie in [0, 1) and its epsilon is above 0, got %g, %g and %g", ErrArgument, o.Beta1, o.Beta2, o.Epsilon)
	}
	return nil
}

func (o RMSprop) check() error {
	if !(o.Rho >= 0 && o.Rho < 1 && o.Momentum >= 0 && o.Momentum < 1 && o.Epsilon > 0) {
		return fmt.Errorf("%w: rmsprop's rho and momentum lie in [0, 1) and its epsilon is above 0, got %g, %g and %g",
			ErrArgument, o.Rho, o.Momentum, o.Epsilon)
	}
	return nil
}
