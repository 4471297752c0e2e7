package model

import (
	"fmt"
	"strconv"
)

// ActivationFunc is an activation function, applied to each element; Softmax is applied over the last axis.
type ActivationFunc uint8

// The activation functions, with Keras' definitions.
const (
	Linear      ActivationFunc = iota // x
	ReLU                              // max(x, 0); its gradient at 0 is 0
	Tanh                              // tanh x
	Sigmoid                           // 1/(1+e⁻ˣ)
	Softmax                           // eˣ/Σeˣ over the channels or units
	LeakyReLU                         // x where x > 0, else slope·x
	ELU                               // x where x > 0, else α·(eˣ−1)
	GELU                              // x·Φ(x), the exact form with erf
	SiLU                              // x·sigmoid(x)
	Softplus                          // ln(1+eˣ)
	ReLU6                             // min(max(x, 0), 6); its gradient at 0 and 6 is 0
	HardSigmoid                       // ReLU6(x+3)/6, as Keras 3 and PyTorch have it
	HardSiLU                          // x·HardSigmoid(x), also called hard swish
)

var activationNames = [...]string{"linear", "relu", "tanh", "sigmoid", "softmax", "leaky_relu", "elu", "gelu", "silu", "softplus", "relu6",
	"hard_sigmoid", "hard_silu"}

// String is Keras' name.
func (a ActivationFunc) String() string {
	if int(a) < len(activationNames) {
		return activationNames[a]
	}
	return "ActivationFunc(" + strconv.Itoa(int(a)) + ")"
}

// MarshalText writes Keras' name.
func (a ActivationFunc) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads Keras' name.
func (a *ActivationFunc) UnmarshalText(text []byte) error {
	for i, n := range activationNames {
		if n == string(text) {
			*a = ActivationFunc(i)
			return nil
		}
	}
	return fmt.Errorf("activation %q is unknown; there are %s", text, list(activationNames[:]))
}

func (a ActivationFunc) check(out Shape) error {
	if int(a) >= len(activationNames) {
		return fmt.Errorf("activation %v is unknown", a)
	}
	return out.check()
}

// Activation applies an activation function as a layer of its own.
type Activation struct {
	Name   string         `yaml:"name,omitempty"`
	Inputs []string       `yaml:"inputs,omitempty"`
	Func   ActivationFunc `yaml:"activation"`
	// Alpha is LeakyReLU's slope and ELU's α. Zero means Keras' default for activation='…': 0.2 and 1.
	Alpha float32 `yaml:"alpha,omitempty"`
}

// Kind is "activation".
func (Activation) Kind() string { return "activation" }

func (a Activation) identity() (string, []string) { return a.Name, a.Inputs }

// Slopes that Keras takes where an activation is given by name alone.
const (
	DefaultLeakySlope = 0.2
	DefaultELUAlpha   = 1
)

// DefaultAlpha is the parameter of an activation given by name alone: the slope of LeakyReLU, α of ELU, 0 of the others.
func (a ActivationFunc) DefaultAlpha() float32 {
	switch a {
	case LeakyReLU:
		return DefaultLeakySlope
	case ELU:
		return DefaultELUAlpha
	case Linear, ReLU, Tanh, Sigmoid, Softmax, GELU, SiLU, Softplus, ReLU6, HardSigmoid, HardSiLU:
	}
	return 0
}

func (a Activation) resolve(inputs []Shape) (resolved, error) {
	in, err := one(inputs)
	if err != nil {
		return resolved{}, err
	}
	if a.Alpha == 0 {
		a.Alpha = a.Func.DefaultAlpha()
	}
	if a.Alpha < 0 || (a.Alpha != 0 && a.Func.DefaultAlpha() == 0) {
		return resolved{}, fmt.Errorf("alpha is above 0 and belongs to leaky_relu and elu alone, got %g for %v", a.Alpha, a.Func)
	}
	return resolved{layer: a, out: in}, a.Func.check(in)
}
