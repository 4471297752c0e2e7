package model

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"gcnn/internal/strictyaml"
)

// kind is a layer as a model file names it.
type kind struct {
	prototype Layer    // with what the kind itself implies
	required  []string // fields that its Go struct may leave out and a file may not
	edits     []string // fields of its Go struct that belong to another kind, or that it calls otherwise: see strictyaml.Node.Decode
}

var kinds = []kind{
	{Conv2D{}, []string{"filters"}, []string{"depth_multiplier"}},
	{Conv2D{DepthMultiplier: 1}, nil, []string{"filters", "groups", "kernel_initializer=depthwise_initializer"}},
	{SeparableConv2D{}, nil, nil},
	{MaxPool2D{}, nil, nil},
	{AveragePool2D{}, nil, nil},
	{GlobalMaxPool2D{}, nil, nil},
	{GlobalAveragePool2D{}, nil, nil},
	{Flatten{}, nil, nil},
	{Dense{}, nil, nil},
	{Activation{}, nil, nil},
	{BatchNormalization{}, nil, nil},
	{Dropout{}, nil, nil},
	{LocalResponseNormalization{}, nil, nil},
	{ZeroPadding2D{}, nil, nil},
	{Add{}, nil, nil},
	{Concatenate{}, nil, nil},
}

func findKind(name string) (kind, bool) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.prototype.Kind() == name })
	if i < 0 {
		return kind{}, false
	}
	return kinds[i], true
}

// fields lists the options of a kind.
func (k kind) fields() []strictyaml.Tag {
	tags := strictyaml.Tags(reflect.TypeOf(k.prototype), k.edits...)
	for i := range tags {
		tags[i].Required = tags[i].Required || slices.Contains(k.required, tags[i].Name)
	}
	return tags
}

// LoadFile reads a network from a YAML file. Without a name of its own it is named after the file.
func LoadFile(path string) (*Network, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > strictyaml.MaxSize {
		return nil, fmt.Errorf("%s: a model file is a regular file of at most %d bytes", path, strictyaml.MaxSize)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Load(path, text)
}

// Load reads a network from YAML: its name, the shape of its input and its layers in order. A layer is a mapping of its kind to
// its options, or the kind alone where no option is given:
//
//	name: small
//	input: [28, 28, 1]
//	layers:
//	  - conv2d: {filters: 8, kernel_size: 3, activation: relu}
//	  - max_pooling2d
//	  - flatten
//	  - dense: {units: 10, activation: softmax}
//
// Options have Keras' names and defaults. file is the name in messages, which give file and line; errors wrap ErrInvalid.
func Load(file string, text []byte) (*Network, error) {
	node, err := strictyaml.Parse(file, text)
	if err == nil {
		n := &Network{Name: strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))}
		if err = n.DecodeYAML(node); err == nil {
			return n, nil
		}
	}
	var placed *strictyaml.Error
	if errors.As(err, &placed) && !errors.Is(err, ErrInvalid) {
		err = &strictyaml.Error{File: placed.File, Line: placed.Line, Err: invalid("%w", placed.Err)}
	}
	return nil, err
}

// DecodeYAML reads a network that stands within another YAML file.
func (n *Network) DecodeYAML(node strictyaml.Node) error {
	file := struct {
		Name   string    `yaml:"name,omitempty"`
		Input  Shape     `yaml:"input"`
		Layers layerList `yaml:"layers"`
	}{Name: n.Name}
	if err := node.Decode(&file); err != nil {
		return err
	}
	made, err := New(file.Name, file.Input, file.Layers.layers...)
	if err != nil {
		return file.Layers.place(node, err)
	}
	*n = *made
	return nil
}

// layerList is the list of layers in a file, with their places.
type layerList struct {
	layers []Layer
	nodes  []strictyaml.Node
}

// DecodeYAML reads the layers.
func (l *layerList) DecodeYAML(node strictyaml.Node) error {
	items, err := node.Items()
	if err != nil {
		return err
	}
	for _, item := range items {
		layer, err := decodeLayer(item)
		if err != nil {
			return err
		}
		l.layers, l.nodes = append(l.layers, layer), append(l.nodes, item)
	}
	return nil
}

