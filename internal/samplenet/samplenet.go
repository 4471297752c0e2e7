// Package samplenet makes networks with random weights that between them have every layer and every option, for checks that files
// and other programs agree with gcnn.
package samplenet

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/model"
)

// Layers are small networks of every layer: branches, all activations, frozen, depthwise and separable convolutions, outputs that are no
// classes.
func Layers() ([]*model.Network, error) {
	sq := model.Square
	branches := []model.Layer{
		model.Conv2D{Filters: 8, KernelSize: sq(3), Strides: sq(2), Padding: model.Same, NoBias: true},
		model.BatchNormalization{NoScale: true, Epsilon: 1e-5, Momentum: 0.9},
		model.Activation{Func: model.LeakyReLU, Alpha: 0.1},
		model.Conv2D{Name: "depthwise", DepthMultiplier: 2, KernelSize: model.Size{H: 3, W: 2}, Padding: model.Same, Activation: model.GELU},
		model.Conv2D{Name: "dilated", Filters: 12, KernelSize: sq(3), DilationRate: sq(2), Padding: model.Same, Activation: model.ELU, Frozen: true},
		model.LocalResponseNormalization{Size: 3, Alpha: 0.3, Beta: 0.6, Bias: 1.5},
		model.ZeroPadding2D{Name: "padded", Padding: model.Margins{Top: 1, Left: 2, Right: 1}},
		model.MaxPool2D{PoolSize: sq(3), Strides: sq(2), Padding: model.Same},
		model.AveragePool2D{Inputs: []string{"padded"}, PoolSize: model.Size{H: 3, W: 4}, Strides: sq(2), Padding: model.Same},
		model.Concatenate{Name: "joined", Inputs: []string{"max_pooling2d", "average_pooling2d"}},
		model.Conv2D{Name: "groups", Filters: 24, KernelSize: model.Size{H: 2, W: 3}, Padding: model.Same, Groups: 3, Activation: model.Softplus},
		model.Activation{Name: "silu", Func: model.SiLU, Inputs: []string{"joined"}},
		model.Add{Name: "sum", Inputs: []string{"joined", "groups", "silu"}},
		model.Activation{Func: model.ELU, Alpha: 0.7},
		model.BatchNormalization{Name: "uncentered", NoCenter: true},
		model.GlobalAveragePool2D{Name: "mean"},
		model.GlobalMaxPool2D{Name: "max", Inputs: []string{"uncentered"}},
		model.Concatenate{Name: "features", Inputs: []string{"mean", "max"}},
		model.Dense{Units: 16, Activation: model.Tanh},
		model.BatchNormalization{},
		model.Dropout{Rate: 0.3},
		model.Dense{Units: 7, NoBias: true},
		model.Activation{Func: model.Softmax},
	}
	flat := []model.Layer{
		model.Flatten{},
		model.Dense{Units: 9, Activation: model.Sigmoid},
		model.BatchNormalization{NoScale: true, NoCenter: true},
		model.Flatten{},
		model.Dense{Units: 8, Activation: model.LeakyReLU},
		model.Activation{Name: "gelu", Func: model.GELU},
		model.Add{Inputs: []string{"dense_1", "gelu"}},
		model.Activation{Func: model.Linear},
		model.Dense{Units: 5, Activation: model.Softmax},
	}
	segments := []model.Layer{
		model.Conv2D{Filters: 6, KernelSize: sq(3), Strides: model.Size{H: 2, W: 1}, Activation: model.SiLU},
		model.AveragePool2D{PoolSize: model.Size{H: 2, W: 1}, Strides: sq(1)},
		model.Conv2D{Filters: 4, KernelSize: sq(1), Activation: model.Softmax},
	}
	separable := []model.Layer{
		model.Conv2D{Filters: 6, KernelSize: sq(3), Padding: model.Same, Activation: model.ReLU},
		model.SeparableConv2D{Filters: 8, KernelSize: sq(3), Strides: sq(2), Padding: model.Same, DepthMultiplier: 2, NoBias: true, PointwiseInit: model.HeUniform},
		model.BatchNormalization{},
		model.SeparableConv2D{Name: "left", Filters: 5, KernelSize: model.Size{H: 2, W: 3}, DilationRate: sq(2), Padding: model.Same, Activation: model.Tanh, Frozen: true},
		model.SeparableConv2D{Name: "right", Inputs: []string{"batch_normalization"}, Filters: 5, KernelSize: sq(1), DepthwiseInit: model.Ones},
		model.Add{Inputs: []string{"left", "right"}},
		model.GlobalAveragePool2D{},
		model.Dense{Units: 4, Activation: model.Softmax},
	}
	logits := []model.Layer{
		model.MaxPool2D{PoolSize: sq(2), Padding: model.Same},
		model.Activation{Name: "hard", Func: model.HardSiLU},
		model.Conv2D{Filters: 5, KernelSize: sq(4), Strides: sq(3), Padding: model.Same, Activation: model.ReLU6},
		model.Flatten{},
		model.Dense{Units: 6, Activation: model.HardSigmoid},
		model.Dense{Units: 3},
		model.Dropout{Rate: 0.5},
	}
	var all []*model.Network
	for _, n := range []struct {
		name   string
		input  model.Shape
		layers []model.Layer
	}{
		{"branches", model.Shape{17, 20, 3}, branches},
		{"flat", model.Shape{5, 4, 2}, flat},
		{"segments", model.Shape{9, 8, 1}, segments},
		{"separable", model.Shape{12, 11, 3}, separable},
		{"logits", model.Shape{11, 7, 4}, logits},
	} {
		net, err := model.New(n.name, n.input, n.layers...)
		if err != nil {
			return nil, err
		}
		all = append(all, net)
	}
	return all, nil
}

