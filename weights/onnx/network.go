package onnx

import (
	"fmt"
	"maps"
	"reflect"
	"strings"

	"gcnn/model"

	"gorgonia.org/tensor"
)

// finish makes the network of what the graph's output needs.
func (b *builder) finish() (*Model, error) {
	name := b.graph.outputs[0].name
	out, ok := b.values[name].(*value)
	if !ok {
		return nil, formatError("its output %q is made by no node", name)
	}
	out, err := b.made(out)
	if err != nil {
		return nil, err
	}
	if out.order != nil {
		return nil, unsupported("its output %q is a map flattened in [channels, height, width] order", name)
	}
	if out.layer == model.Input {
		return nil, unsupported("its output is its input")
	}
	if err := b.logits(out); err != nil {
		return nil, err
	}
	return b.network(out.layer)
}

// logits puts a softmax behind a network without, if that is asked for.
func (b *builder) logits(out *value) error {
	last := &b.layers[out.layer]
	if len(out.shape) != 1 || model.OutputActivation(last.layer) != model.Linear {
		return nil
	}
	if !b.options.Softmax {
		b.notes = append(b.notes, "the network ends without softmax: its outputs are logits, not probabilities")
		return nil
	}
	softmax, err := b.add(out.node, built{layer: model.Activation{Func: model.Softmax}, inputs: []int{out.layer}}, out, out.shape)
	if err != nil {
		return err
	}
	out.source = softmax.source
	return nil
}

// network makes the network whose last layer is last.
func (b *builder) network(last int) (*Model, error) {
	b.fuse(last)
	needed := make([]bool, last+1)
	needed[last] = true
	for i := last; i >= 0; i-- {
		if needed[i] {
			for _, in := range b.layers[i].inputs {
				if in != model.Input {
					needed[in] = true
				}
			}
		}
	}
	var layers []built
	index := map[int]int{model.Input: model.Input} // b.layers to layers
	for i, l := range b.layers[:last+1] {
		if !needed[i] {
			continue
		}
		index[i] = len(layers)
		layers = append(layers, l)
	}
	names := layerNames(layers)
	var list []model.Layer
	for i, l := range layers {
		var inputs []string
		if len(l.inputs) != 1 || index[l.inputs[0]] != i-1 {
			for _, in := range l.inputs {
				if in == model.Input {
					inputs = append(inputs, model.InputName)
				} else {
					inputs = append(inputs, names[index[in]])
				}
			}
		}
		list = append(list, named(l.layer, l.name, inputs))
	}
	name := cleanName(b.graph.name)
	net, err := model.New(name, b.input.shape, list...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	m := &Model{Network: net, Weights: map[string]*tensor.Dense{}}
	for i, node := range net.Nodes {
		for _, p := range node.Params {
			w, ok := layers[i].weights[p.Role]
			if !ok || len(w) != p.Size() {
				return nil, formatError("%s of %v has %d elements", p.Name, p.Shape, len(w))
			}
			m.Weights[p.Name] = tensor.New(tensor.WithShape(p.Shape...), tensor.WithBacking(w))
		}
	}
	if err := b.normalization(m); err != nil {
		return nil, err
	}
	m.Notes = b.notes
	return m, nil
}

// fuse makes a bias and an activation the layer's own where they follow a convolution or a dense layer that nothing else reads.
func (b *builder) fuse(last int) {
	readers := make([]int, last+1)
	for _, l := range b.layers[:last+1] {
		for _, in := range l.inputs {
			if in != model.Input {
				readers[in]++
			}
		}
	}
	for i := range b.layers[:last+1] {
		l := &b.layers[i]
		if len(l.inputs) != 1 || l.inputs[0] == model.Input || readers[l.inputs[0]] != 1 {
			continue
		}
		// The later layer's place takes both, so that the order stays; nothing reads the earlier one any more.
		from := b.layers[l.inputs[0]]
		switch follower := l.layer.(type) {
		case model.Activation:
			if follower.Alpha != follower.Func.DefaultAlpha() || model.OutputActivation(from.layer) != model.Linear {
				continue
			}
			switch c := from.layer.(type) {
			case model.Conv2D:
				c.Activation = follower.Func
				*l = from.with(c)
			case model.Dense:
				c.Activation = follower.Func
				*l = from.with(c)
			default:
			}
		case model.BatchNormalization:
			if !l.shift || model.OutputActivation(from.layer) != model.Linear {
				continue
			}
			bias := l.weights[model.Beta]
			switch c := from.layer.(type) {
			case model.Conv2D:
				if c.NoBias {
					c.NoBias = false
					*l = from.with(c)
					l.weights[model.Bias] = bias
				}
			case model.Dense:
				if c.NoBias {
					c.NoBias = false
					*l = from.with(c)
					l.weights[model.Bias] = bias
				}
			default:
			}
		default:
		}
	}
}

// with is the layer with other options and its own memory of weights.
func (l built) with(layer model.Layer) built {
	l.layer, l.weights = layer, maps.Clone(l.weights)
	return l
}

// layerNames are the names that model.New gives.
func layerNames(layers []built) []string {
	taken := map[string]bool{}
	for _, l := range layers {
		taken[l.name] = true
	}
	count := map[string]int{}
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i] = l.name
		for names[i] == "" {
			kind := l.layer.Kind()
			name := kind
			if k := count[kind]; k > 0 {
				name = fmt.Sprintf("%s_%d", kind, k)
			}
			count[kind]++
			if !taken[name] {
				names[i] = name
			}
		}
	}
	return names
}

// named is a layer with its name and inputs, fields that every layer has.
func named(l model.Layer, name string, inputs []string) model.Layer {
	v := reflect.New(reflect.TypeOf(l)).Elem()
	v.Set(reflect.ValueOf(l))
	v.FieldByName("Name").SetString(name)
	v.FieldByName("Inputs").Set(reflect.ValueOf(inputs))
	return v.Interface().(model.Layer) //nolint:errcheck,forcetypeassert // it has l's type
}

// cleanName is a graph's name as a network's: exporters write "main_graph" and the like.
func cleanName(name string) string {
	switch name {
	case "", "main_graph", "torch_jit", "tf2onnx":
		return "imported"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, name)
}
