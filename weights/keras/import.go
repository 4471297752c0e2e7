package keras

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"

	"gcnn/model"
	"gcnn/weights"

	"gorgonia.org/tensor"
)

var (
	// ErrFormat is wrapped by errors about a text that is not what model.to_json() writes.
	ErrFormat = errors.New("not a valid Keras model")
	// ErrUnsupported is wrapped by errors about a model that gcnn's layers cannot express. They name the layer.
	ErrUnsupported = errors.New("not supported")
)

// maxText bounds the text of a model: a network of a thousand layers has a megabyte.
const maxText = 1 << 25

// Imported is a network that a Keras model described.
type Imported struct {
	Network       *model.Network
	Weights       map[string]*tensor.Dense
	Normalization model.Normalization
	Notes         []string // what reading had to assume, a sentence each
}

// ImportOptions change how a model is read.
type ImportOptions struct {
	Softmax bool // end a network of logits in softmax
}

// ReadFiles reads a model's configuration, model.to_json() of Keras 3 (Sequential or Functional), and its weights by variable.path,
// NPZ or safetensors. In Python:
//
//	open("net.json", "w").write(net.to_json())
//	numpy.savez("net.npz", **{v.path: v.numpy() for v in net.weights})
func ReadFiles(config, arrays string, o ImportOptions) (*Imported, error) {
	info, err := os.Stat(config)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxText {
		return nil, fmt.Errorf("%s: %w: it is no regular file of at most %d bytes", config, ErrFormat, maxText)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		return nil, err
	}
	f, err := weights.ReadFile(arrays)
	if err != nil {
		return nil, err
	}
	m, err := Import(text, f.Tensors, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config, err)
	}
	return m, nil
}

// Import makes a network of a model's configuration and its weights.
func Import(text []byte, arrays map[string]*tensor.Dense, o ImportOptions) (*Imported, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrFormat, maxText)
	}
	var d document
	dec := json.NewDecoder(strings.NewReader(string(text)))
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: there is more after the model", ErrFormat)
	}
	r := &reader{version: d.Version, weights: map[string]*tensor.Dense{}, outputs: map[string]output{}, found: map[string]*tensor.Dense{}}
	for path, t := range arrays {
		if d.Class == "Sequential" { // Keras puts its name before those of the layers
			path = strings.TrimPrefix(path, d.Config.Name+"/")
		}
		r.weights[path] = t
	}
	layers, err := d.ordered()
	if err != nil {
		return nil, err
	}
	for _, l := range layers {
		if err := r.layer(l); err != nil {
			return nil, fmt.Errorf("layer %q (%s): %w", l.Name, l.Class, err)
		}
	}
	return r.finish(d.Config.Name, o)
}

// ordered returns the layers, each behind those that it reads, with their inputs.
func (d *document) ordered() ([]*layerText, error) {
	var previous string
	for i, l := range d.Config.Layers {
		if l == nil {
			return nil, fmt.Errorf("%w: layer %d is null", ErrFormat, i+1)
		}
		var c struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(l.Config, &c); err != nil {
			return nil, fmt.Errorf("%w: layer %d: config: %w", ErrFormat, i+1, err)
		}
		if l.Name == "" {
			l.Name = c.Name
		}
		switch d.Class {
		case "Sequential":
			if i > 0 {
				l.inputs = []string{previous}
			}
			previous = l.Name
		case "Functional":
			if err := l.inputsOf(); err != nil {
				return nil, fmt.Errorf("layer %q (%s): %w: %w", l.Name, l.Class, ErrUnsupported, err)
			}
		}
	}
	switch d.Class {
	case "Sequential":
		return d.Config.Layers, nil
	case "Functional":
	default:
		return nil, fmt.Errorf("%w: a model of class %q; gcnn reads Sequential and Functional", ErrUnsupported, d.Class)
	}
	name, err := outputName(d.Config.Outputs)
	if err != nil {
		return nil, err
	}
	byName := map[string]*layerText{}
	for _, l := range d.Config.Layers {
		if byName[l.Name] != nil {
			return nil, fmt.Errorf("%w: two layers are called %q", ErrFormat, l.Name)
		}
		byName[l.Name] = l
	}
	// Depth first from the output, without recursion: a layer is listed once its inputs are.
	var list []*layerText
	const listed, waiting = 2, 1
	state := map[string]int{}
	for stack := []string{name}; len(stack) > 0; {
		at := stack[len(stack)-1]
		l := byName[at]
		if l == nil {
			return nil, fmt.Errorf("%w: there is no layer %q", ErrFormat, at)
		}
		if state[at] == listed {
			stack = stack[:len(stack)-1]
			continue
		}
		ready := true
		for _, in := range slices.Backward(l.inputs) {
			switch state[in] {
			case listed:
			case waiting:
				return nil, fmt.Errorf("%w: layer %q reads itself", ErrFormat, in)
			default:
				stack, ready = append(stack, in), false
			}
		}
		if ready {
			list, state[at] = append(list, l), listed
			stack = stack[:len(stack)-1]
		} else {
			state[at] = waiting
		}
	}
	return list, nil
}

