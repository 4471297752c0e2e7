package model

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoadPresets(t *testing.T) {
	t.Parallel()
	for _, name := range Presets() {
		want, err := Preset(name, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		text, err := Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Load("x.yaml", text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: a round trip changes it:\n%s\n%s", name, diff, text)
		}
	}
}

func TestMarshal(t *testing.T) {
	t.Parallel()
	n, err := Preset("lenet5", nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	const want = `name: lenet5
input: [28, 28, 1]
layers:
  - conv2d: {filters: 6, kernel_size: 3, padding: same, activation: tanh}
  - average_pooling2d
  - conv2d: {filters: 16, kernel_size: 5, activation: tanh}
  - average_pooling2d
  - conv2d: {filters: 120, kernel_size: 5, activation: tanh}
  - flatten
  - dense: {units: 84, activation: tanh}
  - dense: {units: 10, activation: softmax}
`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// every is a network with every kind of layer and every option away from its default.
const every = `name: every
input: [24, 20, 4]
layers:
  - conv2d: {name: stem, filters: 8, kernel_size: [3, 5], strides: [1, 2], padding: same, groups: 2, activation: leaky_relu, use_bias: false, kernel_initializer: he_uniform, trainable: false}
  - conv2d: {filters: 8, kernel_size: 3, dilation_rate: 2, padding: same}
  - batch_normalization: {momentum: 0.9, epsilon: 1e-5, scale: false, center: false, trainable: false}
  - activation: {activation: elu, alpha: 0.5}
  - add: {inputs: [stem, activation]}
  - zero_padding2d: {padding: [0, 1, 2, 3]}
  - max_pooling2d: {pool_size: 3, strides: 2, padding: same}
  - local_response_normalization: {size: 3, alpha: 0.001, beta: 0.5, bias: 1}
  - depthwise_conv2d: {name: deep, kernel_size: 3, padding: same, depth_multiplier: 2, depthwise_initializer: he_uniform}
  - separable_conv2d: {filters: 12, kernel_size: 3, padding: same, depth_multiplier: 2, depthwise_initializer: he_uniform, pointwise_initializer: ones}
  - separable_conv2d: {inputs: [deep], filters: 6, kernel_size: [3, 2], activation: relu, use_bias: false}
  - concatenate: {name: both, inputs: [separable_conv2d, deep]}
  - flatten: {inputs: [separable_conv2d_1]}
  - dense: {name: aside, units: 4}
  - average_pooling2d: {inputs: [both], pool_size: [2, 1]}
  - global_max_pooling2d: {inputs: [average_pooling2d]}
  - global_average_pooling2d: {inputs: [deep]}
  - concatenate: {inputs: [global_max_pooling2d, global_average_pooling2d, aside]}
  - flatten
  - dropout: {rate: 0.25}
  - dense: {units: 10, activation: softmax, use_bias: false}
`

func TestLoadEveryOption(t *testing.T) {
	t.Parallel()
	n, err := Load("every.yaml", []byte(every))
	if err != nil {
		t.Fatal(err)
	}
	text, err := Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load("again.yaml", text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if diff := cmp.Diff(n, again); diff != "" {
		t.Errorf("a round trip changes it:\n%s\n%s", diff, text)
	}
	for _, k := range kinds {
		if !strings.Contains(every, "- "+k.prototype.Kind()) {
			t.Errorf("this test misses the layer %s", k.prototype.Kind())
		}
		for _, f := range k.fields() {
			if !strings.Contains(every, f.Name+":") {
				t.Errorf("this test misses the option %s of %s", f.Name, k.prototype.Kind())
			}
		}
	}
}

// TestKinds finds the layers in the source: a new one must be known to model files.
func TestKinds(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, k := range kinds {
		known[reflect.TypeOf(k.prototype).Name()] = true
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			m, ok := d.(*ast.FuncDecl)
			if !ok || m.Recv == nil || m.Name.Name != "Kind" {
				continue
			}
			if recv, ok := m.Recv.List[0].Type.(*ast.Ident); ok && !known[recv.Name] {
				t.Errorf("%s: the layer %s is missing in kinds of file.go", e.Name(), recv.Name)
			}
		}
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	const head = "input: [8, 8, 1]\nlayers:\n"
	for _, c := range []struct{ text, want string }{
		{"", "m.yaml: invalid network: the file is empty"},
		{"# nothing\n", "m.yaml: invalid network: the file is empty"},
		{"input: [8, 8, 1]\n", "m.yaml:1: invalid network: the field layers is missing"},
		{"input: [8, 8]\nlayers: [flatten]\n", "m.yaml:1: invalid network: input: a shape has 3 dimensions"},
		{head + "  - flatten\n  - dens: {units: 3}\n", `m.yaml:4: invalid network: layer kind "dens" is unknown; there are conv2d`},
		{head + "  - flatten\n  - dense: {unit: 3}\n", `m.yaml:4: invalid network: unknown field "unit"; there are name, inputs, units`},
		{head + "  - flatten\n  - dense:\n      units: 3\n      activation: rely\n", `m.yaml:6: invalid network: activation: activation "rely" is unknown; there are linear, relu`},
		{head + "  - flatten\n  - dense: {units: 3.5}\n", "m.yaml:4: invalid network: units: expected a whole number, got 3.5"},
		{head + "  - flatten\n  - dense: {units: '3'}\n", `m.yaml:4: invalid network: units: expected a whole number, got "3"`},
		{head + "  - flatten\n  - dense: {units: }\n", "m.yaml:4: invalid network: units: expected a whole number, got nothing"},
		{head + "  - flatten\n  - dense: {units: 3, units: 4}\n", "m.yaml:4:"},
		{head + "  - flatten\n  - dense\n", "m.yaml:4: invalid network: the field units is missing"},
		{head + "  - conv2d: {kernel_size: 3}\n", "m.yaml:3: invalid network: the field filters is missing"},
		{head + "  - conv2d: {filters: 3, kernel_size: 3, depth_multiplier: 2}\n", `m.yaml:3: invalid network: unknown field "depth_multiplier"`},
		{head + "  - conv2d: {filters: 3, kernel_size: [1, 2, 3]}\n", "m.yaml:3: invalid network: kernel_size: a size is a number or [height, width]"},
		{head + "  - conv2d: {filters: 3, kernel_size: 9}\n", "m.yaml:3: invalid network: conv2d: a 9×9 kernel, padding valid, does not fit an input of 8×8×1"},
		{head + "  - depthwise_conv2d: {kernel_size: 3, depth_multiplier: 0}\n", "m.yaml:3: invalid network: depthwise_conv2d: its options make it a conv2d"},
		{head + "  - flatten\n  - dense: {units: 3, use_bias: 1}\n", "m.yaml:4: invalid network: use_bias: expected true or false, got 1"},
		{head + "  - flatten\n  - dense: {units: 3, name: 7}\n", "m.yaml:4: invalid network: name: expected text, got 7"},
		{head + "  - flatten\n  - [dense]\n", "m.yaml:4: invalid network: a layer is a mapping"},
		{head + "  - {flatten: {}, dense: {units: 3}}\n", "m.yaml:3: invalid network: a layer is a mapping of one name to its options, got 2 keys"},
		{head + "  - flatten\n  - dropout: {rate: much}\n", `m.yaml:4: invalid network: rate: expected a number, got "much"`},
		{head + "  - flatten\n  - dropout: {rate: .inf}\n", "m.yaml:4: invalid network: rate: expected a"},
		{head + "  flatten: [\n", "m.yaml:"},
		{head + "  - flatten\n---\na: 1\n", "m.yaml:5: invalid network: a second document begins"},
		{head + "  - flatten: {name: a}\n  - dense: {units: 3, name: a}\n", "m.yaml:4: invalid network: a: two layers have this name"},
		{strings.Repeat("[", 100_000), "nested more than 64 levels deep"},
		{strings.Repeat("x", 2<<20), "bytes are too many"},
	} {
		_, err := Load("m.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrInvalid) {
			t.Errorf("Load(%.200q) = %v, want an error with %q", c.text, err, c.want)
		}
	}
}

func TestLoadAliases(t *testing.T) {
	t.Parallel()
	n, err := Load("m.yaml", []byte("input: [8, 8, 1]\nlayers:\n  - &c conv2d: {filters: 2, kernel_size: 3}\n  - conv2d: &o {filters: 4, kernel_size: 3}\n  - conv2d: *o\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := n.Output(); !got.Equal(Shape{2, 2, 4}) || n.Name != "m" {
		t.Errorf("the output of %s is %v", n.Name, got)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(every))
	for _, name := range Presets() {
		n, err := Preset(name, nil, 10)
		if err != nil {
			f.Fatal(err)
		}
		text, err := Marshal(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("input: &a [8, 8, *a]\nlayers: *a\n"))
	f.Add([]byte("a: &a [*b]\nb: &b [*a]\n"))
	f.Add([]byte("input: [1e3, 0x10, 0o7]\nlayers:\n- ? flatten\n  : {}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		n, err := Load("f.yaml", text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "f.yaml") {
				t.Fatalf("%v names no file", err)
			}
			return
		}
		again, err := Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Load("again.yaml", again)
		if err != nil {
			t.Fatalf("%v in\n%s", err, again)
		}
		if diff := cmp.Diff(n, m); diff != "" {
			t.Fatalf("a round trip changes it: %s\n%s", diff, again)
		}
	})
}
