// Package keras writes and reads networks as Keras 3 keeps them: model.to_json()'s text, and beside it the weights by
// variable.path, as NPZ or safetensors.
//
// In Python:
//
//	import keras, numpy
//	net = keras.models.model_from_json(open("net.json").read())
//	weights = numpy.load("net.npz")
//	for variable in net.weights:
//	    variable.assign(weights[variable.path])
//	net.predict(images)  # uint8 [n, height, width, channels]
//
// The model takes images as they come; Rescaling and Normalization are its first layers.
package keras

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"gcnn/internal/atomicfile"
	"gcnn/model"
	"gcnn/weights"

	"gorgonia.org/tensor"
)

// Model is a network as Keras' configuration, with its weights.
type Model struct {
	JSON    []byte                   // what keras.models.model_from_json reads
	Weights map[string]*tensor.Dense // by variable.path, in Keras' layout
}

// Options change what a model is given.
type Options struct {
	// Floats makes the input float32 that is not divided by 255, for networks that were trained on a set of floats.
	Floats bool
}

// object is a JSON object; encoding/json sorts its keys, so that equal networks give equal bytes.
type object = map[string]any

// writer makes a Functional model.
type writer struct {
	net     *model.Network
	names   map[string]bool
	layers  []any
	shapes  map[string]model.Shape // of each layer's output
	dtypes  map[string]string      // where it is not float32
	weights map[string]*tensor.Dense
}

// FromNetwork makes a Keras model of a network. Weights of layers that have no counterpart in Keras' own are added under names of
// their own: LocalResponseNormalization becomes x·(bias + alpha/size·Σx²)^−beta, the sum over channels being a 1×1 convolution.
func FromNetwork(net *model.Network, w map[string]*tensor.Dense, norm model.Normalization, o Options) (*Model, error) {
	if err := norm.Check(net.Input[2]); err != nil {
		return nil, err
	}
	want := map[string]tensor.Shape{}
	for _, p := range net.Params() {
		want[p.Name] = p.Shape
	}
	if err := (&weights.File{Tensors: w}).Match(want); err != nil {
		return nil, err
	}
	k := &writer{net, map[string]bool{}, nil, map[string]model.Shape{}, map[string]string{}, maps.Clone(w)}
	for _, node := range net.Nodes {
		k.names[node.Name] = true
	}
	outputs := map[int]string{model.Input: k.input(norm, o)}
	for i, node := range net.Nodes {
		inputs := make([]string, len(node.Inputs))
		for j, in := range node.Inputs {
			inputs[j] = outputs[in]
		}
		if node.Separable != nil && i+1 < len(net.Nodes) && net.Nodes[i+1].Separable == node.Separable {
			outputs[i] = inputs[0] // the layer is written with its second node
			continue
		}
		if node.Separable != nil {
			node.Layer = *node.Separable
		}
		if err := k.layer(node, inputs); err != nil {
			return nil, fmt.Errorf("layer %s: %w", node.Name, err)
		}
		outputs[i] = node.Name
	}
	first, ok := k.layers[0].(object)
	if !ok {
		return nil, fmt.Errorf("the model has no input layer") // input made it
	}
	text, err := encodeJSON(object{
		"module": "keras.src.models.functional", "class_name": "Functional", "registered_name": "Functional",
		"config": object{
			"name": net.Name, "trainable": true, "layers": k.layers,
			"input_layers":  []any{first["name"], 0, 0},
			"output_layers": []any{net.Nodes[len(net.Nodes)-1].Name, 0, 0},
		},
	})
	return &Model{text, k.weights}, err
}

// encodeJSON writes v indented, without escapes for HTML.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

// WriteFiles writes the configuration and the weights, as NPZ. Each file is whole or absent at any moment.
func (m *Model) WriteFiles(config, npz string) error {
	err := atomicfile.Write(config, 0o666, func(w io.Writer) error {
		_, err := w.Write(m.JSON)
		return err
	})
	if err != nil {
		return err
	}
	return weights.WriteNPZ(npz, m.Weights)
}

// name returns a name like stem that no layer has.
func (k *writer) name(stem string) string {
	name := stem
	for i := 1; k.names[name]; i++ {
		name = fmt.Sprintf("%s_%d", stem, i)
	}
	k.names[name] = true
	return name
}

// input adds the input and its normalisation, and returns the layer that gives the network's input.
func (k *writer) input(norm model.Normalization, o Options) string {
	x := k.name("images")
	dtype := "uint8"
	if o.Floats {
		dtype = "float32"
	}
	k.shapes[x], k.dtypes[x] = k.net.Input, dtype
	k.layers = append(k.layers, object{
		"module": "keras.layers", "class_name": "InputLayer", "registered_name": nil, "name": x, "inbound_nodes": []any{},
		"config": object{"batch_shape": batchShape(k.net.Input), "dtype": dtype, "name": x},
	})
	if !o.Floats {
		x = k.add("Rescaling", k.name("rescaling"), k.net.Input, []string{x}, object{"scale": 1.0 / 255, "offset": 0.0})
	}
	if len(norm.Mean) > 0 {
		variance := make([]float64, len(norm.Std))
		for i, s := range norm.Std {
			variance[i] = float64(s) * float64(s)
		}
		x = k.add("Normalization", k.name("normalization"), k.net.Input, []string{x},
			object{"axis": []int{-1}, "mean": norm.Mean, "variance": variance})
	}
	return x
}

func batchShape(s model.Shape) []any {
	shape := []any{nil}
	for _, n := range s {
		shape = append(shape, n)
	}
	return shape
}

// tensor refers to a layer's output.
func (k *writer) tensor(layer string) object {
	dtype := k.dtypes[layer]
	if dtype == "" {
		dtype = "float32"
	}
	return object{"class_name": "__keras_tensor__", "config": object{
		"shape": batchShape(k.shapes[layer]), "dtype": dtype, "keras_history": []any{layer, 0, 0},
	}}
}

// merges are the classes whose inputs are one list.
var merges = []string{"Add", "Concatenate", "Multiply"}

// add appends one of Keras' layers and returns its name.
func (k *writer) add(class, name string, out model.Shape, inputs []string, config object) string {
	var tensors []any
	for _, in := range inputs {
		tensors = append(tensors, k.tensor(in))
	}
	args := tensors
	if slices.Contains(merges, class) {
		args = []any{tensors}
	}
	config["name"], config["dtype"] = name, "float32"
	k.shapes[name] = out
	k.layers = append(k.layers, object{
		"module": "keras.layers", "class_name": class, "registered_name": nil, "name": name, "config": config,
		"inbound_nodes": []any{object{"args": args, "kwargs": object{}}},
	})
	return name
}
