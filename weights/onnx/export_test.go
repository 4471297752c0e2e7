package onnx_test

import (
	"bytes"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/internal/samplenet"
	"gcnn/model"
	"gcnn/weights/onnx"
)

// samples are the small networks of samplenet and those presets that the float64 reference is quick with.
func samples(t *testing.T) []*onnx.Model {
	t.Helper()
	nets, err := samplenet.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cnn", "lenet5"} {
		net, err := model.Preset(name, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		nets = append(nets, net)
	}
	var all []*onnx.Model
	for i, net := range nets {
		m := &onnx.Model{
			Network: net, Weights: samplenet.Weights(net, uint64(i)), Classes: samplenet.Classes(net),
			Metadata: map[string]string{"data": "none", "epoch": "3"},
		}
		if i%2 == 0 {
			m.Normalization = samplenet.Normalization(net.Input[2])
		}
		all = append(all, m)
	}
	floats := *all[0]
	floats.Floats = true
	return append(all, &floats)
}

// TestRoundTrip writes networks and reads them again: the same layers, options of training included, and the same bits.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, m := range samples(t) {
		t.Run(m.Network.Name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "m.onnx")
			if err := onnx.WriteFile(path, m); err != nil {
				t.Fatal(err)
			}
			got, err := onnx.ReadFile(path, onnx.Options{})
			if err != nil {
				t.Fatal(err)
			}
			sameWeights(t, got.Weights, m.Weights)
			got.Weights = m.Weights
			if !reflect.DeepEqual(got, m) {
				t.Errorf("read %+v, want %+v", got, m)
			}
		})
	}
}

func sameWeights(t *testing.T, got, want map[string]*tensor.Dense) {
	t.Helper()
	if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
		t.Fatalf("weights %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	for name, w := range want {
		g := got[name]
		if !slices.Equal(g.Shape(), w.Shape()) || !slices.Equal(bits(g), bits(w)) {
			t.Errorf("%s differs", name)
		}
	}
}

func bits(t *tensor.Dense) []uint32 {
	var out []uint32
	for _, v := range t.Data().([]float32) {
		out = append(out, math.Float32bits(v))
	}
	return out
}

// TestGraphAlone reads what gcnn wrote as a stranger's file, without the metadata that tells of training: what the network computes
// stays the same, and so do the layers but for names, Dropout and what normalisation leaves out.
func TestGraphAlone(t *testing.T) {
	t.Parallel()
	for _, m := range samples(t) {
		t.Run(m.Network.Name, func(t *testing.T) {
			t.Parallel()
			b, err := onnx.Encode(m)
			if err != nil {
				t.Fatal(err)
			}
			got, err := onnx.Decode(withoutMetadata(t, b), onnx.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Normalization, m.Normalization) {
				t.Errorf("normalisation %v, want %v", got.Normalization, m.Normalization)
			}
			if g, w := kinds(got.Network), kinds(m.Network); !slices.Equal(g, w) {
				t.Errorf("layers %v, want %v", g, w)
			}
			images := samplenet.Images(m.Network, 2, 7)
			closeTo(t, predict(t, got, imageTensor(images)), predict(t, m, imageTensor(images)), 1e-6)
			for name, w := range m.Weights {
				if g := got.Weights[name]; g != nil && !slices.Equal(bits(g), bits(w)) {
					t.Errorf("%s differs", name)
				}
			}
		})
	}
}

// kinds are the kinds of layers that leave a node in a graph.
func kinds(net *model.Network) []string {
	var list []string
	for _, node := range net.Nodes {
		a, activation := node.Layer.(model.Activation)
		_, dropout := node.Layer.(model.Dropout)
		_, flatten := node.Layer.(model.Flatten)
		switch {
		case dropout, activation && a.Func == model.Linear, flatten && !node.In[0].IsMap():
		case activation && a.Func == model.Softmax: // becomes the dense layer's own
		default:
			list = append(list, node.Layer.Kind())
		}
	}
	return list
}

func imageTensor(s *data.Set) *tensor.Dense {
	return tensor.New(tensor.WithShape(s.Len(), s.Height, s.Width, s.Channels), tensor.WithBacking(s.Pixels))
}

// withoutMetadata drops the metadata of a file.
func withoutMetadata(t *testing.T, b []byte) []byte {
	t.Helper()
	var out []byte
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if n < 0 || size < 0 {
			t.Fatal("the file cannot be parsed")
		}
		if number != 14 { // metadata_props
			out = append(out, b[:n+size]...)
		}
		b = b[n+size:]
	}
	return out
}

// TestEncodeTwice: equal content gives equal bytes.
func TestEncodeTwice(t *testing.T) {
	t.Parallel()
	m := samples(t)[0]
	first, err := onnx.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	second, err := onnx.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("two files differ")
	}
}
