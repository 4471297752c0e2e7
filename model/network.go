// Package model describes convolutional neural networks as plain data: layers in order, each naming its inputs, with every
// shape inferred and checked. It knows nothing of devices.
package model

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalid is what errors about a network's definition wrap.
var ErrInvalid = errors.New("invalid network")

// InputName is what a layer writes in its inputs to read the network's own input.
const InputName = "input"

// Input is the index that stands for the network's input in Node.Inputs.
const Input = -1

// Node is a layer in its place in a network.
type Node struct {
	Name   string
	Layer  Layer   // with defaults filled in
	Inputs []int   // indices in Network.Nodes, each less than the node's own, or Input
	In     []Shape // shapes of the inputs
	Out    Shape
	Params []Param
	MACs   int64 // multiply-adds of convolutions and dense layers for one sample, forward

	// Separable is the layer that this node and a neighbour of it are made of, nil for a layer that is one node.
	Separable *SeparableConv2D
}

// Network is a directed acyclic graph of layers in topological order. Its output is that of the last node. It is made by New
// and not changed afterwards.
type Network struct {
	Name  string
	Input Shape // {height, width, channels}
	Nodes []Node
}

// New makes a network of layers in order. A layer without inputs reads the layer before it. An error names the layer and the
// shapes, and wraps ErrInvalid.
func New(name string, input Shape, layers ...Layer) (*Network, error) {
	n := &Network{Name: name, Input: append(Shape{}, input...)}
	if err := n.Input.check(); err != nil {
		return nil, invalid("input: %w", err)
	}
	if !n.Input.IsMap() {
		return nil, invalid("input: a network's input is a feature map of height×width×channels, got %v", n.Input)
	}
	if len(layers) == 0 {
		return nil, invalid("a network has one layer or more")
	}
	names := autoNames(layers)
	index := map[string]int{InputName: Input}
	taken := map[string]bool{InputName: true}
	used := map[int]bool{} // nodes
	for i, layer := range layers {
		if err := checkName(names[i]); err != nil {
			return nil, invalid("layer %d: %w", i+1, err)
		}
		inputs := []int{len(n.Nodes) - 1}
		if _, given := layer.identity(); len(given) > 0 {
			inputs = nil
			for _, in := range given {
				j, ok := index[in]
				if !ok {
					return nil, invalid("%s: its input %q is no layer before it", names[i], in)
				}
				inputs = append(inputs, j)
			}
		}
		from := len(n.Nodes)
		if err := n.append(names[i], layer, inputs); err != nil {
			return nil, invalid("%s: %w", names[i], err)
		}
		for _, node := range n.Nodes[from:] {
			if taken[node.Name] && node.Name == names[i] {
				return nil, invalid("%s: two layers have this name", names[i])
			}
			if taken[node.Name] {
				return nil, invalid("%s: its depthwise convolution is called %s, as another layer is", names[i], node.Name)
			}
			taken[node.Name] = true
		}
		for _, j := range inputs {
			if j != Input {
				used[j] = true
			}
		}
		index[names[i]] = len(n.Nodes) - 1
	}
	for i, name := range names[:len(names)-1] {
		if !used[index[name]] {
			return nil, invalid("%s: no layer reads its output", names[i])
		}
	}
	return n, nil
}

// append adds the node of a layer, or its nodes.
func (n *Network) append(name string, layer Layer, inputs []int) error {
	var in []Shape
	for _, j := range inputs {
		in = append(in, n.ShapeOf(j))
	}
	r, err := layer.resolve(in)
	if err != nil {
		return err
	}
	parts := []resolved{r}
	separable, several := r.layer.(SeparableConv2D)
	if several {
		parts = r.parts
	}
	for _, p := range parts {
		if err := p.out.check(); err != nil {
			return err
		}
		if err := checkWhitening(inputs, p); err != nil {
			return err
		}
		node := Node{Name: name + p.suffix, Layer: p.layer, Inputs: inputs, In: in, Out: p.out, Params: p.params, MACs: p.macs}
		if several {
			node.Separable = &separable
		}
		for k := range node.Params {
			node.Params[k].Name = name + "/" + node.Params[k].Name
			if err := Shape(node.Params[k].Shape).checkSize(); err != nil {
				return fmt.Errorf("%s: %w", p.params[k].Name, err)
			}
		}
		n.Nodes = append(n.Nodes, node)
		inputs, in = []int{len(n.Nodes) - 1}, []Shape{p.out}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// autoNames gives each layer its own name or Keras' automatic one: the kind, then kind_1, kind_2, … .
func autoNames(layers []Layer) []string {
	taken := map[string]bool{}
	for _, l := range layers {
		name, _ := l.identity()
		taken[name] = true
	}
	count := map[string]int{}
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i], _ = l.identity()
		for names[i] == "" {
			name := l.Kind()
			if k := count[l.Kind()]; k > 0 {
				name = fmt.Sprintf("%s_%d", name, k)
			}
			count[l.Kind()]++
			if !taken[name] {
				names[i] = name
			}
		}
	}
	return names
}

