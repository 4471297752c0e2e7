package weights

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"
)

// The weights of the preset cnn as Keras initialised them, in both formats.
const (
	kerasSafetensors = "testdata/M1_init.safetensors"
	kerasNPZ         = "testdata/M1_init.npz"
)

var cnnShapes = map[string]tensor.Shape{
	"conv2d/kernel":  {3, 3, 1, 8},
	"conv2d/bias":    {8},
	"dense/kernel":   {1352, 28},
	"dense/bias":     {28},
	"dense_1/kernel": {28, 10},
	"dense_1/bias":   {10},
}

// dense makes a tensor; values is a slice of as many elements as shape has.
func dense(values any, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
}

// sameTensor compares names, types, shapes and every bit, so that NaNs count.
func sameTensor(t *testing.T, name string, got, want *tensor.Dense) {
	t.Helper()
	if got == nil {
		t.Errorf("%s: missing", name)
		return
	}
	if got.Dtype() != want.Dtype() || !slices.Equal(got.Shape(), want.Shape()) {
		t.Errorf("%s: %v %v, want %v %v", name, got.Dtype(), got.Shape(), want.Dtype(), want.Shape())
		return
	}
	if got.RequiresIterator() || got.DataOrder().IsColMajor() {
		t.Errorf("%s: not row-major and contiguous", name)
	}
	var bits [2]bytes.Buffer
	for i, x := range []*tensor.Dense{got, want} {
		values, _, err := rowMajor(x)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeElements(&bits[i], values); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(bits[0].Bytes(), bits[1].Bytes()) {
		t.Errorf("%s: elements %v, want %v", name, got.Data(), want.Data())
	}
}

func sameTensors(t *testing.T, got, want map[string]*tensor.Dense) {
	t.Helper()
	if g, w := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(g, w) {
		t.Fatalf("names %q, want %q", g, w)
	}
	for name := range want {
		sameTensor(t, name, got[name], want[name])
	}
}

func readFile(t *testing.T, path string) *File {
	t.Helper()
	f, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestKerasFilesAgree(t *testing.T) {
	t.Parallel()
	a, b := readFile(t, kerasSafetensors), readFile(t, kerasNPZ)
	sameTensors(t, a.Tensors, b.Tensors)
	for _, f := range []*File{a, b} {
		if err := f.Match(cnnShapes); err != nil {
			t.Error(err)
		}
	}
	// Values seen in Python: the two readers must not share a mistake.
	kernel := a.Tensors["conv2d/kernel"]
	for _, want := range []struct {
		at    []int
		value float32
	}{
		{[]int{0, 0, 0, 0}, -0x1.0083ap-2},
		{[]int{0, 2, 0, 7}, -0x1.6f7338p-4},
		{[]int{2, 1, 0, 3}, -0x1.816bap-5},
	} {
		if got, err := kernel.At(want.at...); err != nil || got != want.value {
			t.Errorf("conv2d/kernel%v = %v (%v), want %v", want.at, got, err, want.value)
		}
	}
}

// everything is a file with each element type, ranks 0 to 5, odd values and awkward names.
func everything() *File {
	ramp := make([]float32, 20_000) // more than two chunks
	for i := range ramp {
		ramp[i] = float32(i) / 7
	}
	nan := math.Float32frombits(0x7fc12345)
	return &File{
		Tensors: map[string]*tensor.Dense{
			"conv2d/kernel":      dense(ramp, 5, 4, 10, 100),
			"conv2d/bias":        dense([]float32{nan, float32(math.Inf(-1)), float32(math.Copysign(0, -1)), 1e-45}, 4),
			"float64":            dense([]float64{math.Pi, math.MaxFloat64}, 2, 1),
			"int32":              dense([]int32{math.MinInt32, 7}, 2),
			"int64":              dense([]int64{math.MinInt64, 7, -1}, 1, 3),
			"uint32":             dense([]uint32{math.MaxUint32}, 1),
			"uint64":             dense([]uint64{math.MaxUint64, 1}, 2),
			"uint8":              dense([]uint8{0, 1, 255}, 1, 1, 3, 1, 1),
			"step":               tensor.New(tensor.FromScalar(int64(469))),
			"a name, with \"\\<": dense([]uint8{1}, 1),
			"größe/β":            dense([]float32{1, 2, 3, 4, 5, 6}, 2, 3),
		},
		Metadata: map[string]string{"format": "gcnn", "mean": "[0.5]", "": "", "näme": "line\n\"quoted\" <b>\x00"},
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := everything()

	path := filepath.Join(dir, "weights.bin") // the suffix does not matter
	if err := WriteSafetensors(path, want); err != nil {
		t.Fatal(err)
	}
	got := readFile(t, path)
	sameTensors(t, got.Tensors, want.Tensors)
	if !maps.Equal(got.Metadata, want.Metadata) {
		t.Errorf("metadata %q, want %q", got.Metadata, want.Metadata)
	}

	path = filepath.Join(dir, "weights.safetensors") // nor does a wrong one
	if err := WriteNPZ(path, want.Tensors); err != nil {
		t.Fatal(err)
	}
	sameTensors(t, readFile(t, path).Tensors, want.Tensors)
}

func TestLayoutsAreWrittenRowMajor(t *testing.T) {
	t.Parallel()
	values := func() []float32 { return []float32{1, 2, 3, 4, 5, 6} }
	transposed := dense(values(), 2, 3)
	if err := transposed.T(); err != nil {
		t.Fatal(err)
	}
	block := dense([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 3, 4)
	view, err := block.Slice(tensor.S(1, 3), tensor.S(1, 3))
	if err != nil {
		t.Fatal(err)
	}
	column, err := block.Slice(nil, tensor.S(2))
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]*tensor.Dense{
		"plain":      dense(values(), 2, 3),
		"transposed": transposed,
		"fortran":    tensor.New(tensor.WithShape(2, 3), tensor.AsFortran(values())),
		"view":       view.(*tensor.Dense),
		"column":     column.(*tensor.Dense),
	}
	want := map[string]*tensor.Dense{
		"plain":      dense(values(), 2, 3),
		"transposed": dense([]float32{1, 4, 2, 5, 3, 6}, 3, 2),
		"fortran":    dense(values(), 2, 3), // AsFortran takes row-major values and lays them out anew
		"view":       dense([]float32{6, 7, 10, 11}, 2, 2),
		"column":     dense([]float32{3, 7, 11}, 3),
	}
	var b bytes.Buffer
	if err := EncodeSafetensors(&b, &File{Tensors: in}); err != nil {
		t.Fatal(err)
	}
	got, err := Decode(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	sameTensors(t, got.Tensors, want)
}

func TestEqualContentEqualBytes(t *testing.T) {
	t.Parallel()
	var first [2][]byte
	for range 5 { // map order differs from run to run
		var st, npz bytes.Buffer
		if err := EncodeSafetensors(&st, everything()); err != nil {
			t.Fatal(err)
		}
		if err := EncodeNPZ(&npz, everything().Tensors); err != nil {
			t.Fatal(err)
		}
		if first[0] == nil {
			first = [2][]byte{st.Bytes(), npz.Bytes()}
		}
		if !bytes.Equal(st.Bytes(), first[0]) || !bytes.Equal(npz.Bytes(), first[1]) {
			t.Fatal("two encodings of the same content differ")
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	f := readFile(t, kerasSafetensors)
	with := func(name string, shape tensor.Shape) map[string]tensor.Shape {
		m := maps.Clone(cnnShapes)
		m[name] = shape
		return m
	}
	f64 := &File{Tensors: map[string]*tensor.Dense{"w": dense([]float64{1}, 1)}}
	fewer := maps.Clone(cnnShapes)
	delete(fewer, "dense/bias")
	tests := []struct {
		name  string
		file  *File
		want  map[string]tensor.Shape
		texts []string
	}{
		{"shape", f, with("dense/kernel", tensor.Shape{28, 1352}), []string{"dense/kernel is 1352×28, want 28×1352"}},
		{"rank", f, with("dense/bias", tensor.Shape{28, 1}), []string{"dense/bias is 28, want 28×1"}},
		{"missing", f, with("dense_2/bias", tensor.Shape{3}), []string{"dense_2/bias of 3 is missing"}},
		{"too much", f, fewer, []string{"dense/bias of 28 is not in the network"}},
		{"type", f64, map[string]tensor.Shape{"w": {1}}, []string{"w has elements of type float64, want float32"}},
		{"another network", f, map[string]tensor.Shape{"a": {1}, "b": {}}, []string{"a of 1 is missing", "b of a scalar is missing", "and 4 more"}},
	}
	for _, test := range tests {
		err := test.file.Match(test.want)
		if !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: error %v, want ErrMismatch", test.name, err)
			continue
		}
		for _, text := range test.texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: error %q, want it to say %q", test.name, err, text)
			}
		}
	}
}

func TestCheckFinite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float32
		want   string
	}{
		{[]float32{0, -1, math.MaxFloat32, -math.SmallestNonzeroFloat32}, ""},
		{[]float32{0, 1, float32(math.NaN()), 2}, "w: element 2 of 2×2 is NaN"},
		{[]float32{0, 1, 2, float32(math.Inf(-1))}, "w: element 3 of 2×2 is -Inf"},
	} {
		f := &File{Tensors: map[string]*tensor.Dense{"v": dense([]float32{1}, 1), "w": dense(c.values, 2, 2)}}
		err := f.Match(map[string]tensor.Shape{"v": {1}, "w": {2, 2}})
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrNonFinite) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: error %v, want %q", c.values, err, c.want)
		}
	}
}

func TestReadFileErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := ReadFile(filepath.Join(dir, "none.npz")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: error %v, want fs.ErrNotExist", err)
	}
	if _, err := ReadFile(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("folder: error %v, want one that names it", err)
	}
	for _, content := range []string{"", "x", "PK", "\x89HDF\r\n\x1a\n more of a Keras .h5 file", strings.Repeat("{", 20)} {
		path := filepath.Join(dir, "w.safetensors")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadFile(path)
		if !errors.Is(err, ErrFormat) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%q: error %v, want ErrFormat after the path", content, err)
		}
	}
}

// TestCutAndFlipped damages sound files: a cut one is always refused; a flipped byte is refused, or changes values and
// names only, but never the rest of the file, and never panics.
func TestCutAndFlipped(t *testing.T) {
	t.Parallel()
	small := &File{
		Tensors:  map[string]*tensor.Dense{"a": dense([]float32{1, 2, 3, 4, 5, 6}, 2, 3), "b": dense([]int64{9}, 1)},
		Metadata: map[string]string{"k": "v"},
	}
	var st, npz bytes.Buffer
	if err := EncodeSafetensors(&st, small); err != nil {
		t.Fatal(err)
	}
	if err := EncodeNPZ(&npz, small.Tensors); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for name, whole := range map[string][]byte{"safetensors": st.Bytes(), "npz": npz.Bytes()} {
		for n := range whole {
			if _, err := Decode(bytes.NewReader(whole[:n]), int64(n)); !errors.Is(err, ErrFormat) {
				t.Fatalf("%s cut to %d of %d bytes: error %v, want ErrFormat", name, n, len(whole), err)
			}
			flipped := slices.Clone(whole)
			flipped[n] ^= byte(1 + random.IntN(255))
			if f, err := Decode(bytes.NewReader(flipped), int64(len(flipped))); err == nil && len(f.Tensors) != 2 {
				t.Fatalf("%s with byte %d flipped: %d tensors, want 2", name, n, len(f.Tensors))
			}
		}
		longer := append(slices.Clone(whole), 0)
		if f, err := Decode(bytes.NewReader(longer), int64(len(longer))); name == "safetensors" && !errors.Is(err, ErrFormat) {
			t.Errorf("%s with a byte too much: %v, error %v, want ErrFormat", name, f, err)
		}
	}
}

