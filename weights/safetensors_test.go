package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"gorgonia.org/tensor"
)

// TestSameBytesAsReference: Keras' weights were saved by Python's safetensors; written again here, not a bit changes.
func TestSameBytesAsReference(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile(kerasSafetensors)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := EncodeSafetensors(&got, readFile(t, kerasSafetensors)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes differ from the reference's %d", got.Len(), len(want))
	}
}

func TestSafetensorsHeader(t *testing.T) {
	t.Parallel()
	f := &File{
		Tensors: map[string]*tensor.Dense{
			"b":    dense([]float32{1, 2}, 2, 1),
			"a":    dense([]uint8{1, 2, 3}, 3),
			"step": tensor.New(tensor.FromScalar(int64(7))),
			"<c>":  dense([]float32{1}, 1),
		},
		Metadata: map[string]string{"z": "1", "a": "2"},
	}
	var b bytes.Buffer
	if err := EncodeSafetensors(&b, f); err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(b.Bytes())
	header := string(b.Bytes()[8 : 8+n])
	want := `{"__metadata__":{"a":"2","z":"1"},` +
		`"step":{"dtype":"I64","shape":[],"data_offsets":[0,8]},` +
		`"<c>":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},` +
		`"b":{"dtype":"F32","shape":[2,1],"data_offsets":[12,20]},` +
		`"a":{"dtype":"U8","shape":[3],"data_offsets":[20,23]}}`
	if strings.TrimRight(header, " ") != want {
		t.Errorf("header\n%s\nwant\n%s", header, want)
	}
	if n%headerAlign != 0 {
		t.Errorf("the header has %d bytes, want a multiple of %d", n, headerAlign)
	}
	if got := b.Len(); got != 8+int(n)+23 {
		t.Errorf("%d bytes, want 8 + %d + 23", got, n)
	}
}

// raw makes a file of a header and n bytes of data.
func raw(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func TestSafetensorsAccepted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		header string
		data   int
		names  int
	}{
		{"no tensors", `{}`, 0, 0},
		{"no metadata", `{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8, 1},
		{"empty metadata", `{"__metadata__":{},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8, 1},
		{"padded", `{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}` + strings.Repeat(" ", 77), 8, 1},
		{"spaced", "{ \"w\" :\n\t{\"shape\": [ 2 ], \"data_offsets\": [0, 8], \"dtype\": \"F32\"} }\r\n", 8, 1},
		{"any order", `{"b":{"dtype":"U8","shape":[1],"data_offsets":[8,9]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 9, 2},
		{"unaligned data", `{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}`, 9, 2},
		{"scalar", `{"w":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}`, 8, 1},
	}
	for _, test := range tests {
		b := raw(test.header, test.data)
		f, err := DecodeSafetensors(bytes.NewReader(b), int64(len(b)))
		if err != nil || len(f.Tensors) != test.names {
			t.Errorf("%s: %v, error %v, want %d tensors", test.name, f, err, test.names)
		}
	}
}

func TestSafetensorsRefused(t *testing.T) {
	t.Parallel()
	w := func(entry string) string { return `{"w":{` + entry + `}}` }
	tests := []struct {
		name   string
		header string
		data   int
		text   string
	}{
		{"no object", `[]`, 0, "does not begin with '{'"},
		{"space before", ` {}`, 0, "does not begin with '{'"},
		{"cut off", `{"w":`, 0, "EOF"},
		{"more after", `{}{}`, 0, "more after"},
		{"not UTF-8", "{\"w\xff\":1}", 0, "not UTF-8"},
		{"no description", `{"w":1}`, 0, "tensor w: 1 instead of"},
		{"name twice", `{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1, `"w" comes twice`},
		{"name twice, escaped", `{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0077":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1, `"w" comes twice`},
		{"field twice", w(`"dtype":"U8","shape":[1],"data_offsets":[0,1],"shape":[1]`), 1, `"shape" comes twice`},
		{"field in capitals", w(`"DTYPE":"U8","shape":[1],"data_offsets":[0,1]`), 1, `unknown field "DTYPE"`},
		{"unknown field", w(`"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":0`), 1, `unknown field "x"`},
		{"no shape", w(`"dtype":"U8","data_offsets":[0,1]`), 1, "needs dtype, shape"},
		{"null shape", w(`"dtype":"U8","shape":null,"data_offsets":[0,1]`), 1, "instead of"},
		{"nested shape", w(`"dtype":"U8","shape":[[1]],"data_offsets":[0,1]`), 1, "instead of a number"},
		{"negative side", w(`"dtype":"U8","shape":[-1],"data_offsets":[0,1]`), 1, "-1 instead of a whole number"},
		{"fractional side", w(`"dtype":"U8","shape":[1.0],"data_offsets":[0,1]`), 1, "1.0 instead of a whole number"},
		{"side above 64 bits", w(`"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]`), 1, "instead of a whole number"},
		{"empty", w(`"dtype":"U8","shape":[2,0],"data_offsets":[0,0]`), 0, "2×0 has no elements"},
		{"overflow", w(`"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]`), 0, "overflows"},
		{"overflow by the element", w(`"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]`), 0, "overflows"},
		{"half precision", w(`"dtype":"BF16","shape":[1],"data_offsets":[0,2]`), 2, `type "BF16"; known are F32`},
		{"one offset", w(`"dtype":"U8","shape":[1],"data_offsets":[0]`), 1, "1 numbers, want 2"},
		{"backwards", w(`"dtype":"U8","shape":[1],"data_offsets":[1,0]`), 1, "lies at 1 to 0"},
		{"gap before", w(`"dtype":"U8","shape":[1],"data_offsets":[1,2]`), 2, "want it to begin at 0"},
		{"overlap", `{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3, "tensor b: its data lies at 1 to 3, want it to begin at 2"},
		{"past the end", w(`"dtype":"U8","shape":[9],"data_offsets":[0,9]`), 8, "cut off"},
		{"offsets above the shape", w(`"dtype":"F32","shape":[2],"data_offsets":[0,9]`), 9, "2 of F32 needs 8 bytes, the header gives it 9"},
		{"trailing data", w(`"dtype":"U8","shape":[1],"data_offsets":[0,1]`), 2, "1 bytes of data, the file 2"},
		{"metadata no object", `{"__metadata__":"x"}`, 0, "instead of"},
		{"metadata no string", `{"__metadata__":{"a":1}}`, 0, "1 instead of a string"},
		{"metadata twice", `{"__metadata__":{},"__metadata__":{}}`, 0, "comes twice"},
		{"metadata key twice", `{"__metadata__":{"a":"","a":""}}`, 0, `"a" comes twice`},
	}
	for _, test := range tests {
		b := raw(test.header, test.data)
		f, err := DecodeSafetensors(bytes.NewReader(b), int64(len(b)))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, error %v, want ErrFormat that says %q", test.name, f, err, test.text)
		}
	}
}

// TestSafetensorsHeaderLength: a claimed length is checked before memory is taken for it.
func TestSafetensorsHeaderLength(t *testing.T) {
	for _, n := range []uint64{3, maxHeader, maxHeader + 1, math.MaxInt64, math.MaxUint64} {
		b := append(binary.LittleEndian.AppendUint64(nil, n), "{}"...)
		var err error
		took := allocated(func() { _, err = DecodeSafetensors(bytes.NewReader(b), int64(len(b))) })
		if !errors.Is(err, ErrFormat) || took > 1<<16 {
			t.Errorf("length %d: error %v, %d bytes of memory, want ErrFormat and at most 64 KiB", n, err, took)
		}
	}
}