// place gives an error of New the line of the layer that it names.
func (l *layerList) place(file strictyaml.Node, err error) error {
	for i, name := range slices.Backward(autoNames(l.layers)) {
		for _, subject := range []string{name, fmt.Sprintf("layer %d", i+1)} {
			if at := fmt.Sprintf("%v: %s", ErrInvalid, subject); strings.HasPrefix(err.Error(), at+":") || strings.HasPrefix(err.Error(), at+"/") {
				return l.nodes[i].Errorf("%w", err)
			}
		}
	}
	return file.Errorf("%w", err)
}

func decodeLayer(node strictyaml.Node) (Layer, error) {
	name, options, err := node.OneOf("a layer")
	if err != nil {
		return nil, err
	}
	k, ok := findKind(name)
	if !ok {
		var all []string
		for _, k := range kinds {
			all = append(all, k.prototype.Kind())
		}
		return nil, node.Errorf("layer kind %q is unknown; there are %s", name, list(all))
	}
	layer := reflect.New(reflect.TypeOf(k.prototype))
	layer.Elem().Set(reflect.ValueOf(k.prototype))
	if err := options.Decode(layer.Interface(), k.edits...); err != nil {
		return nil, err
	}
	fields, err := options.Fields()
	if err != nil {
		return nil, err
	}
	for _, required := range k.required {
		if !slices.ContainsFunc(fields, func(f strictyaml.Field) bool { return f.Key == required }) {
			return nil, node.Errorf("the field %s is missing", required)
		}
	}
	made, ok := layer.Elem().Interface().(Layer)
	if !ok {
		return nil, node.Errorf("%s is no layer", name) // only a Layer is in kinds
	}
	if made.Kind() != name {
		return nil, node.Errorf("%s: its options make it a %s", name, made.Kind())
	}
	return made, nil
}

// Marshal writes a network as Load reads it. Options that have their default value are left out.
func Marshal(n *Network) ([]byte, error) {
	var b bytes.Buffer
	head, err := yaml.Marshal(yaml.MapSlice{{Key: "name", Value: n.Name}})
	if err != nil {
		return nil, err
	}
	input, err := flow([]int(n.Input))
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(&b, "%sinput: %s\nlayers:\n", head, input)
	for i, node := range n.Nodes {
		if node.Separable != nil { // written as its last node, which has the layer's name, from what its first one reads
			if i+1 < len(n.Nodes) && n.Nodes[i+1].Separable == node.Separable {
				continue
			}
			node.Layer, node.In = *node.Separable, n.Nodes[i-1].In
		}
		options, err := options(node)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", node.Name, err)
		}
		if len(options) == 0 {
			fmt.Fprintf(&b, "  - %s\n", node.Layer.Kind())
			continue
		}
		text, err := flow(options)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", node.Name, err)
		}
		fmt.Fprintf(&b, "  - %s: %s\n", node.Layer.Kind(), text)
	}
	return b.Bytes(), nil
}

func flow(v any) (string, error) {
	text, err := yaml.MarshalWithOptions(v, yaml.Flow(true))
	return strings.TrimSpace(string(text)), err
}

// options lists the fields of a layer that a file must give: the required ones, and those without which the layer would come
// out differently.
func options(node Node) (yaml.MapSlice, error) {
	k, ok := findKind(node.Layer.Kind())
	if !ok {
		return nil, fmt.Errorf("the layer kind %s is missing in kinds", node.Layer.Kind())
	}
	// What the kind implies is as good as given: a depthwise layer's filters and groups follow from its input.
	minimal := reflect.New(reflect.TypeOf(node.Layer)).Elem()
	minimal.Set(reflect.ValueOf(k.prototype))
	fields := k.fields()
	for _, f := range fields {
		minimal.FieldByIndex(f.Index).Set(reflect.ValueOf(node.Layer).FieldByIndex(f.Index))
	}
	given := yaml.MapSlice{}
	for _, f := range fields {
		field := minimal.FieldByIndex(f.Index)
		value := reflect.ValueOf(field.Interface()) // a copy
		if !f.Required {
			field.Set(reflect.ValueOf(k.prototype).FieldByIndex(f.Index))
			if same(minimal.Interface(), node) {
				continue
			}
			field.Set(value)
		}
		given = append(given, yaml.MapItem{Key: f.Name, Value: value.Interface()})
	}
	return given, nil
}

// same reports whether a layer with fewer options resolves to the node's.
func same(layer any, node Node) bool {
	l, ok := layer.(Layer)
	if !ok {
		return false
	}
	r, err := l.resolve(node.In)
	return err == nil && reflect.DeepEqual(r.layer, node.Layer)
}
