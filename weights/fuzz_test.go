package weights

import (
	"bytes"
	"errors"
	"maps"
	"testing"

	"gorgonia.org/tensor"
)

// The fuzz targets hold three things: no input panics, every refusal wraps ErrFormat, and what was read can be written
// and read again without loss. Their seeds in testdata/fuzz were written by Python's safetensors and numpy.

func FuzzDecodeSafetensors(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := DecodeSafetensors(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			wantErrFormat(t, err)
			return
		}
		var out bytes.Buffer
		if err := EncodeSafetensors(&out, file); err != nil {
			t.Fatal(err)
		}
		again, err := Decode(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		sameTensors(t, again.Tensors, file.Tensors)
		if !maps.Equal(again.Metadata, file.Metadata) {
			t.Errorf("metadata %q, want %q", again.Metadata, file.Metadata)
		}
	})
}

func FuzzDecodeNPZ(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		tensors, err := DecodeNPZ(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			wantErrFormat(t, err)
			return
		}
		checkNPZ(t, tensors)
	})
}

// FuzzNPY wraps its input into an archive of one file, whose checksum a fuzzer could hardly hit upon.
func FuzzNPY(f *testing.F) {
	f.Fuzz(func(t *testing.T, method bool, content string) {
		var how uint16
		if method {
			how = 8 // deflate
		}
		b := archive(t, how, member{"w.npy", content})
		tensors, err := DecodeNPZ(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			wantErrFormat(t, err)
			return
		}
		checkNPZ(t, tensors)
	})
}

func checkNPZ(t *testing.T, tensors map[string]*tensor.Dense) {
	t.Helper()
	var out bytes.Buffer
	if err := EncodeNPZ(&out, tensors); err != nil {
		t.Fatal(err)
	}
	again, err := DecodeNPZ(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	sameTensors(t, again, tensors)
}

func wantErrFormat(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrFormat) {
		t.Errorf("error %v does not wrap ErrFormat", err)
	}
}
