package onnx_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"gcnn/weights/onnx"
)

// FuzzDecode holds that no input panics or takes memory without bound, that every refusal says whose fault it is, and that what was
// read can be written and read again. Its seeds are the files of testdata, and small ones with the operators that those lack or have
// among much else.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.onnx")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d seeds, %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
	}
	for _, file := range smallFiles() {
		f.Add(file.encode(), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, softmax bool) {
		m, err := onnx.Decode(b, onnx.Options{Softmax: softmax})
		if err != nil {
			if !errors.Is(err, onnx.ErrFormat) && !errors.Is(err, onnx.ErrUnsupported) {
				t.Errorf("error %v wraps neither ErrFormat nor ErrUnsupported", err)
			}
			return
		}
		again, err := onnx.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		second, err := onnx.Decode(again, onnx.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(second.Network, m.Network) {
			t.Errorf("network %+v, want %+v", second.Network, m.Network)
		}
		sameWeights(t, second.Weights, m.Weights)
	})
}

// smallFiles are networks of a few hundred bytes, all of which can be read.
func smallFiles() []file {
	var shape message
	shape.int(1, 2)
	shape.int(2, 7)
	shape.bytes(8, []byte("shape"))
	shape.bytes(9, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 12, 0, 0, 0, 0, 0, 0, 0})
	input := value("x", 0, 3, 2, 2)
	return []file{
		{input: input, tensors: nodes(shape, floatTensor("w", 12, 2)),
			nodes: nodes(node("Reshape", "x,shape", "f"), node("MatMul", "f,w", "g"), node("Softmax", "g", "y", integer("axis", 1)))},
		{input: input, tensors: nodes(floatTensor("w", 2, 3, 1, 1), floatTensor("b", 2)), nodes: nodes(
			node("Conv", "x,w,b", "c", ints("pads", 0, 1, 0, 1)), node("Sigmoid", "c", "s"), node("Mul", "c,s", "m"),
			node("AveragePool", "m", "p", ints("kernel_shape", 1, 2), ints("pads", 0, 1, 0, 1), integer("count_include_pad", 1)),
			node("GlobalMaxPool", "p", "y"))},
		{input: input, nodes: nodes(
			node("Transpose", "x", "t", ints("perm", 0, 2, 3, 1)), node("Relu", "t", "r"), node("Concat", "r,t", "c", integer("axis", 3)),
			node("ReduceMean", "c", "y", ints("axes", 1, 2), integer("keepdims", 0)))},
		{input: input, tensors: nodes(floatTensor("w", 24, 2)), nodes: nodes(
			node("Relu", "x", "r"), node("MaxPool", "r", "m", ints("kernel_shape", 2, 2), ints("pads", 1, 1, 0, 0), integer("ceil_mode", 1)),
			node("LRN", "m", "l", integer("size", 3)), node("Sum", "l,m,l", "s"), node("Dropout", "s", "d"), node("Flatten", "d", "f"),
			node("Identity", "f", "g"), node("Concat", "g,f", "h", integer("axis", 1)), node("Softplus", "h", "z"), node("Gemm", "z,w", "y"))},
	}
}

// TestSmallFiles: the seeds are what they claim to be.
func TestSmallFiles(t *testing.T) {
	t.Parallel()
	for i, f := range smallFiles() {
		if _, err := onnx.Decode(f.encode(), onnx.Options{}); err != nil {
			t.Errorf("seed %d: %v", i, err)
		}
	}
}
