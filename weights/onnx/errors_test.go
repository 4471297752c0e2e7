package onnx_test

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"gcnn/model"
	"gcnn/weights/onnx"
)

// These write ONNX files by hand. The numbers of fields are those of onnx.proto.

type message []byte

func (m *message) bytes(field protowire.Number, b []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), b)
}

func (m *message) int(field protowire.Number, n int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(n))
}

// node is a NodeProto; attributes are encoded AttributeProtos.
func node(op, inputs, output string, attributes ...message) message {
	var m message
	if inputs != "" {
		for _, in := range strings.Split(inputs, ",") {
			m.bytes(1, []byte(in))
		}
	}
	m.bytes(2, []byte(output))
	m.bytes(3, []byte("the "+op))
	m.bytes(4, []byte(op))
	for _, a := range attributes {
		m.bytes(5, a)
	}
	return m
}

func ints(name string, v ...int64) message {
	var m message
	m.bytes(1, []byte(name))
	for _, n := range v {
		m.int(8, n)
	}
	m.int(20, 7)
	return m
}

func integer(name string, v int64) message {
	var m message
	m.bytes(1, []byte(name))
	m.int(3, v)
	m.int(20, 2)
	return m
}

// floatTensor is a TensorProto of zeros.
func floatTensor(name string, dims ...int64) message {
	var m message
	n := int64(1)
	for _, d := range dims {
		m.int(1, d)
		n *= d
	}
	m.int(2, 1)
	m.bytes(8, []byte(name))
	m.bytes(9, make([]byte, 4*n))
	return m
}

