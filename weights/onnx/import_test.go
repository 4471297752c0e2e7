package onnx_test

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/device"
	"gcnn/device/reference"
	"gcnn/model"
	"gcnn/weights"
	"gcnn/weights/onnx"
)

// tolerance of outputs of the size of 1, which PyTorch and Keras compute in float32.
const tolerance = 1e-5

// TestImport reads what PyTorch and Keras exported and computes what they computed themselves: see bench/exchange/make_models.py.
func TestImport(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.onnx")
	if err != nil || len(files) < 21 {
		t.Fatalf("%d files in testdata, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".onnx")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := onnx.ReadFile(file, onnx.Options{Softmax: strings.Contains(name, "torch-lesson")})
			if err != nil {
				t.Fatal(err)
			}
			example, err := weights.ReadFile(strings.TrimSuffix(file, ".onnx") + ".npz")
			if err != nil {
				t.Fatal(err)
			}
			images, want := example.Tensors["images"], example.Tensors["output"]
			closeTo(t, predict(t, m, images), want, tolerance)
		})
	}
}

// predict computes a model's outputs in float64.
func predict(t *testing.T, m *onnx.Model, images *tensor.Dense) *tensor.Dense {
	t.Helper()
	s := images.Shape()
	set := &data.Set{Name: "images", Height: s[1], Width: s[2], Channels: s[3]}
	switch v := images.Data().(type) {
	case []uint8:
		set.Pixels = v
	case []float32:
		set.Floats = v
	}
	p, err := reference.Open(reference.Options{}).Compile(m.Network, device.Plan{Batch: s[0], Normalization: m.Normalization})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SetState(device.State{Weights: m.Weights}); err != nil {
		t.Fatal(err)
	}
	y, err := p.Predict(context.Background(), set)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

func closeTo(t *testing.T, got, want *tensor.Dense, tolerance float64) {
	t.Helper()
	g, w := got.Data().([]float32), want.Data().([]float32)
	if len(g) != len(w) {
		t.Fatalf("%d outputs, want %d", len(g), len(w))
	}
	for i := range w {
		if d := math.Abs(float64(g[i]) - float64(w[i])); !(d <= tolerance*max(1, math.Abs(float64(w[i])))) {
			t.Fatalf("output %d is %g, want %g", i, g[i], w[i])
		}
	}
}

// TestHardActivations: the forms in which exporters write relu6, hard_sigmoid and hard_silu, by the activations that they become.
func TestHardActivations(t *testing.T) {
	t.Parallel()
	tensors := nodes(number("0", 0), number("3", 3), number("6", 6), number("sixth", float32(1)/6))
	sum := slices.Clip(nodes(node("Tanh", "x", "a"), node("Add", "a,3", "b"), node("Clip", "b,0,6", "c")))
	for name, c := range map[string]struct {
		nodes []message
		want  []model.ActivationFunc
	}{
		"a clip":                {nodes(node("Clip", "x,0,6", "y")), []model.ActivationFunc{model.ReLU6}},
		"a minimum":             {nodes(node("Relu", "x", "a"), node("Min", "a,6", "y")), []model.ActivationFunc{model.ReLU, model.ReLU6}},
		"relu6 of a sum":        {append(sum, node("Tanh", "c", "y")), []model.ActivationFunc{model.Tanh, model.ReLU6, model.Tanh}},
		"a sixth of it":         {append(sum, node("Mul", "c,sixth", "y")), []model.ActivationFunc{model.Tanh, model.HardSigmoid}},
		"times x, then a sixth": {append(sum, node("Mul", "c,a", "d"), node("Div", "d,6", "y")), []model.ActivationFunc{model.Tanh, model.HardSiLU}},
		"a sixth, then times x": {append(sum, node("Div", "c,6", "d"), node("Mul", "a,d", "y")), []model.ActivationFunc{model.Tanh, model.HardSiLU}},
		"a node":                {nodes(node("HardSwish", "x", "y")), []model.ActivationFunc{model.HardSiLU}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := onnx.Decode(file{tensors: tensors, nodes: c.nodes}.encode(), onnx.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got []model.ActivationFunc
			for _, n := range m.Network.Nodes {
				if a, ok := n.Layer.(model.Activation); ok {
					got = append(got, a.Func)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("activations %v, want %v", got, c.want)
			}
		})
	}
}
