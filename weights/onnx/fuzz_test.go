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
// read can be written and read again. Its seeds are the files of testdata.
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
		f.Add(b, false)
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
