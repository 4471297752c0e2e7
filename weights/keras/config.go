package keras

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gcnn/model"
)

// document is the text of model.to_json().
type document struct {
	Class   string `json:"class_name"`
	Version string `json:"keras_version"` // written before Keras 3
	Config  struct {
		Name    string       `json:"name"`
		Layers  []*layerText `json:"layers"`
		Outputs any          `json:"output_layers"`
	} `json:"config"`
}

// layerText is a layer in it.
type layerText struct {
	Module  string          `json:"module"`
	Class   string          `json:"class_name"`
	Name    string          `json:"name"` // only in Functional models
	Config  json.RawMessage `json:"config"`
	Inbound []struct {
		Args   []any          `json:"args"`
		Kwargs map[string]any `json:"kwargs"`
	} `json:"inbound_nodes"`

	inputs []string // layers
	args   []any    // what is no tensor
}

// layerConfig is what gcnn reads of a layer's config, of all kinds of layers.
type layerConfig struct {
	Name         string `json:"name"`
	BatchShape   []*int `json:"batch_shape"`
	DataFormat   string `json:"data_format"`
	Dtype        any    `json:"dtype"`
	Trainable    *bool  `json:"trainable"`
	Activation   any    `json:"activation"`
	UseBias      *bool  `json:"use_bias"`
	Filters      int    `json:"filters"`
	Units        int    `json:"units"`
	Groups       int    `json:"groups"`
	Multiplier   int    `json:"depth_multiplier"`
	KernelSize   []int  `json:"kernel_size"`
	PoolSize     []int  `json:"pool_size"`
	Strides      []int  `json:"strides"`
	DilationRate []int  `json:"dilation_rate"`
	Padding      any    `json:"padding"`
	KeepDims     bool   `json:"keepdims"`
	Axis         any    `json:"axis"`

	Momentum *float32 `json:"momentum"`
	Epsilon  *float32 `json:"epsilon"`
	Scale    any      `json:"scale"` // of BatchNormalization a truth value, of Rescaling a number
	Center   *bool    `json:"center"`

	Rate     float32  `json:"rate"`
	Alpha    *float32 `json:"alpha"`
	Slope    *float32 `json:"negative_slope"`
	MaxValue *float64 `json:"max_value"`
	Limit    float64  `json:"threshold"`

	Offset   any  `json:"offset"`
	Mean     any  `json:"mean"`
	Variance any  `json:"variance"`
	Invert   bool `json:"invert"`

	KernelInitializer    initializerText `json:"kernel_initializer"`
	DepthwiseInitializer initializerText `json:"depthwise_initializer"`
	PointwiseInitializer initializerText `json:"pointwise_initializer"`
}

type initializerText struct {
	Class string `json:"class_name"`
}

// of is gcnn's initialiser of Keras'; one that gcnn lacks only matters to training anew, and becomes the default.
func (t initializerText) of() model.Initializer {
	return map[string]model.Initializer{
		"HeUniform": model.HeUniform, "Zeros": model.Zeros, "Ones": model.Ones,
	}[t.Class]
}

// defaults of options that a config may leave out.
func truth(v *bool) bool { return v == nil || *v }

// size reads [height, width]; nil is the layer's default.
func sizeOf(what string, v []int) (model.Size, error) {
	switch {
	case v == nil:
		return model.Size{}, nil
	case len(v) == 2 && v[0] > 0 && v[1] > 0:
		return model.Size{H: v[0], W: v[1]}, nil
	}
	return model.Size{}, fmt.Errorf("%s is %v, want two numbers", what, v)
}

// paddingOf reads "valid" or "same".
func paddingOf(v any) (p model.Padding, err error) {
	if v == nil {
		return model.Valid, nil
	}
	s, ok := v.(string)
	if !ok {
		return p, fmt.Errorf("padding is %v, want valid or same", v)
	}
	return p, p.UnmarshalText([]byte(s))
}