// outputName is the layer that gives a Functional model's only output: [name, 0, 0], or a list of one such.
func outputName(v any) (string, error) {
	list, ok := v.([]any)
	if ok && len(list) == 1 {
		list, ok = list[0].([]any)
	}
	if ok && len(list) == 3 {
		if name, ok := list[0].(string); ok {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: output_layers is %v, want one output", ErrUnsupported, v)
}

// output is what a layer of the model gives: a layer's output, or a part of LocalResponseNormalization.
type output struct {
	name string // of gcnn's layer, or model.InputName
	part lrnPart
	of   string // what a part is about, as name is
	conv string // the layer of Keras that has the band of alpha/size
	beta float32
}

type lrnPart uint8

const (
	whole    lrnPart = iota
	squares          // x²
	scaled           // bias + alpha/size·Σx²
	powers           // its power −beta
	inputRaw         // the image before its normalisation
)

// reader makes the network.
type reader struct {
	version string                   // of a Keras before 3, which wrote it, or empty
	weights map[string]*tensor.Dense // those that no layer has taken
	found   map[string]*tensor.Dense // by gcnn's names
	outputs map[string]output        // by Keras' layer
	layers  []model.Layer
	input   model.Shape
	last    output
	notes   []string

	// (v·scale + offset − mean)/std of the input, for each channel.
	scale, offset, mean, std []float64
	normed                   bool
}

// finish makes the network and checks its weights.
func (r *reader) finish(name string, o ImportOptions) (*Imported, error) {
	if r.input == nil {
		return nil, fmt.Errorf("%w: it has no InputLayer: build the model before it is written", ErrUnsupported)
	}
	if r.last.part != whole || len(r.layers) == 0 {
		return nil, fmt.Errorf("%w: its output is no layer's of gcnn", ErrUnsupported)
	}
	if model.OutputActivation(r.layers[len(r.layers)-1]) == model.Linear {
		if o.Softmax {
			r.layers = append(r.layers, model.Activation{Name: "probabilities", Inputs: []string{r.last.name}, Func: model.Softmax})
		} else {
			r.notes = append(r.notes, "the network ends without softmax: its outputs are logits, not probabilities")
		}
	}
	net, err := model.New(name, r.input, tidy(r.layers)...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	m := &Imported{Network: net, Weights: map[string]*tensor.Dense{}, Notes: r.notes}
	want := map[string]tensor.Shape{}
	for _, p := range net.Params() {
		want[p.Name] = p.Shape
	}
	for path, t := range r.weights {
		if !strings.HasSuffix(path, "seed_generator_state") { // of Dropout
			r.found[path] = t
		}
	}
	if err := (&weights.File{Tensors: r.found}).Match(want); err != nil {
		return nil, err
	}
	m.Weights = r.found
	if m.Normalization, err = r.normalization(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return m, nil
}

// normalization is what Rescaling and Normalization make of the input, as (v/255 − mean)/std.
func (r *reader) normalization() (model.Normalization, error) {
	if !r.normed {
		r.notes = append(r.notes, "the model's input is not rescaled: pixels are taken to be divided by 255")
		return model.Normalization{}, nil
	}
	var z model.Normalization
	plain := true
	for c := range r.input[2] {
		unit := 255 * r.scale[c]
		if math.Abs(unit-1) < 1e-6 { // 1/255, in whatever precision
			unit = 1
		}
		z.Mean = append(z.Mean, float32((r.mean[c]-r.offset[c])/unit))
		z.Std = append(z.Std, float32(r.std[c]/unit))
		plain = plain && z.Mean[c] == 0 && z.Std[c] == 1
	}
	if plain {
		return model.Normalization{}, nil
	}
	return z, z.Check(r.input[2])
}

// tidy leaves out names and inputs that a network has without them being said.
func tidy(layers []model.Layer) []model.Layer {
	count := map[string]int{}
	previous := model.InputName
	out := make([]model.Layer, len(layers))
	for i, l := range layers {
		v := reflect.New(reflect.TypeOf(l)).Elem()
		v.Set(reflect.ValueOf(l))
		name, inputs := v.FieldByName("Name"), v.FieldByName("Inputs") // every layer has them
		if inputs.Len() == 1 && inputs.Index(0).String() == previous {
			inputs.SetZero()
		}
		previous = name.String()
		automatic := l.Kind()
		if k := count[l.Kind()]; k > 0 {
			automatic = fmt.Sprintf("%s_%d", l.Kind(), k)
		}
		if previous == automatic {
			name.SetZero()
			count[l.Kind()]++
		}
		out[i] = v.Interface().(model.Layer) //nolint:errcheck,forcetypeassert // it has l's type
	}
	return out
}
