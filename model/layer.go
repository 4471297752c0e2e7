package model

import "fmt"

// Layer is one of the layers that a network is made of. The set is closed: every backend compiles each of them, and a switch
// that misses one is reported by the linter (gochecksumtype).
//
// Layers are plain data and their zero options are Keras' defaults; New fills them in. The fields Name and Inputs, which every
// layer has, may be left empty: the name is then Keras' automatic one (conv2d, conv2d_1, …) and the input is the layer before.
//
//sumtype:decl
type Layer interface {
	// Kind is the layer's type in model files and the stem of its automatic name, as in Keras: "conv2d", "max_pooling2d".
	Kind() string

	identity() (name string, inputs []string)
	// resolve fills in defaults and infers the output's shape and the parameters. Parameter names are without the layer's.
	resolve(in []Shape) (resolved, error)
}

// resolved is a layer once its inputs' shapes are known.
type resolved struct {
	layer  Layer
	out    Shape
	params []Param
	macs   int64 // multiply-adds of one sample, forward

	parts  []resolved // instead of params and macs, where several nodes are made of the layer: a chain, the last with its name
	suffix string     // of a part's name
}

// Role tells the parameters of a layer apart.
type Role uint8

// The roles of parameters.
const (
	Kernel Role = iota // convolution: {kh, kw, in/groups, filters}; dense: {in, units}
	Bias
	Gamma
	Beta
	MovingMean
	MovingVariance
)

// Param is a tensor that belongs to a layer.
type Param struct {
	Name      string // Keras': "conv2d/kernel"; of a part of a SeparableConv2D "separable_conv2d/depthwise_kernel"
	Role      Role
	Shape     []int // in Keras' layout
	Trainable bool  // false for moving statistics and the parameters of frozen layers
	Init      Initializer
	FanIn     int // for Init
	FanOut    int
}

// Size is the number of elements.
func (p Param) Size() int { return Shape(p.Shape).Size() }

// one is the single input of a layer that has one.
func one(in []Shape) (Shape, error) {
	if len(in) != 1 {
		return nil, fmt.Errorf("it has one input, got %d", len(in))
	}
	return in[0], nil
}

// oneMap is the single input of a layer that reads a feature map.
func oneMap(in []Shape) (Shape, error) {
	s, err := one(in)
	if err == nil && !s.IsMap() {
		return nil, fmt.Errorf("its input is a feature map of height×width×channels, got %v", s)
	}
	return s, err
}