func checkName(name string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
	if len(name) > 100 || strings.Trim(name, allowed) != "" {
		return fmt.Errorf("a name has up to 100 letters, digits, '_', '-' and '.', got %q", name)
	}
	return nil
}

// ShapeOf is the shape of a node's output, or of the network's input, for one sample.
func (n *Network) ShapeOf(node int) Shape {
	if node == Input {
		return n.Input
	}
	return n.Nodes[node].Out
}

// NameOf is a node's name, or InputName.
func (n *Network) NameOf(node int) string {
	if node == Input {
		return InputName
	}
	return n.Nodes[node].Name
}

// NamesOf are the names of nodes, without that of the input.
func (n *Network) NamesOf(nodes ...int) []string {
	var names []string
	for _, i := range nodes {
		if i != Input {
			names = append(names, n.Nodes[i].Name)
		}
	}
	return names
}

// Output is the shape of the network's output for one sample.
func (n *Network) Output() Shape { return n.Nodes[len(n.Nodes)-1].Out }

// Params lists all parameters in the order of the layers.
func (n *Network) Params() []Param {
	var all []Param
	for _, node := range n.Nodes {
		all = append(all, node.Params...)
	}
	return all
}

// Classes is the number of classes of a classifier: the length of its output. An error says why the network is none:
// categorical cross-entropy needs a flat output that ends in softmax.
func (n *Network) Classes() (int, error) {
	last := n.Nodes[len(n.Nodes)-1]
	if len(last.Out) != 1 {
		return 0, invalid("%s: a classifier's output is flat, got %v", last.Name, last.Out)
	}
	if f := OutputActivation(last.Layer); f != Softmax {
		return 0, invalid("%s: a classifier ends in softmax, got %v", last.Name, f)
	}
	return last.Out[0], nil
}

// OutputActivation is the activation that a layer applies to its output, Linear where it has none.
func OutputActivation(l Layer) ActivationFunc {
	switch l := l.(type) {
	case Conv2D:
		return l.Activation
	case SeparableConv2D:
		return l.Activation
	case Dense:
		return l.Activation
	case Activation:
		return l.Func
	case MaxPool2D, AveragePool2D, GlobalMaxPool2D, GlobalAveragePool2D, Flatten, BatchNormalization, Dropout,
		LocalResponseNormalization, ZeroPadding2D, Add, Concatenate:
		return Linear
	}
	return Linear
}

// Normalization makes floats of an image's bytes, for each channel: (v/255 − Mean)/Std in float32. Its zero value is Keras'
// lesson: v/255, in [0, 1]. It is stored with the weights, so that every later use of them applies the same.
type Normalization struct {
	Mean, Std []float32 // one a channel, or both empty
}

// Table is the 256 normalised values of channel c.
func (z Normalization) Table(c int) [256]float32 {
	var t [256]float32
	for v := range t {
		t[v] = float32(v) / 255
		if len(z.Mean) > 0 {
			t[v] = (t[v] - z.Mean[c]) / z.Std[c]
		}
	}
	return t
}

// Check reports what does not fit an input of so many channels.
func (z Normalization) Check(channels int) error {
	if len(z.Mean) == 0 && len(z.Std) == 0 {
		return nil
	}
	if len(z.Mean) != channels || len(z.Std) != channels {
		return fmt.Errorf("normalisation has a mean and a std for each of the %d channels, got %d and %d", channels, len(z.Mean), len(z.Std))
	}
	for c, s := range z.Std {
		if !(s > 0) || s > 1e6 || z.Mean[c] != z.Mean[c] || z.Mean[c]-z.Mean[c] != 0 {
			return fmt.Errorf("normalisation of channel %d: the std is above 0 and the mean finite, got %g and %g", c, s, z.Mean[c])
		}
	}
	return nil
}
