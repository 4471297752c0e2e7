package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"gcnn/internal/strictyaml"
	"gcnn/model"
)

// settingTexts describe the settings in the schema, by their names.
var settingTexts = map[string]string{
	"model":                "a preset, a model file, or the network itself",
	"data":                 "the name of a set, a folder or an .npz file",
	"input":                "height, width and channels that pictures are read as; default: the model's",
	"skip_bad":             "leave out pictures that cannot be read",
	"limit":                "the first so many training images, of class folders of each class its share; 0: all",
	"validation_split":     "validate on this last share of the training images, of class folders on that of each class, instead of the test set",
	"normalization":        "unit: pixels in [0, 1]; standard: mean 0 and deviation 1 of each channel",
	"weights":              "a safetensors or NPZ file to start from",
	"device":               "cpu, cuda, cuda:N, auto or reference",
	"set_memory":           "the most MiB of the device's memory that sets take; larger ones are streamed; 0: what is free",
	"precision":            "of products on a GPU: float32 or tf32",
	"workers":              "CPU threads; 0: one for each core",
	"checkpoint_minutes":   "also checkpoint within an epoch, every so many minutes",
	"epochs":               "how often to go through the training images",
	"batch_size":           "images of a step",
	"optimizer":            "adam, adamw, sgd or rmsprop",
	"learning_rate":        "the base rate, that of the schedule's peak",
	"momentum":             "of sgd and rmsprop",
	"nesterov":             "Nesterov's momentum, of sgd",
	"beta_1":               "decay of the first moment, of adam and adamw",
	"beta_2":               "decay of the second moment, of adam and adamw",
	"rho":                  "decay of the squares, of rmsprop",
	"epsilon":              "of adam, adamw and rmsprop",
	"schedule":             "how the learning rate changes: a name, or a mapping of it to its options",
	"warmup":               "epochs in which the learning rate rises to the schedule's first",
	"warmup_start":         "the share of it to begin with",
	"weight_decay":         "decoupled weight decay",
	"clip_norm":            "scale gradients to at most this norm, all together; 0: none",
	"label_smoothing":      "share of each label that goes to all classes",
	"class_weights":        "weight of a class' loss, by its name or index; others weigh 1",
	"augment":              "how training images are changed",
	"ema":                  "an exponential moving average of the weights",
	"early_stopping":       "end when a quantity no longer improves",
	"reduce_lr_on_plateau": "reduce the learning rate when a quantity no longer improves",
	"exact":                "no algorithm that transforms a convolution, and on a GPU too the first of equal maxima takes a max pool's gradient; slower",
	"shuffle":              "a new order of the images each epoch",
	"seed":                 "of initial weights, order, dropout and augmentation",
}

// choices are the values of settings that are names.
var choices = map[string][]string{
	"normalization": {Unit, Standard}, "optimizer": {"adam", "adamw", "sgd", "rmsprop"}, "flip": flips, "precision": {Float32, TF32}, "monitor": monitors,
}

// Schema is a JSON Schema (draft 2020-12) of settings files, for editors.
func Schema() ([]byte, error) {
	modelText, err := model.Schema()
	if err != nil {
		return nil, err
	}
	var network map[string]any
	if err := json.Unmarshal(modelText, &network); err != nil {
		return nil, err
	}
	delete(network, "$schema")
	properties := map[string]any{}
	for _, tag := range strictyaml.Tags(reflect.TypeFor[Settings]()) {
		text, ok := settingTexts[tag.Name]
		if !ok {
			return nil, fmt.Errorf("the setting %s has no description", tag.Name)
		}
		var s map[string]any
		switch tag.Name {
		case "model":
			s = map[string]any{"oneOf": []any{map[string]any{"type": "string"}, network}}
		case "schedule":
			s, err = scheduleSchema()
		default:
			s, err = schemaOf(tag.Name, reflect.TypeFor[Settings]().FieldByIndex(tag.Index).Type)
		}
		if err != nil {
			return nil, err
		}
		s["description"] = text
		properties[tag.Name] = s
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err = enc.Encode(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "gcnn settings", "description": "gcnn train --config FILE",
		"type": "object", "properties": properties, "additionalProperties": false,
	})
	return b.Bytes(), err
}

func scheduleSchema() (map[string]any, error) {
	var names []string
	var list []any
	for _, k := range scheduleKinds {
		options, err := schemaOf(k.Kind(), reflect.TypeOf(k))
		if err != nil {
			return nil, err
		}
		if options["required"] == nil {
			names = append(names, k.Kind())
		}
		list = append(list, map[string]any{
			"type": "object", "properties": map[string]any{k.Kind(): options}, "required": []string{k.Kind()}, "additionalProperties": false,
		})
	}
	return map[string]any{"oneOf": append([]any{map[string]any{"enum": names}}, list...)}, nil
}

// schemaOf is the schema of a field of a Go type.
func schemaOf(name string, t reflect.Type) (map[string]any, error) {
	if values, ok := choices[name]; ok {
		return map[string]any{"enum": values}, nil
	}
	// Go has more kinds of types than settings use.
	//exhaustive:ignore
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(name, t.Elem())
	case reflect.String:
		return map[string]any{"type": "string"}, nil
	case reflect.Bool:
		return map[string]any{"type": "boolean"}, nil
	case reflect.Int, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}, nil
	case reflect.Float64:
		return map[string]any{"type": "number", "minimum": 0}, nil
	case reflect.Slice:
		item, err := schemaOf("", t.Elem())
		return map[string]any{"type": "array", "items": item}, err
	case reflect.Map:
		value, err := schemaOf("", t.Elem())
		return map[string]any{"type": "object", "additionalProperties": value}, err
	case reflect.Struct:
		properties, required := map[string]any{}, []string{}
		for _, tag := range strictyaml.Tags(t) {
			s, err := schemaOf(tag.Name, t.FieldByIndex(tag.Index).Type)
			if err != nil {
				return nil, err
			}
			properties[tag.Name] = s
			if tag.Required {
				required = append(required, tag.Name)
			}
		}
		s := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
		if len(required) > 0 {
			s["required"] = required
		}
		return s, nil
	}
	return nil, fmt.Errorf("%s: no schema for the Go type %v", name, t)
}
