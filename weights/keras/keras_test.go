package keras_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/device"
	"gcnn/device/reference"
	"gcnn/internal/samplenet"
	"gcnn/model"
	"gcnn/weights"
	"gcnn/weights/keras"
)

// TestRoundTrip writes networks and reads them again: the same layers, options of training included, and the same bits.
// bench/exchange/check_keras.py has Keras itself read what is written.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	nets, err := samplenet.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cnn", "lenet5", "resnet9"} {
		net, err := model.Preset(name, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		nets = append(nets, net)
	}
	for i, net := range nets {
		t.Run(net.Name, func(t *testing.T) {
			t.Parallel()
			w := samplenet.Weights(net, uint64(i))
			var norm model.Normalization
			if i%2 == 0 {
				norm = samplenet.Normalization(net.Input[2])
			}
			m, err := keras.FromNetwork(net, w, norm, keras.Options{})
			if err != nil {
				t.Fatal(err)
			}
			folder := t.TempDir()
			config, npz := filepath.Join(folder, "net.json"), filepath.Join(folder, "net.npz")
			if err := m.WriteFiles(config, npz); err != nil {
				t.Fatal(err)
			}
			got, err := keras.ReadFiles(config, npz, keras.ImportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Network, net) {
				g, _ := model.Marshal(got.Network)
				w, _ := model.Marshal(net)
				t.Errorf("network\n%s\nwant\n%s", g, w)
			}
			if !reflect.DeepEqual(got.Normalization, norm) {
				t.Errorf("normalisation %v, want %v", got.Normalization, norm)
			}
			if !slices.Equal(slices.Sorted(maps.Keys(got.Weights)), slices.Sorted(maps.Keys(w))) {
				t.Fatalf("weights %v", slices.Sorted(maps.Keys(got.Weights)))
			}
			for name := range w {
				if !reflect.DeepEqual(got.Weights[name].Data(), w[name].Data()) || !slices.Equal(got.Weights[name].Shape(), w[name].Shape()) {
					t.Errorf("%s differs", name)
				}
			}
		})
	}
}

// TestImport reads what Keras wrote and computes what Keras computed: see bench/exchange/make_models.py.
func TestImport(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files in testdata, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			stem := strings.TrimSuffix(file, ".json")
			m, err := keras.ReadFiles(file, stem+".npz", keras.ImportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			example, err := weights.ReadFile(stem + "-expected.npz")
			if err != nil {
				t.Fatal(err)
			}
			images, want := example.Tensors["images"], example.Tensors["output"]
			closeTo(t, predict(t, m, images), want)
		})
	}
}