// failingWriter is a disk with room for left bytes.
type failingWriter struct{ left int }

var errFull = errors.New("no space left on device")

func (w *failingWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestEncodeReportsFullDisk(t *testing.T) {
	t.Parallel()
	f := readFile(t, kerasSafetensors)
	for _, room := range []int{0, 5, 100, 1000, 150_000} {
		if err := EncodeSafetensors(&failingWriter{room}, f); !errors.Is(err, errFull) {
			t.Errorf("safetensors with room for %d bytes: error %v, want %v", room, err, errFull)
		}
		if err := EncodeNPZ(&failingWriter{room}, f.Tensors); !errors.Is(err, errFull) {
			t.Errorf("npz with room for %d bytes: error %v, want %v", room, err, errFull)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	ok := dense([]float32{1}, 1)
	tests := []struct {
		name     string
		file     File
		text     string
		npzTakes bool
	}{
		{"type", File{Tensors: map[string]*tensor.Dense{"w": dense([]complex64{1}, 1)}}, "tensor w: elements of type complex64", false},
		{"metadata's name", File{Tensors: map[string]*tensor.Dense{"__metadata__": ok}}, "__metadata__", true},
		{"name not UTF-8", File{Tensors: map[string]*tensor.Dense{"w\xff": ok}}, "UTF-8", false},
		{"metadata not UTF-8", File{Metadata: map[string]string{"k": "\xff"}}, "UTF-8", true},
	}
	for _, test := range tests {
		err := EncodeSafetensors(&bytes.Buffer{}, &test.file)
		if err == nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: error %v, want it to say %q", test.name, err, test.text)
		}
		if err := EncodeNPZ(&bytes.Buffer{}, test.file.Tensors); (err == nil) != test.npzTakes {
			t.Errorf("%s: NPZ: error %v", test.name, err)
		}
	}
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := map[string]*tensor.Dense{"a": dense([]float32{1}, 1), "w": dense([]complex64{1}, 1)}
	if err := WriteSafetensors(filepath.Join(dir, "w.safetensors"), &File{Tensors: bad}); err == nil {
		t.Error("safetensors: no error")
	}
	if err := WriteNPZ(filepath.Join(dir, "w.npz"), bad); err == nil {
		t.Error("npz: no error")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("folder holds %v (%v), want nothing", entries, err)
	}
}

func TestGather(t *testing.T) {
	t.Parallel()
	data := reflect.ValueOf([]int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
	tests := []struct {
		shape, strides []int
		want           []int32
	}{
		{[]int{12}, []int{1}, []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{[]int{2, 3, 2}, []int{1, 2, 6}, []int32{0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11}},
		{[]int{2, 2}, []int{4, 2}, []int32{0, 2, 4, 6}},
		{[]int{1, 3, 1}, []int{99, 4, 99}, []int32{0, 4, 8}},
	}
	for _, test := range tests {
		if got := gather(data, test.shape, test.strides); !slices.Equal(got.([]int32), test.want) {
			t.Errorf("shape %v, strides %v: %v, want %v", test.shape, test.strides, got, test.want)
		}
	}
}
