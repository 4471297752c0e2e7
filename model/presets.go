package model

import (
	"errors"
	"fmt"
)

// ErrUnknownPreset is wrapped where a name is no preset.
var ErrUnknownPreset = errors.New("unknown preset")

type preset struct {
	name   string
	input  Shape // the lesson's or the paper's
	layers func(classes int) []Layer
}

var presets = []preset{
	{"cnn", Shape{28, 28, 1}, cnn},
	{"lenet5", Shape{28, 28, 1}, lenet5},
	{"alexnet", Shape{227, 227, 3}, alexnet},
	{"vgg-small", Shape{32, 32, 3}, vggSmall},
	{"resnet9", Shape{32, 32, 3}, resnet9},
	{"fast", Shape{28, 28, 1}, fast},
}

// Presets lists the names of the networks that Preset makes.
func Presets() []string {
	var names []string
	for _, p := range presets {
		names = append(names, p.name)
	}
	return names
}

// Preset makes a network by name. A nil input stands for the preset's own; classes is the number of outputs.
func Preset(name string, input Shape, classes int) (*Network, error) {
	for _, p := range presets {
		if p.name == name {
			if input == nil {
				input = p.input
			}
			return New(name, input, p.layers(classes)...)
		}
	}
	return nil, fmt.Errorf("%w %q; there are %s", ErrUnknownPreset, name, list(Presets()))
}

// cnn is the lesson's first network.
func cnn(classes int) []Layer {
	return []Layer{
		Conv2D{Filters: 8, KernelSize: Square(3), Activation: ReLU},
		MaxPool2D{},
		Flatten{},
		Dense{Units: 28, Activation: ReLU},
		Dense{Units: classes, Activation: Softmax},
	}
}

// lenet5 is the lesson's LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document recognition", in its modern
// form: full connections between feature maps and softmax at the end).
func lenet5(classes int) []Layer {
	return []Layer{
		Conv2D{Filters: 6, KernelSize: Square(3), Padding: Same, Activation: Tanh},
		AveragePool2D{},
		Conv2D{Filters: 16, KernelSize: Square(5), Activation: Tanh},
		AveragePool2D{},
		Conv2D{Filters: 120, KernelSize: Square(5), Activation: Tanh},
		Flatten{},
		Dense{Units: 84, Activation: Tanh},
		Dense{Units: classes, Activation: Softmax},
	}
}

// alexnet is the network of ImageNet 2012 (Krizhevsky, Sutskever, Hinton: "ImageNet classification with deep convolutional
// neural networks"), with the two halves of its two GPUs as groups. The paper's α = 1e-4 multiplies the sum of squares; here it
// is divided by the size 5, hence 5e-4.
func alexnet(classes int) []Layer {
	conv := func(filters, kernel, groups int) Layer {
		return Conv2D{Filters: filters, KernelSize: Square(kernel), Padding: Same, Groups: groups, Activation: ReLU}
	}
	lrn := LocalResponseNormalization{Size: 5, Alpha: 5e-4, Beta: 0.75, Bias: 2}
	pool := MaxPool2D{PoolSize: Square(3), Strides: Square(2)}
	return []Layer{
		Conv2D{Filters: 96, KernelSize: Square(11), Strides: Square(4), Activation: ReLU}, lrn, pool,
		conv(256, 5, 2), lrn, pool,
		conv(384, 3, 1),
		conv(384, 3, 2),
		conv(256, 3, 2), pool,
		Flatten{},
		Dense{Units: 4096, Activation: ReLU}, Dropout{Rate: 0.5},
		Dense{Units: 4096, Activation: ReLU}, Dropout{Rate: 0.5},
		Dense{Units: classes, Activation: Softmax},
	}
}

// vggSmall stacks 3×3 convolutions as VGG does (Simonyan, Zisserman 2014, "Very deep convolutional networks for large-scale
// image recognition"), for images of 28 to 64 pixels.
func vggSmall(classes int) []Layer {
	conv := func(filters int) Layer {
		return Conv2D{Filters: filters, KernelSize: Square(3), Padding: Same, Activation: ReLU}
	}
	return []Layer{
		conv(64), conv(64), MaxPool2D{},
		conv(128), conv(128), MaxPool2D{},
		Flatten{},
		Dense{Units: 256, Activation: ReLU}, Dropout{Rate: 0.5},
		Dense{Units: classes, Activation: Softmax},
	}
}

// resnet9 is the residual network of nine weighted layers that David Page's "How to train your ResNet" (2018) ends with, for
// images of 28 to 64 pixels.
func resnet9(classes int) []Layer {
	var layers []Layer
	block := func(name string, filters int) { // convolution without bias, batch normalisation, relu
		layers = append(layers,
			Conv2D{Name: name + "_conv", Filters: filters, KernelSize: Square(3), Padding: Same, NoBias: true},
			BatchNormalization{Name: name + "_bn", Momentum: 0.9, Epsilon: 1e-5},
			Activation{Name: name + "_relu", Func: ReLU})
	}
	stage := func(name string, filters int, residual bool) {
		block(name, filters)
		layers = append(layers, MaxPool2D{Name: name + "_pool"})
		if !residual {
			return
		}
		block(name+"_res1", filters)
		block(name+"_res2", filters)
		layers = append(layers, Add{Name: name + "_add", Inputs: []string{name + "_pool", name + "_res2_relu"}})
	}
	block("prep", 64)
	stage("layer1", 128, true)
	stage("layer2", 256, false)
	stage("layer3", 512, true)
	return append(layers, GlobalMaxPool2D{}, Dense{Units: classes, Activation: Softmax})
}

// fast reaches 93 % on Fashion-MNIST in little time: a frozen first convolution whose filters whiten the image's patches, then
// two convolutions with batch normalisation (after the network of Keller Jordan, "94% on CIFAR-10 in 3.29 seconds on a single
// GPU", 2024).
func fast(classes int) []Layer {
	bn := BatchNormalization{Momentum: 0.9, Epsilon: 1e-5}
	relu := Activation{Func: ReLU}
	conv := func(filters int) Layer {
		return Conv2D{Filters: filters, KernelSize: Square(3), Padding: Same, NoBias: true}
	}
	return []Layer{
		Conv2D{Name: "whiten", Filters: 18, KernelSize: Square(3), Padding: Same, NoBias: true, Init: Whitening, Frozen: true},
		MaxPool2D{}, bn, relu,
		conv(32), MaxPool2D{}, bn, relu,
		conv(64), bn, relu, MaxPool2D{},
		Flatten{},
		Dense{Units: 128}, bn, relu,
		Dense{Units: classes, Activation: Softmax},
	}
}