// predict computes a model's outputs in float64.
func predict(t *testing.T, m *keras.Imported, images *tensor.Dense) *tensor.Dense {
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

// closeTo allows 1e-5 of outputs of the size of 1, which Keras computes in float32.
func closeTo(t *testing.T, got, want *tensor.Dense) {
	t.Helper()
	g, w := got.Data().([]float32), want.Data().([]float32)
	if len(g) != len(w) {
		t.Fatalf("%d outputs, want %d", len(g), len(w))
	}
	for i := range w {
		if d := math.Abs(float64(g[i]) - float64(w[i])); !(d <= 1e-5*max(1, math.Abs(float64(w[i])))) {
			t.Fatalf("output %d is %g, want %g", i, g[i], w[i])
		}
	}
}

// TestSoftmax: logits are said to be logits, and get a softmax where it is asked for.
func TestSoftmax(t *testing.T) {
	t.Parallel()
	for _, softmax := range []bool{false, true} {
		m, err := keras.ReadFiles("testdata/activations.json", "testdata/activations.npz", keras.ImportOptions{Softmax: softmax})
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Network.Classes()
		if softmax != (err == nil) {
			t.Errorf("softmax %t: %v", softmax, err)
		}
		if told := strings.Contains(strings.Join(m.Notes, " "), "logits"); told == softmax {
			t.Errorf("softmax %t: notes %q", softmax, m.Notes)
		}
	}
}

const inputLayer = `{"module": "keras.layers", "class_name": "InputLayer", "config": {"name": "in", "batch_shape": [null, 4, 4, 1]}}`

// sequential is a model of some layers of module keras.layers behind an input of 4×4×1.
func sequential(layers ...string) string {
	for i, l := range layers {
		layers[i] = `{"module": "keras.layers", ` + l + `}`
	}
	return `{"class_name": "Sequential", "config": {"name": "s", "layers": [` + strings.Join(append([]string{inputLayer}, layers...), ",") + `]}}`
}

// TestRefused: what gcnn cannot take is an error that names the layer and says why.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":        {`{`, "not a valid Keras model"},
		"more":           {sequential() + "x", "there is more after the model"},
		"other class":    {`{"class_name": "Subclassed"}`, `a model of class "Subclassed"`},
		"unknown layer":  {sequential(`"class_name": "GRU", "config": {"name": "gru"}`), `layer "gru" (GRU): not supported: gcnn has no such layer`},
		"lambda":         {strings.ReplaceAll(sequential(`"class_name": "Lambda", "config": {"name": "f"}`), `"keras.layers", "class_name": "Lambda"`, `"builtins", "class_name": "Lambda"`), `layer "f" (Lambda): not supported: gcnn has none of "builtins"`},
		"channels first": {sequential(`"class_name": "Flatten", "config": {"name": "f", "data_format": "channels_first"}`), "data_format is channels_first, want channels_last"},
		"half":           {sequential(`"class_name": "Flatten", "config": {"name": "f", "dtype": "float16"}`), "dtype is float16, want float32"},
		"activation":     {sequential(`"class_name": "Activation", "config": {"name": "a", "activation": "mish"}`), `activation "mish" is unknown`},
		"old hard":       {strings.Replace(sequential(`"class_name": "Activation", "config": {"name": "a", "activation": "hard_sigmoid"}`), "{", `{"keras_version": "2.12.0", `, 1), "the hard_sigmoid of Keras 2.12.0 is another"},
		"relu5":          {sequential(`"class_name": "ReLU", "config": {"name": "a", "max_value": 5}`), "max_value other than 6"},
		"no input":       {`{"class_name": "Sequential", "config": {"name": "s", "layers": [{"module": "keras.layers", "class_name": "Flatten", "config": {"name": "f"}}]}}`, "no InputLayer before it"},
		"free size":      {strings.ReplaceAll(sequential(), "null, 4", "null, null"), "must be fixed"},
		"weights":        {sequential(`"class_name": "Flatten", "config": {"name": "f"}`, `"class_name": "Dense", "config": {"name": "d", "units": 3}`), "the weights do not fit the network: d/bias of 3 is missing; d/kernel of 16×3 is missing"},
		"multiply":       {`{"class_name": "Functional", "config": {"name": "m", "layers": [` + inputLayer + `], "output_layers": ["out", 0, 0]}}`, `there is no layer "out"`},
		"loop": {`{"class_name": "Functional", "config": {"name": "m", "layers": [{"name": "a", "class_name": "Flatten", "config": {},
			"inbound_nodes": [{"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["a", 0, 0]}}]}]}], "output_layers": ["a", 0, 0]}}`, `layer "a" reads itself`},
		"null layer": {`{"class_name": "Sequential", "config": {"name": "s", "layers": [null]}}`, "layer 1 is null"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := keras.Import([]byte(c.text), nil, keras.ImportOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if !errors.Is(err, keras.ErrUnsupported) && !errors.Is(err, keras.ErrFormat) && !errors.Is(err, weights.ErrMismatch) {
				t.Errorf("error %v wraps no error of the package", err)
			}
		})
	}
}

// FuzzImport holds that no text panics and that every refusal says whose fault it is.
func FuzzImport(f *testing.F) {
	nets, err := samplenet.Layers()
	if err != nil {
		f.Fatal(err)
	}
	arrays := map[string]*tensor.Dense{}
	for i, net := range nets {
		m, err := keras.FromNetwork(net, samplenet.Weights(net, uint64(i)), samplenet.Normalization(net.Input[2]), keras.Options{})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.JSON)
		maps.Copy(arrays, m.Weights)
	}
	f.Add([]byte(sequential(`"class_name": "Flatten", "config": {"name": "f"}`, `"class_name": "Activation", "config": {"name": "a", "activation": "softmax"}`)))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := keras.Import(text, arrays, keras.ImportOptions{Softmax: true})
		if err != nil && !errors.Is(err, keras.ErrUnsupported) && !errors.Is(err, keras.ErrFormat) && !errors.Is(err, weights.ErrMismatch) {
			t.Errorf("error %v wraps no error of the package", err)
		}
	})
}
