package model

import "fmt"

// Dense is a fully connected layer with bias and activation: y = f(x·kernel + bias).
//
// Input {n}; output {Units}. Parameters: kernel {n, Units}, bias {Units}.
type Dense struct {
	Name       string         `yaml:"name,omitempty"`
	Inputs     []string       `yaml:"inputs,omitempty"`
	Units      int            `yaml:"units"`
	Activation ActivationFunc `yaml:"activation,omitempty"` // default Linear
	NoBias     NoBias         `yaml:"use_bias,omitempty"`
	Init       Initializer    `yaml:"kernel_initializer,omitempty"` // default GlorotUniform
	Frozen     Frozen         `yaml:"trainable,omitempty"`
}

// Flatten makes a vector of a feature map in channels-last order: element (y, x, c) goes to (y·w + x)·channels + c.
type Flatten struct {
	Name   string   `yaml:"name,omitempty"`
	Inputs []string `yaml:"inputs,omitempty"`
}

// Kind is "dense".
func (Dense) Kind() string { return "dense" }

// Kind is "flatten".
func (Flatten) Kind() string { return "flatten" }

func (d Dense) identity() (string, []string)   { return d.Name, d.Inputs }
func (f Flatten) identity() (string, []string) { return f.Name, f.Inputs }

func (d Dense) resolve(inputs []Shape) (resolved, error) {
	in, err := one(inputs)
	if err != nil {
		return resolved{}, err
	}
	if len(in) != 1 {
		return resolved{}, fmt.Errorf("its input is flat, got %v: put a flatten layer or a global pooling before it", in)
	}
	if d.Units < 1 {
		return resolved{}, fmt.Errorf("units is at least 1, got %d", d.Units)
	}
	params := []Param{{
		Name: "kernel", Role: Kernel, Shape: []int{in[0], d.Units}, Trainable: !bool(d.Frozen),
		Init: d.Init, FanIn: in[0], FanOut: d.Units,
	}}
	if !d.NoBias {
		params = append(params, Param{Name: "bias", Role: Bias, Shape: []int{d.Units}, Trainable: !bool(d.Frozen), Init: Zeros})
	}
	return resolved{layer: d, out: Shape{d.Units}, params: params, macs: int64(in[0]) * int64(d.Units)}, nil
}

func (f Flatten) resolve(inputs []Shape) (resolved, error) {
	in, err := one(inputs)
	if err != nil {
		return resolved{}, err
	}
	return resolved{layer: f, out: Shape{in.Size()}}, nil
}