// number is a TensorProto of one float.
func number(name string, v float32) message {
	var m message
	m.int(2, 1)
	m.bytes(8, []byte(name))
	m.bytes(9, binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
	return m
}

// external is a TensorProto whose data lies in another file.
func external(name, location, offset, length string, dims ...int64) message {
	var m message
	for _, d := range dims {
		m.int(1, d)
	}
	m.int(2, 1)
	m.bytes(8, []byte(name))
	for _, e := range [][2]string{{"location", location}, {"offset", offset}, {"length", length}} {
		if e[1] == "" {
			continue
		}
		var entry message
		entry.bytes(1, []byte(e[0]))
		entry.bytes(2, []byte(e[1]))
		m.bytes(13, entry)
	}
	m.int(14, 1)
	return m
}

// value is a ValueInfoProto of float32; a dimension of 0 is called n.
func value(name string, dims ...int64) message {
	var shape, kind, typed, m message
	for _, d := range dims {
		var dim message
		if d == 0 {
			dim.bytes(2, []byte("n"))
		} else {
			dim.int(1, d)
		}
		shape.bytes(1, dim)
	}
	kind.int(1, 1)
	kind.bytes(2, shape)
	typed.bytes(1, kind)
	m.bytes(1, []byte(name))
	m.bytes(2, typed)
	return m
}

// file is a ModelProto that reads "x" and gives "y".
type file struct {
	opset   int64
	input   message // default: [n, 3, 8, 8]
	tensors []message
	nodes   []message
}

func (f file) encode() []byte {
	var graph, set, m message
	for _, n := range f.nodes {
		graph.bytes(1, n)
	}
	for _, t := range f.tensors {
		graph.bytes(5, t)
	}
	if f.input == nil {
		f.input = value("x", 0, 3, 8, 8)
	}
	graph.bytes(11, f.input)
	graph.bytes(12, value("y", 0, 10))
	if f.opset == 0 {
		f.opset = 17
	}
	set.int(2, f.opset)
	m.bytes(7, graph)
	m.bytes(8, set)
	return m
}

func nodes(n ...message) []message { return n }

// TestRefused: what gcnn cannot take is an error that names the node and says why.
func TestRefused(t *testing.T) {
	t.Parallel()
	kernel := floatTensor("w", 4, 3, 3, 3)
	for name, c := range map[string]struct {
		file file
		want string
	}{
		"unknown operator": {file{nodes: nodes(node("Resize", "x", "y"))}, `node "the Resize" (Resize): not supported: gcnn has no layer for this operator`},
		"unknown attribute": {file{tensors: nodes(kernel), nodes: nodes(node("Conv", "x,w", "y", integer("output_padding", 1)))},
			`node "the Conv" (Conv): not supported: gcnn does not know its attribute "output_padding"`},
		"attribute of another type": {file{tensors: nodes(kernel), nodes: nodes(node("Conv", "x,w", "y", integer("pads", 1)))},
			`its attribute "pads" has the type 2, want 7`},
		"same lower": {file{tensors: nodes(kernel), nodes: nodes(node("Conv", "x,w", "y", ints("strides", 2, 2), ints("dilations", 2, 2)))},
			"strides 2×2 together with dilations 2×2"},
		"kernel of other channels": {file{tensors: nodes(floatTensor("w", 4, 2, 3, 3)), nodes: nodes(node("Conv", "x,w", "y"))},
			"not a valid ONNX file: a kernel of [4 2 3 3] in 1 groups for an input of [batch, 3, 8, 8]"},
		"kernel too large": {file{tensors: nodes(floatTensor("w", 1, 3, 9, 9)), nodes: nodes(node("Conv", "x,w", "y"))},
			"a 9×9 kernel does not fit an input of 8×8×3"},
		"padded maximum of what may be negative": {file{nodes: nodes(node("MaxPool", "x", "y", ints("kernel_shape", 3, 3), ints("strides", 2, 2), ints("pads", 1, 1, 1, 1)))},
			"which is neither Keras' 'valid' nor 'same'"},
		"a sum of nothing":  {file{nodes: nodes(node("Sum", "", "y"))}, `node "the Sum" (Sum): not a valid ONNX file: it has no input`},
		"missing input":     {file{nodes: nodes(node("Relu", "z", "y"))}, `its input "z" is made by no node before it`},
		"made twice":        {file{nodes: nodes(node("Relu", "x", "y"), node("Relu", "x", "y"))}, `"y" is made twice`},
		"no output":         {file{nodes: nodes(node("Relu", "x", "z"))}, `its output "y" is made by no node`},
		"only the input":    {file{nodes: nodes(node("Identity", "x", "y"))}, "its output is its input"},
		"weights that move": {file{nodes: nodes(node("Conv", "x,x", "y"))}, `its input "x" is not constant`},
		"a product": {file{nodes: nodes(node("Relu", "x", "a"), node("Tanh", "x", "b"), node("Mul", "a,b", "y"))},
			"gcnn has no layer for * of two tensors"},
		"a clip to 5": {file{tensors: nodes(number("0", 0), number("5", 5)), nodes: nodes(node("Clip", "x,0,5", "y"))},
			"a clip to 0 … 5; gcnn has 0 … ∞, which is relu, and 0 … 6, relu6"},
		"a minimum": {file{tensors: nodes(number("6", 6)), nodes: nodes(node("Tanh", "x", "a"), node("Min", "a,6", "y"))},
			"gcnn has no layer for a minimum, but for relu6"},
		"another hard sigmoid": {file{nodes: nodes(node("HardSigmoid", "x", "y"))}, "alpha 0.2 and beta 0.5; gcnn's hard_sigmoid has 1/6 and 1/2"},
		"six times hard silu": {file{tensors: nodes(number("0", 0), number("3", 3), number("6", 6)),
			nodes: nodes(node("Tanh", "x", "a"), node("Add", "a,3", "b"), node("Clip", "b,0,6", "c"), node("Mul", "a,c", "y"))},
			"gcnn has no layer for x·relu6(x+3), but for hard_silu, a sixth of it"},
		"a square alone":   {file{nodes: nodes(node("Mul", "x,x", "a"), node("Relu", "a", "y"))}, `node "the Mul" (Mul): not supported: gcnn has no layer for it, but within gelu`},
		"a scaled output":  {file{nodes: nodes(node("Softmax", "x", "y", integer("axis", 2)))}, "a softmax over axis 2 of [batch, 3, 8, 8], want the channels"},
		"log-softmax":      {file{nodes: nodes(node("LogSoftmax", "x", "y", integer("axis", 1)))}, "the network ends in log-probabilities: ask for a softmax"},
		"flattened output": {file{nodes: nodes(node("Relu", "x", "a"), node("Flatten", "a", "y"))}, "is a map flattened in [channels, height, width] order"},
		"free size":        {file{input: value("x", 0, 3, 0, 0), nodes: nodes(node("Relu", "x", "y"))}, "height, width and channels must be fixed"},
		"flat input":       {file{input: value("x", 0, 784), nodes: nodes(node("Relu", "x", "y"))}, "want images"},
		"which channels":   {file{input: value("x", 0, 3, 8, 3), nodes: nodes(node("Relu", "x", "y"))}, "which axis are the channels?"},
		"old operators":    {file{opset: 8, nodes: nodes(node("Relu", "x", "y"))}, "operator set 8; gcnn reads 9 to"},
		"huge claims":      {file{input: value("x", 0, 3, 65536, 65536), nodes: nodes(node("Flatten", "x", "y"))}, "its weights take far more memory"},
		"tensor too short": {file{tensors: nodes(append(floatTensor("w", 4, 3, 3, 3), 0x08, 9)), nodes: nodes(node("Conv", "x,w", "y"))}, "a shape of [4 3 3 3 9] needs 3888 bytes, it has 432"},
		"another file":     {file{tensors: nodes(external("w", "w.bin", "0", "432", 4, 3, 3, 3)), nodes: nodes(node("Conv", "x,w", "y"))}, "lies in another file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := onnx.Decode(c.file.encode(), onnx.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if !errors.Is(err, onnx.ErrUnsupported) && !errors.Is(err, onnx.ErrFormat) {
				t.Errorf("error %v wraps neither ErrUnsupported nor ErrFormat", err)
			}
		})
	}
}

