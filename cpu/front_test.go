package cpu_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"gcnn/data"
	"gcnn/device"
	"gcnn/model"
)

// TestShardsMatchWholeLayers trains networks whose layers are cut into shards of the whole batch, against the unfused plan, which
// cuts none, and against other numbers of workers.
func TestShardsMatchWholeLayers(t *testing.T) {
	t.Parallel()
	conv := func(f model.ActivationFunc, padding model.Padding, stride int) model.Layer {
		return model.Conv2D{Filters: 6, KernelSize: model.Size{H: 3, W: 2}, Activation: f, Padding: padding, Strides: model.Square(stride)}
	}
	tail := func(units int, f model.ActivationFunc) []model.Layer {
		return []model.Layer{model.Flatten{}, model.Dense{Units: units, Activation: f}, model.Dense{Units: 3, Activation: model.Softmax}}
	}
	with := func(tail []model.Layer, layers ...model.Layer) []model.Layer { return append(layers, tail...) }
	for _, c := range []struct {
		name   string
		input  model.Shape
		layers []model.Layer
		plan   device.Plan
		floats bool
	}{
		{name: "front, relu max", input: model.Shape{27, 22, 3}, layers: with(tail(30, model.ReLU), conv(model.ReLU, model.Valid, 1), model.MaxPool2D{})},
		{name: "front, tanh average", input: model.Shape{26, 22, 1}, layers: with(tail(30, model.Tanh), conv(model.Tanh, model.Valid, 1), model.AveragePool2D{})},
		{name: "front, gelu dense, same padding", input: model.Shape{38, 18, 3}, layers: with(tail(20, model.GELU), conv(model.Sigmoid, model.Same, 1), model.MaxPool2D{})},
		{name: "front, stride, floats", input: model.Shape{50, 41, 1}, layers: with(tail(30, model.Linear), conv(model.ReLU, model.Same, 2), model.MaxPool2D{}), floats: true},
		{name: "front, softmax", input: model.Shape{32, 40, 2}, layers: []model.Layer{
			conv(model.ReLU, model.Valid, 1), model.MaxPool2D{}, model.Flatten{}, model.Dense{Units: 10, Activation: model.Softmax},
		}},
		{name: "front, clipped", input: model.Shape{26, 22, 2}, layers: with(tail(30, model.ReLU), conv(model.ReLU, model.Valid, 1), model.MaxPool2D{}),
			plan: device.Plan{Training: &device.Training{Optimizer: device.SGD{}, ClipNorm: 0.1}}},
		{name: "front, many filters", input: model.Shape{18, 18, 2}, layers: with(tail(20, model.ReLU),
			model.Conv2D{Filters: 20, KernelSize: model.Square(3), Activation: model.ReLU}, model.MaxPool2D{})},
		{name: "wide", input: model.Shape{9, 8, 8}, layers: with(tail(240, model.Sigmoid), conv(model.ReLU, model.Same, 1), model.Dropout{Rate: 0.25},
			model.Conv2D{Filters: 8, KernelSize: model.Square(1), Activation: model.ReLU})},
		{name: "wide on the input", input: model.Shape{20, 20, 1}, layers: tail(330, model.SiLU)},
		{name: "two wide", input: model.Shape{8, 8, 6}, layers: append([]model.Layer{model.Flatten{}, model.Dense{Units: 350, Activation: model.ReLU}}, tail(380, model.ReLU)[1:]...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			net, err := model.New(c.name, c.input, c.layers...)
			if err != nil {
				t.Fatal(err)
			}
			plan := c.plan
			plan.Batch = 40
			if plan.Training == nil {
				plan.Training = &device.Training{Optimizer: device.SGD{Momentum: 0.9}}
			}
			set := images(t, net, plan.Batch*2+21)
			if c.floats {
				set = floating(set)
			}
			outline, err := open(2)(t).Outline(net, plan)
			if err != nil {
				t.Fatal(err)
			}
			first := outline.Tasks[0].Name
			summed := slices.ContainsFunc(outline.Tasks, func(k device.Task) bool { return strings.HasSuffix(k.Name, " sum") })
			if front := strings.HasPrefix(first, "gather+conv2d"); front != strings.HasPrefix(c.name, "front") || !summed {
				t.Fatalf("the plan begins with %q; sums of shards: %v", first, summed)
			}
			const rate = 0.01
			m, sharded := learnt(t, 1, net, plan, set, rate)
			for workers := 2; workers <= 4; workers++ {
				again, s := learnt(t, workers, net, plan, set, rate)
				if again != m {
					t.Errorf("metrics %+v with 1 worker, %+v with %d", m, again, workers)
				}
				sameBits(t, fmt.Sprintf("1 and %d workers", workers), sharded, s)
			}
			plan.Trace = true // nothing is fused or cut
			_, whole := learnt(t, 2, net, plan, set, rate)
			moved(t, net.InitialWeights(7), sharded)
			// Three steps differ by the rounding of sums of up to some thousand terms.
			for _, name := range slices.Sorted(maps.Keys(whole.Weights)) {
				a, b := sharded.Weights[name].Float32s(), whole.Weights[name].Float32s()
				for i := range a {
					if d := math.Abs(float64(a[i] - b[i])); d > 1e-6 {
						t.Fatalf("%s[%d] is %v in shards and %v whole", name, i, a[i], b[i])
					}
				}
			}
		})
	}
}

// floating is a set of floats.
func floating(set *data.Set) *data.Set {
	s := *set
	s.Floats = make([]float32, len(set.Pixels))
	for i, v := range set.Pixels {
		s.Floats[i] = float32(v) / 255
	}
	s.Pixels = nil
	return &s
}

// moved fails the test where training left a weight tensor as it was.
func moved[T interface{ Float32s() []float32 }](t *testing.T, before map[string]T, after device.State) {
	t.Helper()
	for name, b := range before {
		if slices.Equal(b.Float32s(), after.Weights[name].Float32s()) {
			t.Errorf("%s did not move", name)
		}
	}
}
