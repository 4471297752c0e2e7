package model

import (
	"errors"
	"strings"
	"testing"
)

func TestPresetShapes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		preset string
		params int
		macs   int64 // of one sample, forward: half of 173.6 K and 682.5 K FLOP
		names  string
	}{
		{"cnn", 38_254, 86_808, "conv2d max_pooling2d flatten dense dense_1"},
		{"lenet5", 61_610, 341_256, "conv2d average_pooling2d conv2d_1 average_pooling2d_1 conv2d_2 flatten dense dense_1"},
		{"vgg-small", 2_360_138, 0, ""},
		{"resnet9", 6_577_610, 0, ""},
		{"fast", 99_408 + 2*(18+32+64+128), 0, ""}, // and the moving statistics
		{"alexnet", 56_909_194, 0, ""},             // 60,965,224 with 1,000 classes
	} {
		n, err := Preset(c.preset, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		params, macs := 0, int64(0)
		var names []string
		for _, p := range n.Params() {
			params += p.Size()
		}
		for _, node := range n.Nodes {
			macs += node.MACs
			names = append(names, node.Name)
		}
		if c.names == "" {
			macs, names = 0, nil
		}
		if params != c.params || macs != c.macs || strings.Join(names, " ") != c.names {
			t.Errorf("%s: %d parameters, %d multiply-adds, layers %v; want %d, %d, %s", c.preset, params, macs, names, c.params, c.macs, c.names)
		}
	}
}

func TestNewErrors(t *testing.T) {
	t.Parallel()
	conv := func(k int) Layer { return Conv2D{Filters: 16, KernelSize: Square(k)} }
	for _, c := range []struct {
		input  Shape
		layers []Layer
		want   string
	}{
		{Shape{5, 5, 3}, []Layer{conv(3), conv(5)}, "conv2d_1: a 5×5 kernel, padding valid, does not fit an input of 3×3×16"},
		{Shape{5, 5, 3}, []Layer{Dense{Units: 2}}, "dense: its input is flat, got 5×5×3"},
		{Shape{5, 5, 3}, []Layer{Conv2D{KernelSize: Square(3)}}, "conv2d: filters is at least 1, got 0"},
		{Shape{5, 5, 3}, []Layer{Conv2D{Filters: 4, KernelSize: Square(3), Groups: 2}}, "conv2d: groups must divide the 3 channels"},
		{Shape{5, 5}, []Layer{conv(3)}, "input: a shape has 3 dimensions"},
		{Shape{5, 0, 1}, []Layer{conv(3)}, "input: every dimension of a shape is at least 1, got 5×0×1"},
		{Shape{5, 5, 1}, nil, "one layer or more"},
		{Shape{5, 5, 1}, []Layer{Flatten{Inputs: []string{"nowhere"}}}, `flatten: its input "nowhere" is no layer before it`},
		{Shape{5, 5, 1}, []Layer{conv(3), Flatten{Inputs: []string{"input"}}}, "conv2d: no layer reads its output"},
		{Shape{5, 5, 1}, []Layer{Flatten{Name: "a"}, Dense{Name: "a", Units: 1}}, "a: two layers have this name"},
		{Shape{5, 5, 1}, []Layer{Flatten{Name: "a/b"}}, "a name has up to 100 letters"},
		{Shape{5, 5, 1}, []Layer{conv(3), Add{Inputs: []string{"input", "conv2d"}}}, "add: its inputs have one shape, got 5×5×1 and 3×3×16"},
		{Shape{1 << 20, 1 << 20, 3}, []Layer{conv(3)}, "too many elements"},
		{Shape{5, 5, 1}, []Layer{Flatten{}, Dropout{Rate: 1}}, "dropout: rate lies in [0, 1), got 1"},
	} {
		_, err := New("t", c.input, c.layers...)
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrInvalid) {
			t.Errorf("New(%v, %v) = %v, want an error with %q", c.input, c.layers, err, c.want)
		}
	}
}

func TestNewWindowSame(t *testing.T) {
	t.Parallel()
	// Keras: out = ⌈n/s⌉, the extra of an odd total goes to the end.
	for _, c := range []struct{ n, k, s, d, out, before, after int }{
		{28, 3, 1, 1, 28, 1, 1}, {28, 2, 1, 1, 28, 0, 1}, {7, 3, 2, 1, 4, 1, 1}, {8, 3, 2, 1, 4, 0, 1}, {5, 3, 1, 2, 5, 2, 2}, {6, 1, 3, 1, 2, 0, 0},
	} {
		w, ok := NewWindow(c.n, c.k, c.s, c.d, Same)
		if !ok || w.Out != c.out || w.Before != c.before || w.After != c.after {
			t.Errorf("%+v: got %+v", c, w)
		}
	}
}

func TestInitialWeights(t *testing.T) {
	t.Parallel()
	n, err := Preset("cnn", nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	w, again, other := n.InitialWeights(1), n.InitialWeights(1), n.InitialWeights(2)
	kernel := w["dense/kernel"].Data().([]float32)
	const limit = 0.065938 // √(6/(1352+28))
	var sum, most float64
	same := 0
	for i, v := range kernel {
		sum += float64(v)
		most = max(most, float64(v), -float64(v))
		if v != again["dense/kernel"].Data().([]float32)[i] {
			t.Fatal("one seed gives two draws")
		}
		if v == other["dense/kernel"].Data().([]float32)[i] {
			same++
		}
	}
	// The mean of 37,856 draws has a standard deviation of limit/√(3·37856) = 1.96e-4.
	if mean := sum / float64(len(kernel)); most > limit || most < 0.99*limit || mean > 8e-4 || mean < -8e-4 || same > 10 {
		t.Errorf("mean %g, largest %g (limit %g), %d values shared with another seed", mean, most, limit, same)
	}
	for _, v := range w["dense/bias"].Data().([]float32) {
		if v != 0 {
			t.Fatalf("a bias starts at %g", v)
		}
	}
}

func TestAlexNetParameters(t *testing.T) {
	t.Parallel()
	n, err := Preset("alexnet", nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	params := 0
	for _, p := range n.Params() {
		params += p.Size()
	}
	if params != 60_965_224 {
		t.Errorf("AlexNet has %d parameters, want 60,965,224", params)
	}
}

func TestDepthwise(t *testing.T) {
	t.Parallel()
	n, err := New("t", Shape{8, 8, 3}, Conv2D{KernelSize: Square(3), DepthMultiplier: 2})
	if err != nil {
		t.Fatal(err)
	}
	node := n.Nodes[0]
	conv := node.Layer.(Conv2D)
	if node.Name != "depthwise_conv2d" || conv.Groups != 3 || conv.Filters != 6 || !node.Out.Equal(Shape{6, 6, 6}) ||
		!Shape(node.Params[0].Shape).Equal(Shape{3, 3, 3, 2}) {
		t.Errorf("got %+v", node)
	}
}
