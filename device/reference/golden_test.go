package reference

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"gcnn/device"
	"gcnn/model"
	"gcnn/weights"
)

const goldens = "../devicetest/testdata/goldens"

// goldenTolerance is for Keras' and PyTorch's float64, relative to the largest element of an array. The goldens agree among
// themselves to 2.5e-12: the inputs of one (tanh) were rounded to float32 after they were used.
const goldenTolerance = 3e-12

// goldenCase is an entry of an index of goldens. Its strings are keys of the npz beside it.
type goldenCase struct {
	Name, Layer, Optimizer, Mode string
	Config                       map[string]any
	Input, Upstream, Output      string
	Inputs                       []string
	GradInput                    string            `json:"grad_input"`
	GradInputs                   []string          `json:"grad_inputs"`
	Params                       map[string]string // by Keras' variable name
	GradParams                   map[string]string `json:"grad_params"`
	Updated                      map[string]string
	InputAfter                   string `json:"input_after"`
	OutputAfter                  string `json:"output_after"`
	Labels                       string
	OutputPerSample              string `json:"output_per_sample"`
	W0, Grads, Rates             string
	WeightsF64                   string `json:"weights_f64"`
	arrays                       map[string]*tensor.Dense
}

// beyond lists the goldens of what gcnn does not have: every other case must pass.
var beyond = []string{"relu6", "gelu_tanh", "rmsprop_momentum_centered"}

func TestGoldens(t *testing.T) {
	t.Parallel()
	indexes, err := filepath.Glob(filepath.Join(goldens, "*.json"))
	if err != nil || len(indexes) < 2 {
		t.Fatalf("%d indexes of goldens, %v", len(indexes), err)
	}
	for _, index := range indexes {
		text, err := os.ReadFile(index)
		if err != nil {
			t.Fatal(err)
		}
		var list struct{ Cases []goldenCase }
		if err := json.Unmarshal(text, &list); err != nil || len(list.Cases) == 0 {
			t.Fatalf("%s: %d cases, %v", index, len(list.Cases), err)
		}
		file, err := weights.ReadFile(strings.TrimSuffix(index, ".json") + ".npz")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list.Cases {
			c.arrays = file.Tensors
			if slices.Contains(beyond, c.Name) {
				continue
			}
			t.Run(strings.TrimSuffix(filepath.Base(index), ".json")+"/"+c.Name, func(t *testing.T) {
				t.Parallel()
				switch {
				case c.Optimizer != "":
					c.testOptimizer(t)
				case c.Layer == "CategoricalCrossentropy":
					c.testLoss(t)
				case len(c.Inputs) > 0:
					c.testMerge(t)
				case c.Mode == "steps":
					c.testSteps(t)
				default:
					c.testLayer(t)
				}
			})
		}
	}
}

func (c goldenCase) array(t *testing.T, key string) *tensor.Dense {
	a, ok := c.arrays[key]
	if !ok {
		t.Fatalf("%s: no array %q", c.Name, key)
	}
	return a
}

// tensor is an array as it is.
func (c goldenCase) tensor(t *testing.T, key string) *Tensor {
	a := c.array(t, key)
	out := newTensor(a.Shape()...)
	switch data := a.Data().(type) {
	case []float32:
		for i, v := range data {
			out.Elems[i].V = float64(v)
		}
	case []float64:
		for i, v := range data {
			out.Elems[i].V = v
		}
	case float64: // a scalar
		out.Elems[0].V = data
	default:
		t.Fatalf("%s: elements of %v", key, a.Dtype())
	}
	return out
}

func (c goldenCase) labels(t *testing.T) []uint16 {
	var out []uint16
	switch data := c.array(t, c.Labels).Data().(type) {
	case []int64:
		for _, l := range data {
			out = append(out, uint16(l))
		}
	case []int32:
		for _, l := range data {
			out = append(out, uint16(l))
		}
	case int32:
		out = []uint16{uint16(data)}
	default:
		t.Fatalf("labels of %T", data)
	}
	return out
}

// near compares elements, relative to the largest one of want.
func near(t *testing.T, what string, got, want []Ball, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	scale := 1e-30
	for _, e := range want {
		scale = max(scale, math.Abs(e.V))
	}
	for i := range want {
		if d := math.Abs(got[i].V - want[i].V); !(d <= tolerance*scale) {
			t.Errorf("%s[%d] = %.17g, want %.17g (largest %g)", what, i, got[i].V, want[i].V, scale)
			return
		}
	}
}

