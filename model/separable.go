package model

import "fmt"

// SeparableConv2D is Keras' layer of that name: a depthwise convolution, of DepthMultiplier filters for each channel, and then a
// 1×1 convolution that has the bias and the activation.
//
// Input {h, w, c}; output {h', w', Filters}. Parameters: depthwise_kernel {kh, kw, c, m}, pointwise_kernel {1, 1, c·m, Filters},
// bias {Filters}.
//
// Devices know it as its two convolutions: New makes two nodes of it, the depthwise one with the name NAME_depthwise and the 1×1
// one with the layer's own name. [Node.Separable] says that they belong together.
type SeparableConv2D struct {
	Name            string         `yaml:"name,omitempty"`
	Inputs          []string       `yaml:"inputs,omitempty"`
	Filters         int            `yaml:"filters"`
	KernelSize      Size           `yaml:"kernel_size"`
	Strides         Size           `yaml:"strides,omitempty"`          // default 1×1
	Padding         Padding        `yaml:"padding,omitempty"`          // default Valid
	DilationRate    Size           `yaml:"dilation_rate,omitempty"`    // default 1×1
	DepthMultiplier int            `yaml:"depth_multiplier,omitempty"` // default 1
	Activation      ActivationFunc `yaml:"activation,omitempty"`       // default Linear
	NoBias          NoBias         `yaml:"use_bias,omitempty"`
	DepthwiseInit   Initializer    `yaml:"depthwise_initializer,omitempty"` // default GlorotUniform
	PointwiseInit   Initializer    `yaml:"pointwise_initializer,omitempty"` // default GlorotUniform
	Frozen          Frozen         `yaml:"trainable,omitempty"`
}

// Kind is "separable_conv2d".
func (SeparableConv2D) Kind() string { return "separable_conv2d" }

func (s SeparableConv2D) identity() (string, []string) { return s.Name, s.Inputs }

// depthwiseSuffix follows the layer's name in that of its depthwise node.
const depthwiseSuffix = "_depthwise"

func (s SeparableConv2D) resolve(inputs []Shape) (resolved, error) {
	if s.DepthMultiplier == 0 {
		s.DepthMultiplier = 1
	}
	if s.DepthMultiplier < 0 {
		return resolved{}, fmt.Errorf("depth_multiplier is at least 1, got %d", s.DepthMultiplier)
	}
	depthwise, err := Conv2D{
		KernelSize: s.KernelSize, Strides: s.Strides, Padding: s.Padding, DilationRate: s.DilationRate, DepthMultiplier: s.DepthMultiplier,
		NoBias: true, Init: s.DepthwiseInit, Frozen: s.Frozen,
	}.resolve(inputs)
	if err != nil {
		return resolved{}, err
	}
	pointwise, err := Conv2D{
		Filters: s.Filters, KernelSize: Square(1), Activation: s.Activation, NoBias: s.NoBias, Init: s.PointwiseInit, Frozen: s.Frozen,
	}.resolve([]Shape{depthwise.out})
	if err != nil {
		return resolved{}, err
	}
	s.Strides, s.DilationRate = s.Strides.or(Square(1)), s.DilationRate.or(Square(1))
	depthwise.suffix = depthwiseSuffix
	depthwise.params[0].Name = "depthwise_kernel"
	pointwise.params[0].Name = "pointwise_kernel"
	if s.DepthwiseInit == Whitening || s.PointwiseInit == Whitening {
		return resolved{}, fmt.Errorf("the initializer whitening belongs to a conv2d of one group that reads the network's input")
	}
	return resolved{layer: s, out: pointwise.out, parts: []resolved{depthwise, pointwise}}, nil
}
