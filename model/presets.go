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
