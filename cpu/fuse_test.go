package cpu

import (
	"slices"
	"testing"

	"gcnn/device"
	"gcnn/model"
)

// TestFuse: what a layer takes into its own tasks, and what it leaves.
func TestFuse(t *testing.T) {
	t.Parallel()
	conv := model.Conv2D{Name: "conv", Filters: 4, KernelSize: model.Square(3), Padding: model.Same}
	bn := model.BatchNormalization{Name: "bn"}
	act := func(f model.ActivationFunc) model.Activation { return model.Activation{Name: "act", Func: f} }
	pool := model.MaxPool2D{Name: "pool"}
	tail := []model.Layer{model.Flatten{Name: "flat"}, model.Dense{Name: "dense", Units: 3, Activation: model.Softmax}}
	for name, c := range map[string]struct {
		layers []model.Layer
		want   [][]int // before the tail
	}{
		"activation and pool": {[]model.Layer{conv, act(model.Tanh), pool}, [][]int{{0, 1, 2}}},
		"norm and relu":       {[]model.Layer{conv, bn, act(model.ReLU), pool}, [][]int{{0}, {1, 2}, {3}}},
		"norm and tanh":       {[]model.Layer{conv, bn, act(model.Tanh)}, [][]int{{0}, {1}, {2}}},
		"norm and pool":       {[]model.Layer{conv, bn, pool, act(model.ReLU)}, [][]int{{0}, {1}, {2}, {3}}},
		"sum between": {[]model.Layer{conv, bn, model.Add{Name: "sum", Inputs: []string{"conv", "bn"}}, act(model.ReLU)},
			[][]int{{0}, {1}, {2}, {3}}},
		"norm read twice": {[]model.Layer{conv, bn, act(model.ReLU), model.Add{Name: "sum", Inputs: []string{"bn", "act"}}},
			[][]int{{0}, {1}, {2}, {3}}},
	} {
		net, err := model.New(name, model.Shape{8, 8, 1}, append(slices.Clone(c.layers), tail...)...)
		if err != nil {
			t.Fatal(err)
		}
		for _, unfused := range []bool{false, true} {
			var got, want [][]int
			for _, b := range fuse(net, purpose{unfused: unfused}) {
				got = append(got, b.nodes)
			}
			for i := range net.Nodes {
				want = append(want, []int{i})
			}
			if !unfused {
				want = append(slices.Clone(c.want), want[len(c.layers):]...)
			}
			if !slices.EqualFunc(got, want, slices.Equal) {
				t.Errorf("%s, unfused %v: blocks %v, want %v", name, unfused, got, want)
			}
		}
	}
}

// TestNormReLUPlan: a plan of batch normalisation and its ReLU has neither the ReLU's tasks nor its buffers.
func TestNormReLUPlan(t *testing.T) {
	t.Parallel()
	net, err := model.New("norm", model.Shape{8, 8, 1}, model.Conv2D{Name: "conv", Filters: 4, KernelSize: model.Square(3)},
		model.BatchNormalization{Name: "bn"}, model.Activation{Name: "act", Func: model.ReLU}, model.Flatten{},
		model.Dense{Units: 3, Activation: model.Softmax})
	if err != nil {
		t.Fatal(err)
	}
	dev, err := Open(Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	o, err := dev.Outline(net, device.Plan{Batch: 16, Training: &device.Training{Optimizer: device.SGD{}}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, task := range o.Tasks {
		if slices.Contains(task.Layers, "act") {
			got = append(got, task.Name)
		}
	}
	want := []string{"bn+act+relu forward", "bn+act+relu gradient sums", "bn+act+relu input gradient"}
	if !slices.Equal(got, want) {
		t.Errorf("tasks of the ReLU: %q, want %q", got, want)
	}
}

// TestTitle: a name that says the activation is not told it again.
func TestTitle(t *testing.T) {
	t.Parallel()
	net, err := model.New("titles", model.Shape{8, 8, 1}, model.Conv2D{Name: "conv", Filters: 4, KernelSize: model.Square(3)},
		model.Activation{Name: "prep_relu", Func: model.ReLU}, model.Activation{Name: "act", Func: model.Tanh}, model.Flatten{},
		model.Dense{Units: 3, Activation: model.Softmax})
	if err != nil {
		t.Fatal(err)
	}
	c := &compiler{net: net}
	for want, nodes := range map[string][]int{"conv+prep_relu forward": {0, 1}, "act+tanh forward": {2}, "dense+softmax forward": {4}} {
		if got := c.title(nodes, "forward"); got != want {
			t.Errorf("title of %v is %q, want %q", nodes, got, want)
		}
	}
}