// marginsOf reads [[top, bottom], [left, right]].
func marginsOf(v any) (m model.Margins, err error) {
	rows, ok := v.([]any)
	if !ok || len(rows) != 2 {
		return m, fmt.Errorf("padding is %v, want [[top, bottom], [left, right]]", v)
	}
	for i, to := range [][2]*int{{&m.Top, &m.Bottom}, {&m.Left, &m.Right}} {
		pair, err := numbersOf("padding", rows[i])
		if err != nil || len(pair) != 2 {
			return m, fmt.Errorf("padding is %v, want [[top, bottom], [left, right]]", v)
		}
		for k, n := range pair {
			const most = 1 << 16
			if n != float64(int(n)) || n < 0 || n > most {
				return m, fmt.Errorf("padding of %g", n)
			}
			*to[k] = int(n)
		}
	}
	return m, nil
}

// numbersOf reads a number, or a list of numbers within any number of brackets.
func numbersOf(what string, v any) ([]float64, error) {
	switch v := v.(type) {
	case float64:
		return []float64{v}, nil
	case []any:
		var all []float64
		for _, e := range v {
			list, err := numbersOf(what, e)
			if err != nil {
				return nil, err
			}
			all = append(all, list...)
		}
		return all, nil
	}
	return nil, fmt.Errorf("%s is %v, want numbers", what, v)
}

// activationOf reads an activation: its name, or a function's object.
func activationOf(v any) (a model.ActivationFunc, err error) {
	if o, ok := v.(map[string]any); ok && o["class_name"] == "function" {
		v = o["config"]
	}
	name, ok := v.(string)
	switch {
	case v == nil:
		return model.Linear, nil
	case !ok:
		return a, fmt.Errorf("activation is %v, which gcnn does not know", v)
	case name == "swish":
		return model.SiLU, nil
	case name == "hard_swish":
		return model.HardSiLU, nil
	}
	return a, a.UnmarshalText([]byte(name))
}

// checkCommon reports options that no layer of gcnn has, in a model of a version of Keras before 3 or, where that is empty, of Keras 3.
func (c *layerConfig) checkCommon(version string) error {
	if f, err := activationOf(c.Activation); version != "" && err == nil && f == model.HardSigmoid {
		return fmt.Errorf("the hard_sigmoid of Keras %s is another: 0.2·x + 0.5 within 0 and 1", version)
	}
	if c.DataFormat != "" && c.DataFormat != "channels_last" {
		return fmt.Errorf("data_format is %s, want channels_last", c.DataFormat)
	}
	dtype := c.Dtype
	if o, ok := dtype.(map[string]any); ok {
		config, _ := o["config"].(map[string]any)
		dtype = config["name"]
	}
	if dtype != nil && dtype != "float32" {
		return fmt.Errorf("dtype is %v, want float32", dtype)
	}
	return nil
}

// lastAxis reports an axis that is not the channels of a tensor of so many axes, the batch included.
func (c *layerConfig) lastAxis(rank int) error {
	if c.Axis == nil {
		return nil
	}
	list, err := numbersOf("axis", c.Axis)
	if err != nil {
		return err
	}
	if len(list) != 1 || (list[0] != -1 && list[0] != float64(rank-1)) {
		return fmt.Errorf("axis is %v, want the channels, -1", c.Axis)
	}
	return nil
}

// inputsOf finds the layers whose outputs a layer of a Functional model reads, and its other arguments.
func (l *layerText) inputsOf() error {
	if len(l.Inbound) == 0 {
		return nil
	}
	if len(l.Inbound) > 1 {
		return errors.New("it is used more than once, which gcnn's layers are not")
	}
	var walk func(v any) error
	walk = func(v any) error {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				if err := walk(e); err != nil {
					return err
				}
			}
		case map[string]any:
			config, _ := v["config"].(map[string]any)
			history, _ := config["keras_history"].([]any)
			if v["class_name"] != "__keras_tensor__" || len(history) != 3 || history[1] != 0.0 || history[2] != 0.0 {
				return fmt.Errorf("its input %v is no layer's only output", v["class_name"])
			}
			name, ok := history[0].(string)
			if !ok {
				return fmt.Errorf("its input %v has no name", history[0])
			}
			l.inputs = append(l.inputs, name)
		default:
			l.args = append(l.args, v)
		}
		return nil
	}
	for key, v := range l.Inbound[0].Kwargs {
		if !slices.Contains([]string{"training", "mask"}, key) || v != nil && v != false {
			return fmt.Errorf("it is called with %s", key)
		}
	}
	return walk(l.Inbound[0].Args)
}