func (c goldenCase) number(key string) float32 {
	v, _ := c.Config[key].(float64)
	return float32(v)
}

func (c goldenCase) size(key string) model.Size {
	v, _ := c.Config[key].([]any)
	if len(v) != 2 {
		return model.Size{}
	}
	return model.Size{H: int(v[0].(float64)), W: int(v[1].(float64))}
}

func (c goldenCase) no(key string) bool { return c.Config[key] == false }

func (c goldenCase) padding() model.Padding {
	if c.Config["padding"] == "same" {
		return model.Same
	}
	return model.Valid
}

func (c goldenCase) activation(t *testing.T) model.ActivationFunc {
	var f model.ActivationFunc
	if name, ok := c.Config["activation"].(string); ok {
		if err := f.UnmarshalText([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// layersOf are the layers of a case, and Keras' names of their parameters in order.
func (c goldenCase) layersOf(t *testing.T) []model.Layer {
	switch c.Layer {
	case "Conv2D", "DepthwiseConv2D":
		return []model.Layer{model.Conv2D{
			Filters: int(c.number("filters")), KernelSize: c.size("kernel_size"), Strides: c.size("strides"), Padding: c.padding(),
			DilationRate: c.size("dilation_rate"), Groups: int(c.number("groups")), Activation: c.activation(t),
			NoBias: model.NoBias(c.no("use_bias")), DepthMultiplier: int(c.number("depth_multiplier")),
		}}
	case "SeparableConv2D":
		return []model.Layer{model.SeparableConv2D{
			Filters: int(c.number("filters")), KernelSize: c.size("kernel_size"), Strides: c.size("strides"), Padding: c.padding(),
			DilationRate: c.size("dilation_rate"), DepthMultiplier: int(c.number("depth_multiplier")), Activation: c.activation(t),
			NoBias: model.NoBias(c.no("use_bias")),
		}}
	case "Dense":
		return []model.Layer{model.Flatten{}, model.Dense{
			Units: int(c.number("units")), Activation: c.activation(t), NoBias: model.NoBias(c.no("use_bias")),
		}}
	case "MaxPooling2D":
		return []model.Layer{model.MaxPool2D{PoolSize: c.size("pool_size"), Strides: c.size("strides"), Padding: c.padding()}}
	case "AveragePooling2D":
		return []model.Layer{model.AveragePool2D{PoolSize: c.size("pool_size"), Strides: c.size("strides"), Padding: c.padding()}}
	case "GlobalMaxPooling2D":
		return []model.Layer{model.GlobalMaxPool2D{}}
	case "GlobalAveragePooling2D":
		return []model.Layer{model.GlobalAveragePool2D{}}
	case "Flatten":
		return []model.Layer{model.Flatten{}}
	case "Activation":
		return []model.Layer{model.Activation{Func: c.activation(t)}}
	case "ReLU":
		return []model.Layer{model.Activation{Func: model.ReLU}}
	case "LeakyReLU":
		return []model.Layer{model.Activation{Func: model.LeakyReLU, Alpha: c.number("negative_slope")}}
	case "ELU":
		return []model.Layer{model.Activation{Func: model.ELU, Alpha: c.number("alpha")}}
	case "Softmax":
		return []model.Layer{model.Activation{Func: model.Softmax}}
	case "BatchNormalization":
		return []model.Layer{model.BatchNormalization{
			Momentum: c.number("momentum"), Epsilon: c.number("epsilon"),
			NoScale: model.NoScale(c.no("scale")), NoCenter: model.NoCenter(c.no("center")),
		}}
	case "LocalResponseNormalization":
		return []model.Layer{model.LocalResponseNormalization{
			Size: int(c.number("size")), Alpha: c.number("alpha"), Beta: c.number("beta"), Bias: c.number("bias"),
		}}
	case "ZeroPadding2D":
		var m [4]int
		for i, side := range c.Config["padding"].([]any) {
			for j, v := range side.([]any) {
				m[2*i+j] = int(v.(float64))
			}
		}
		return []model.Layer{model.ZeroPadding2D{Padding: model.Margins{Top: m[0], Bottom: m[1], Left: m[2], Right: m[3]}}}
	case "Dropout":
		return []model.Layer{model.Dropout{Rate: c.number("rate")}}
	}
	t.Fatalf("a golden of an unknown layer %q", c.Layer)
	return nil
}

// newPass is a pass over the case's layers, with its parameters.
func (c goldenCase) newPass(t *testing.T, sample []int) *pass {
	input := model.Shape(sample)
	if len(input) == 1 {
		input = model.Shape{1, 1, input[0]}
	}
	net, err := model.New(c.Name, input, c.layersOf(t)...)
	if err != nil {
		t.Fatal(err)
	}
	ps := &pass{net: net, infer: c.Mode == "inference", weights: map[string]*Tensor{}}
	for _, param := range net.Params() {
		ps.weights[param.Name] = c.tensor(t, c.Params[kerasName(param)])
	}
	return ps
}

// kerasName is Keras' name of a parameter, without that of the layer.
func kerasName(param model.Param) string {
	_, name, _ := strings.Cut(param.Name, "/")
	return name
}

func (c goldenCase) testLayer(t *testing.T) {
	x := c.tensor(t, c.Input)
	ps := c.newPass(t, x.Shape[1:])
	y := ps.forward(&Tensor{Shape: append([]int{x.Shape[0]}, ps.net.Input...), Elems: x.Elems})
	near(t, "output", y.Elems, c.tensor(t, c.Output).Elems, goldenTolerance)
	dy := c.tensor(t, c.Upstream)
	g := ps.backward(&Tensor{Shape: y.Shape, Elems: dy.Elems}, false)
	near(t, "gradient at the input", g.input.Elems, c.tensor(t, c.GradInput).Elems, goldenTolerance)
	checked := 0
	for _, param := range ps.net.Params() {
		if key, ok := c.GradParams[kerasName(param)]; ok {
			near(t, "gradient of "+param.Name, g.params[param.Name].Elems, c.tensor(t, key).Elems, goldenTolerance)
			checked++
		}
		if key, ok := c.Updated[kerasName(param)]; ok {
			near(t, "updated "+param.Name, ps.updated()[param.Name].Elems, c.tensor(t, key).Elems, goldenTolerance)
		}
	}
	if checked != len(c.GradParams) || checked != len(g.params) {
		t.Errorf("%d gradients of parameters, %d in the golden, %d compared", len(g.params), len(c.GradParams), checked)
	}
}

// testSteps follows moving statistics through training steps and then uses them.
func (c goldenCase) testSteps(t *testing.T) {
	x, y := c.tensor(t, c.Input), c.tensor(t, c.Output)
	n, shape := len(x.Elems)/x.Shape[0], x.Shape[1:]
	ps := c.newPass(t, shape[1:])
	for s := range x.Shape[0] {
		step := &pass{net: ps.net, weights: ps.weights}
		got := step.forward(&Tensor{Shape: shape, Elems: x.Elems[s*n : (s+1)*n]})
		near(t, fmt.Sprint("output of step ", s), got.Elems, y.Elems[s*n:(s+1)*n], goldenTolerance)
		for name, moved := range step.updated() {
			ps.weights[name] = moved
			want := c.tensor(t, c.Updated[name[strings.Index(name, "/")+1:]])
			k := len(moved.Elems)
			near(t, fmt.Sprint(name, " after step ", s), moved.Elems, want.Elems[s*k:(s+1)*k], goldenTolerance)
		}
	}
	ps.infer = true
	near(t, "output after", ps.forward(c.tensor(t, c.InputAfter)).Elems, c.tensor(t, c.OutputAfter).Elems, goldenTolerance)
}

func (c goldenCase) testMerge(t *testing.T) {
	var l layer
	switch c.Layer {
	case "Add":
		l = &add{inputs: len(c.Inputs)}
	case "Concatenate":
		l = &concatenate{}
	default:
		t.Fatalf("a golden of an unknown layer %q", c.Layer)
	}
	var x []*Tensor
	for _, key := range c.Inputs {
		x = append(x, c.tensor(t, key))
	}
	near(t, "output", l.forward(x).Elems, c.tensor(t, c.Output).Elems, goldenTolerance)
	dx, _ := l.backward(c.tensor(t, c.Upstream))
	for i, key := range c.GradInputs {
		near(t, fmt.Sprint("gradient at input ", i), dx[i].Elems, c.tensor(t, key).Elems, goldenTolerance)
	}
}

func (c goldenCase) testLoss(t *testing.T) {
	loss := crossEntropy{smoothing: device.Decimal(c.number("label_smoothing"))}
	if list, ok := c.Config["class_weight"].([]any); ok {
		for _, w := range list {
			loss.classWeights = append(loss.classWeights, w.(float64))
		}
	}
	labels := c.labels(t)
	o := loss.of(c.tensor(t, c.Input), labels)
	near(t, "loss", []Ball{o.loss()}, c.tensor(t, c.Output).Elems, goldenTolerance)
	want := c.tensor(t, c.OutputPerSample).Elems
	for i := range want {
		if loss.classWeights != nil { // Keras' are before the class weights
			want[i].V *= loss.classWeights[labels[i]]
		}
	}
	near(t, "losses", o.losses, want, goldenTolerance)
	near(t, "gradient at the logits", o.dz.Elems, c.tensor(t, c.GradInput).Elems, goldenTolerance)
}

func (c goldenCase) testOptimizer(t *testing.T) {
	beta := func(key string, otherwise float32) float32 {
		if v, ok := c.Config[key].(float64); ok {
			return float32(v)
		}
		return otherwise
	}
	var opt device.Optimizer
	switch c.Optimizer {
	case "SGD":
		opt = device.SGD{Momentum: c.number("momentum"), Nesterov: c.Config["nesterov"] == true}
	case "Adam", "AdamW":
		opt = device.Adam{Beta1: beta("beta_1", 0.9), Beta2: beta("beta_2", 0.999), Epsilon: beta("epsilon", 1e-7)}
	case "RMSprop":
		opt = device.RMSprop{Rho: beta("rho", 0.9), Momentum: c.number("momentum"), Epsilon: beta("epsilon", 1e-7)}
	default:
		t.Fatalf("a golden of an unknown optimiser %q", c.Optimizer)
	}
	decay, _ := c.Config["weight_decay"].(float64)
	w := c.tensor(t, c.W0)
	all, want := c.tensor(t, c.Grads), c.tensor(t, c.WeightsF64)
	slots := map[string]*Tensor{}
	for _, name := range opt.Slots() {
		slots[name] = newTensor(w.Shape...)
	}
	n := len(w.Elems)
	for s := range all.Shape[0] {
		rate, _ := c.Config["learning_rate"].(float64)
		if c.Rates != "" {
			rate = c.tensor(t, c.Rates).Elems[s].V
		}
		g := like(w, all.Elems[s*n:(s+1)*n])
		if limit := c.number("global_clipnorm"); limit > 0 {
			g = clip(map[string]*Tensor{"": g}, float64(limit))[""]
		}
		change := update{rate: exact(rate), decay: exact(decay), step: int64(s)}
		w, slots = change.apply(opt, w, g, slots)
		near(t, fmt.Sprint("weights after step ", s+1), w.Elems, want.Elems[s*n:(s+1)*n], goldenTolerance)
	}
}

// TestGoldensCoverEveryLayer keeps a layer without goldens from going unnoticed.
func TestGoldensCoverEveryLayer(t *testing.T) {
	t.Parallel()
	want := []string{
		"Activation", "Add", "AveragePooling2D", "BatchNormalization", "CategoricalCrossentropy", "Concatenate", "Conv2D", "Dense",
		"DepthwiseConv2D", "Dropout", "Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "LocalResponseNormalization",
		"MaxPooling2D", "Softmax", "ZeroPadding2D",
	}
	have := map[string]bool{}
	indexes, err := filepath.Glob(filepath.Join(goldens, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range indexes {
		text, err := os.ReadFile(index)
		if err != nil {
			t.Fatal(err)
		}
		var list struct{ Cases []goldenCase }
		if err := json.Unmarshal(text, &list); err != nil {
			t.Fatal(err)
		}
		for _, c := range list.Cases {
			have[c.Layer] = true
		}
	}
	for _, layer := range want {
		if !have[layer] {
			t.Errorf("no golden of %s; there are %v", layer, slices.Sorted(maps.Keys(have)))
		}
	}
}
