package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// Schema is a JSON Schema (draft 2020-12) of model files, for editors.
func Schema() ([]byte, error) {
	layer := []any{map[string]any{"description": "a layer without options", "enum": bareKinds()}}
	for _, k := range kinds {
		options, err := k.schema()
		if err != nil {
			return nil, err
		}
		name := k.prototype.Kind()
		layer = append(layer, map[string]any{
			"type": "object", "properties": map[string]any{name: options}, "required": []string{name}, "additionalProperties": false,
		})
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       "gcnn model",
		"description": "A convolutional neural network: gcnn train --model FILE",
		"type":        "object",
		"properties": map[string]any{
			"name":   map[string]any{"type": "string", "description": "the network's name; default: the file's"},
			"input":  map[string]any{"type": "array", "items": positive, "minItems": 3, "maxItems": 3, "description": "height, width and channels of an image"},
			"layers": map[string]any{"type": "array", "items": map[string]any{"oneOf": layer}, "minItems": 1, "description": "in order; a layer reads the one before unless it names its inputs"},
		},
		"required":             []string{"input", "layers"},
		"additionalProperties": false,
	})
	return b.Bytes(), err
}

var positive = map[string]any{"type": "integer", "minimum": 1}

// bareKinds are those without a required option.
func bareKinds() []string {
	var names []string
	for _, k := range kinds {
		bare := true
		for _, f := range k.fields() {
			bare = bare && !f.Required
		}
		if bare {
			names = append(names, k.prototype.Kind())
		}
	}
	return names
}

// descriptions of options, by their names in files.
var descriptions = map[string]string{
	"name":                  "the layer's name, by which others read it; default: its kind, then kind_1, kind_2, …",
	"inputs":                "names of the layers that it reads, \"input\" for the network's own; default: the layer before",
	"filters":               "output channels",
	"kernel_size":           "height and width of the kernel",
	"strides":               "step of the window; default 1, of a pooling its pool_size",
	"padding":               "valid: windows stay inside; same: padded so that the output is ⌈n/stride⌉",
	"dilation_rate":         "distance between the kernel's elements, default 1",
	"groups":                "parts into which channels and filters are divided, default 1",
	"activation":            "activation function, default linear",
	"use_bias":              "add a bias, default true",
	"kernel_initializer":    "how the kernel starts, default glorot_uniform",
	"depthwise_initializer": "how the depthwise kernel starts, default glorot_uniform",
	"pointwise_initializer": "how the 1×1 kernel starts, default glorot_uniform",
	"trainable":             "false keeps the parameters as they are, default true",
	"depth_multiplier":      "filters for each channel, default 1",
	"pool_size":             "height and width of the window, default 2",
	"units":                 "outputs",
	"alpha":                 "leaky_relu's slope (default 0.2), elu's α (default 1) or the normalisation's α (default 1e-4)",
	"momentum":              "of the moving statistics, default 0.99",
	"epsilon":               "added to the variance, default 1e-3",
	"scale":                 "multiply by γ, default true",
	"center":                "add β, default true",
	"rate":                  "share of elements that fall",
	"size":                  "channels that are summed, odd, default 5",
	"beta":                  "exponent, default 0.75",
	"bias":                  "the constant k, default 2",
}

func (k kind) schema() (map[string]any, error) {
	properties, required := map[string]any{}, []string{}
	t := reflect.TypeOf(k.prototype)
	for _, f := range k.fields() {
		s, err := typeSchema(t.FieldByIndex(f.Index).Type)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", f.Name, k.prototype.Kind(), err)
		}
		text, ok := descriptions[f.Name]
		if !ok {
			return nil, fmt.Errorf("%s of %s has no description", f.Name, k.prototype.Kind())
		}
		if f.Name == "padding" && t == reflect.TypeFor[ZeroPadding2D]() {
			text = "rows and columns of zeros: everywhere, [vertical, horizontal] or [top, bottom, left, right]"
		}
		s["description"] = text
		properties[f.Name] = s
		if f.Required {
			required = append(required, f.Name)
		}
	}
	s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s, nil
}

// typeSchema is the schema of an option's Go type.
func typeSchema(t reflect.Type) (map[string]any, error) {
	list := func(item map[string]any, from, to int) map[string]any {
		return map[string]any{"type": "array", "items": item, "minItems": from, "maxItems": to}
	}
	switch t {
	case reflect.TypeFor[Size]():
		return map[string]any{"oneOf": []any{positive, list(positive, 2, 2)}}, nil
	case reflect.TypeFor[Margins]():
		margin := map[string]any{"type": "integer", "minimum": 0}
		return map[string]any{"oneOf": []any{margin, list(margin, 2, 2), list(margin, 4, 4)}}, nil
	case reflect.TypeFor[Padding]():
		return map[string]any{"enum": []string{Valid.String(), Same.String()}}, nil
	case reflect.TypeFor[ActivationFunc]():
		return map[string]any{"enum": activationNames[:]}, nil
	case reflect.TypeFor[Initializer]():
		return map[string]any{"enum": initializerNames[:]}, nil
	}
	// Go has more kinds of types than settings use.
	//exhaustive:ignore
	switch t.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}, nil
	case reflect.Bool:
		return map[string]any{"type": "boolean"}, nil
	case reflect.Int:
		return map[string]any{"type": "integer", "minimum": 1}, nil
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}, nil
	case reflect.Slice:
		item, err := typeSchema(t.Elem())
		return map[string]any{"type": "array", "items": item}, err
	}
	return nil, fmt.Errorf("no schema for the Go type %v", t)
}