// Weights draws weights that keep a signal's size through many layers, biases and moving statistics that are not 0 and 1.
func Weights(net *model.Network, seed uint64) map[string]*tensor.Dense {
	rng := rand.New(rand.NewPCG(seed, 1))
	weights := map[string]*tensor.Dense{}
	for _, p := range net.Params() {
		low, high := -0.1, 0.1
		switch p.Role {
		case model.Kernel:
			high = math.Sqrt(6 / float64(p.FanIn+p.FanOut))
			low = -high
		case model.Gamma:
			low, high = 0.5, 1.5
		case model.MovingMean, model.Beta:
			low, high = -0.5, 0.5
		case model.MovingVariance:
			low, high = 0.5, 2
		case model.Bias:
		}
		v := make([]float32, p.Size())
		for i := range v {
			v[i] = float32(low + (high-low)*rng.Float64())
		}
		weights[p.Name] = tensor.New(tensor.WithShape(p.Shape...), tensor.WithBacking(v))
	}
	return weights
}

// Images draws n images of bytes.
func Images(net *model.Network, n int, seed uint64) *data.Set {
	rng := rand.New(rand.NewPCG(seed, 2))
	s := &data.Set{Name: "random images", Height: net.Input[0], Width: net.Input[1], Channels: net.Input[2]}
	s.Pixels = make([]uint8, n*net.Input.Size())
	for i := range s.Pixels {
		s.Pixels[i] = uint8(rng.Uint32())
	}
	return s
}

// Normalization is one for so many channels that is not the default.
func Normalization(channels int) model.Normalization {
	var z model.Normalization
	for c := range channels {
		z.Mean = append(z.Mean, 0.4+0.03*float32(c))
		z.Std = append(z.Std, 0.3-0.02*float32(c%10))
	}
	return z
}

// Classes are names for a network's classes; nil for one that is no classifier.
func Classes(net *model.Network) []string {
	n, err := net.Classes()
	if err != nil {
		return nil
	}
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("class %d", i))
	}
	return names
}