// TestExternalData: data in other files is read within the file's folder alone, and no more than is there.
func TestExternalData(t *testing.T) {
	t.Parallel()
	outer := t.TempDir()
	folder := filepath.Join(outer, "models")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(outer, "secret.bin"), filepath.Join(folder, "w.bin")} {
		if err := os.WriteFile(path, make([]byte, 500), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret.bin", filepath.Join(folder, "link.bin")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ location, offset, length, want string }{
		"fits":             {"w.bin", "68", "432", ""},
		"no numbers":       {"w.bin", "", "", ""},
		"parent":           {"../secret.bin", "0", "432", "no plain path within the file's folder"},
		"parent inside":    {"a/../../secret.bin", "0", "432", "no plain path"},
		"absolute":         {filepath.Join(outer, "secret.bin"), "0", "432", "no plain path"},
		"backslash":        {`..\secret.bin`, "0", "432", "no plain path"},
		"link":             {"link.bin", "0", "432", "escapes"},
		"folder":           {".", "0", "432", "no regular file"},
		"beyond the end":   {"w.bin", "69", "432", "lies at 69 to 501 of w.bin, which has 500 bytes"},
		"negative":         {"w.bin", "-1", "432", `its offset is "-1"`},
		"huge offset":      {"w.bin", "9223372036854775807", "432", "its offset is"},
		"another length":   {"w.bin", "0", "431", "needs 432 bytes, of w.bin it takes 431"},
		"it is not there":  {"gone.bin", "0", "432", "no such file"},
		"without location": {"", "0", "432", "no plain path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(folder, strings.ReplaceAll(name, " ", "-")+".onnx")
			f := file{tensors: nodes(external("w", c.location, c.offset, c.length, 4, 3, 3, 3)), nodes: nodes(node("Conv", "x,w", "y"))}
			if err := os.WriteFile(path, f.encode(), 0o666); err != nil {
				t.Fatal(err)
			}
			_, err := onnx.ReadFile(path, onnx.Options{})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	t.Run("overlap", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(folder, "overlap.onnx")
		f := file{
			tensors: nodes(external("w", "w.bin", "0", "432", 4, 3, 3, 3), external("v", "w.bin", "0", "432", 3, 4, 3, 3)),
			nodes:   nodes(node("Conv", "x,w", "a"), node("Conv", "a,v", "y")),
		}
		if err := os.WriteFile(path, f.encode(), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := onnx.ReadFile(path, onnx.Options{}); err == nil || !strings.Contains(err.Error(), "overlap") {
			t.Errorf("error %v, want that they overlap", err)
		}
	})
}

// TestDamaged cuts a file off at every byte and flips bits in it: an error or a network, never a panic.
func TestDamaged(t *testing.T) {
	t.Parallel()
	whole, err := os.ReadFile("testdata/torch-normalized-script17.onnx")
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := onnx.Decode(whole[:n], onnx.Options{}); err == nil && n < 2000 {
			t.Errorf("%d of %d bytes were taken", n, len(whole))
		}
		b := append([]byte{}, whole...)
		b[n] ^= 1 << (n % 8)
		_, _ = onnx.Decode(b, onnx.Options{}) // a flipped weight is a network too
	}
}

// TestSoftmax: logits are said to be logits, and get a softmax where it is asked for.
func TestSoftmax(t *testing.T) {
	t.Parallel()
	for _, softmax := range []bool{false, true} {
		m, err := onnx.ReadFile("testdata/torch-resnet-dynamo18.onnx", onnx.Options{Softmax: softmax})
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

// TestNormalization finds what a file does to its input.
func TestNormalization(t *testing.T) {
	t.Parallel()
	mean, std := []float32{0.485, 0.456, 0.406}, []float32{0.229, 0.224, 0.225}
	for name, want := range map[string]model.Normalization{
		"torch-normalized-script17": {Mean: mean, Std: std},
		"torch-normalized-dynamo20": {Mean: mean, Std: std},
		"keras-lesson-tensorflow":   {},
		"torch-resnet-script20":     {},
	} {
		m, err := onnx.ReadFile("testdata/"+name+".onnx", onnx.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Normalization.Mean) != len(want.Mean) || len(want.Mean) > 0 && (m.Normalization.Mean[2] != want.Mean[2] || m.Normalization.Std[0] != want.Std[0]) {
			t.Errorf("%s: normalisation %v, want %v", name, m.Normalization, want)
		}
		if told := strings.Contains(strings.Join(m.Notes, " "), "divided by 255"); told != (name == "torch-resnet-script20") {
			t.Errorf("%s: notes %q", name, m.Notes)
		}
	}
}
