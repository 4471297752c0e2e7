package model

import "fmt"

// BatchNormalization normalises each channel over the batch (and the positions of a feature map), then scales and shifts.
//
// In training: y = γ·(x−mean)/√(var+ε) + β with the biased variance of the batch, and moving = moving·momentum +
// batch·(1−momentum). Otherwise the moving statistics take the batch's place. Parameters, each {channels}: gamma, beta,
// moving_mean, moving_variance.
type BatchNormalization struct {
	Name     string   `yaml:"name,omitempty"`
	Inputs   []string `yaml:"inputs,omitempty"`
	Momentum float32  `yaml:"momentum,omitempty"`  // default 0.99
	Epsilon  float32  `yaml:"epsilon,omitempty"`   // default 1e-3
	NoScale  NoScale  `yaml:"scale,omitempty"`     // without γ
	NoCenter NoCenter `yaml:"center,omitempty"`    // without β
	Frozen   Frozen   `yaml:"trainable,omitempty"` // as in Keras, a frozen layer also runs in inference mode
}

// Kind is "batch_normalization".
func (BatchNormalization) Kind() string { return "batch_normalization" }

func (b BatchNormalization) identity() (string, []string) { return b.Name, b.Inputs }

func (b BatchNormalization) resolve(inputs []Shape) (resolved, error) {
	in, err := one(inputs)
	if err != nil {
		return resolved{}, err
	}
	if b.Momentum == 0 {
		b.Momentum = 0.99
	}
	if b.Epsilon == 0 {
		b.Epsilon = 1e-3
	}
	if !(b.Momentum > 0 && b.Momentum < 1) || !(b.Epsilon > 0 && b.Epsilon <= 1) {
		return resolved{}, fmt.Errorf("momentum lies between 0 and 1 and epsilon in (0, 1], got %g and %g", b.Momentum, b.Epsilon)
	}
	c := []int{in[len(in)-1]}
	var params []Param
	if !b.NoScale {
		params = append(params, Param{Name: "gamma", Role: Gamma, Shape: c, Trainable: !bool(b.Frozen), Init: Ones})
	}
	if !b.NoCenter {
		params = append(params, Param{Name: "beta", Role: Beta, Shape: c, Trainable: !bool(b.Frozen), Init: Zeros})
	}
	params = append(params,
		Param{Name: "moving_mean", Role: MovingMean, Shape: c, Init: Zeros},
		Param{Name: "moving_variance", Role: MovingVariance, Shape: c, Init: Ones})
	return resolved{layer: b, out: in, params: params}, nil
}
