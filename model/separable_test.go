package model

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func separableNet(t *testing.T) *Network {
	t.Helper()
	n, err := New("s", Shape{9, 8, 3},
		SeparableConv2D{Filters: 5, KernelSize: Size{H: 3, W: 2}, Strides: Square(2), Padding: Same, DepthMultiplier: 2, Activation: ReLU},
		SeparableConv2D{Filters: 4, KernelSize: Square(1), NoBias: true, DepthwiseInit: HeUniform, PointwiseInit: Ones},
		Flatten{}, Dense{Units: 2, Activation: Softmax})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The names are those of Keras' variables; the fans those that keras.initializers.compute_fans takes of {kh, kw, c, m} and of
// {1, 1, c·m, filters}.
func TestSeparableNodes(t *testing.T) {
	t.Parallel()
	n := separableNet(t)
	var names []string
	for _, node := range n.Nodes {
		names = append(names, node.Name)
	}
	want := "separable_conv2d_depthwise separable_conv2d separable_conv2d_1_depthwise separable_conv2d_1 flatten dense"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("nodes %s, want %s", got, want)
	}
	params := n.Params()[:5]
	if diff := cmp.Diff(params, []Param{
		{"separable_conv2d/depthwise_kernel", Kernel, []int{3, 2, 3, 2}, true, GlorotUniform, 6 * 3, 6 * 2},
		{"separable_conv2d/pointwise_kernel", Kernel, []int{1, 1, 6, 5}, true, GlorotUniform, 6, 5},
		{"separable_conv2d/bias", Bias, []int{5}, true, Zeros, 0, 0},
		{"separable_conv2d_1/depthwise_kernel", Kernel, []int{1, 1, 5, 1}, true, HeUniform, 5, 1},
		{"separable_conv2d_1/pointwise_kernel", Kernel, []int{1, 1, 5, 4}, true, Ones, 5, 4},
	}); diff != "" {
		t.Error(diff)
	}
	if s := n.Nodes[0].Separable; s == nil || s != n.Nodes[1].Separable || s == n.Nodes[2].Separable || n.Nodes[4].Separable != nil {
		t.Errorf("the nodes of a layer do not know that they belong together")
	}
}

// A summary and a model file show one layer.
func TestSeparableIsOneLayer(t *testing.T) {
	t.Parallel()
	n := separableNet(t)
	s := n.Summarize()
	layer := s.Layers[0]
	// 36 weights over 5×4 positions and 30 more of them, with 5 biases.
	if want := (SummaryLayer{"separable_conv2d", "SeparableConv2D", Shape{5, 4, 5}, 36 + 30 + 5, 2 * 20 * (36 + 30), []string{"input"}}); !cmp.Equal(layer, want) {
		t.Errorf("%+v, want %+v", layer, want)
	}
	if len(s.Layers) != 4 || s.branched || s.Params != 36+30+5+5+20+2*(5*4*4+1) || s.NonTrainable != 0 {
		t.Errorf("%+v", s)
	}
	text, err := Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	want := `name: s
input: [9, 8, 3]
layers:
  - separable_conv2d: {filters: 5, kernel_size: [3, 2], strides: 2, padding: same, depth_multiplier: 2, activation: relu}
  - separable_conv2d: {filters: 4, kernel_size: 1, use_bias: false, depthwise_initializer: he_uniform, pointwise_initializer: ones}
  - flatten
  - dense: {units: 2, activation: softmax}
`
	if !bytes.Equal(text, []byte(want)) {
		t.Errorf("%s\nwant\n%s", text, want)
	}
}

func TestSeparableErrors(t *testing.T) {
	t.Parallel()
	three := SeparableConv2D{Filters: 4, KernelSize: Square(3)}
	with := func(edit func(*SeparableConv2D)) Layer {
		l := three
		edit(&l)
		return l
	}
	for _, c := range []struct {
		layers []Layer
		want   string
	}{
		{[]Layer{three, three, three}, "separable_conv2d_2: a 3×3 kernel, padding valid, does not fit an input of 1×1×4"},
		{[]Layer{with(func(l *SeparableConv2D) { l.Filters = 0 })}, "separable_conv2d: filters is at least 1, got 0"},
		{[]Layer{with(func(l *SeparableConv2D) { l.DepthMultiplier = -1 })}, "separable_conv2d: depth_multiplier is at least 1, got -1"},
		{[]Layer{with(func(l *SeparableConv2D) { l.Strides, l.DilationRate = Square(2), Square(2) })}, "strides above 1 and dilation_rate above 1 exclude each other"},
		{[]Layer{with(func(l *SeparableConv2D) { l.DepthwiseInit = Whitening })}, "the initializer whitening belongs to a conv2d"},
		{[]Layer{Flatten{}, three}, "separable_conv2d: its input is a feature map of height×width×channels, got 75"},
		{[]Layer{Activation{Name: "a_depthwise"}, with(func(l *SeparableConv2D) { l.Name = "a" })},
			"a: its depthwise convolution is called a_depthwise, as another layer is"},
		{[]Layer{with(func(l *SeparableConv2D) { l.Name = "a" }), Activation{Name: "a_depthwise"}}, "a_depthwise: two layers have this name"},
		{[]Layer{with(func(l *SeparableConv2D) { l.Name = "a" }), Activation{Inputs: []string{"a_depthwise"}}},
			`activation: its input "a_depthwise" is no layer before it`},
	} {
		if _, err := New("s", Shape{5, 5, 3}, c.layers...); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
