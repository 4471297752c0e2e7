// Package weights reads and writes named arrays: trained weights and checkpoints.
//
// Two formats are known. Safetensors is gcnn's own: a JSON header and raw little-endian data, with a map of strings for
// whatever else belongs to the weights. NPZ is what numpy's savez writes. Names, shapes and layouts are Keras':
// conv2d/kernel is height × width × input channels × filters, dense/kernel is inputs × units, all row-major.
//
// Files come from strangers: each size that a file claims is checked against the file itself before memory is taken,
// and anything that does not add up is an error that wraps [ErrFormat].
package weights

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"gorgonia.org/tensor"
)

var (
	// ErrFormat is wrapped by every error about a file that is damaged, or not in a known format.
	ErrFormat = errors.New("not a valid weights file")
	// ErrMismatch is wrapped by the errors of [File.Match]: the file is sound, but for another network.
	ErrMismatch = errors.New("the weights do not fit the network")
	// ErrNonFinite is wrapped by errors about weights that are NaN or infinite, as a training that came to nothing leaves them.
	ErrNonFinite = errors.New("the weights are not all finite")
)

// File is the content of a weights file.
type File struct {
	// Tensors holds the arrays by name. Their elements are float32 for weights; float64, int32, int64, uint8, uint32
	// and uint64 serve checkpoints. Each has at least one element; the layout is row-major and contiguous after
	// reading, and may be any (a view, a transpose) for writing.
	Tensors map[string]*tensor.Dense
	// Metadata is free text by name. NPZ has no place for it, so that it is nil after reading one.
	Metadata map[string]string
}

// maxTensors bounds the memory for names and shapes. A residual network of a thousand layers, with optimiser slots,
// stays below 20,000.
const maxTensors = 1 << 16

// ReadFile reads a safetensors or NPZ file, told apart by content. Errors begin with the path.
func ReadFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // names the path already
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: it is no regular file", path, ErrFormat)
	}
	file, err := Decode(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// Decode reads size bytes of either format, told apart by content.
func Decode(r io.ReaderAt, size int64) (*File, error) {
	var start [9]byte
	n, err := r.ReadAt(start[:min(size, int64(len(start)))], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	// The byte is the compression method in a zip archive, which is never '{', so that the two cannot be confused.
	case n == len(start) && start[8] == '{':
		return DecodeSafetensors(r, size)
	case strings.HasPrefix(string(start[:n]), "PK"):
		tensors, err := DecodeNPZ(r, size)
		if err != nil {
			return nil, err
		}
		return &File{Tensors: tensors}, nil
	}
	return nil, fmt.Errorf("%w: %d bytes that are neither safetensors nor NPZ", ErrFormat, size)
}

// Match checks that f holds float32 tensors of exactly these names and shapes. Its error wraps [ErrMismatch] and names
// what is missing, what is too much and what has another shape or type; of weights that fit but are not finite it is that of
// [CheckFinite].
func (f *File) Match(want map[string]tensor.Shape) error {
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(want)) {
		t, ok := f.Tensors[name]
		switch {
		case !ok:
			faults = append(faults, fmt.Sprintf("%s of %s is missing", name, shapeString(want[name])))
		case t.Dtype() != tensor.Float32:
			faults = append(faults, fmt.Sprintf("%s has elements of type %v, want float32", name, t.Dtype()))
		case !slices.Equal(t.Shape(), want[name]):
			faults = append(faults, fmt.Sprintf("%s is %s, want %s", name, shapeString(t.Shape()), shapeString(want[name])))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Tensors)) {
		if _, ok := want[name]; !ok {
			faults = append(faults, fmt.Sprintf("%s of %s is not in the network", name, shapeString(f.Tensors[name].Shape())))
		}
	}
	const show = 4 // of a wrong network, all names are wrong
	if len(faults) > show {
		faults = append(faults[:show], fmt.Sprintf("and %d more", len(faults)-show))
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: %s", ErrMismatch, strings.Join(faults, "; "))
	}
	return CheckFinite(f.Tensors)
}

// CheckFinite names the first float32 tensor with an element that is NaN or infinite: a device may compute finite outputs from
// it, for a ReLU may make 0 of NaN. The error wraps [ErrNonFinite].
func CheckFinite(tensors map[string]*tensor.Dense) error {
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		values, _, err := rowMajor(tensors[name])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		v, ok := values.([]float32)
		if !ok {
			continue
		}
		var carry uint32 // to the highest bit, from an exponent of ones
		for _, x := range v {
			carry |= math.Float32bits(x)&0x7f800000 + 1<<23
		}
		if carry>>31 == 0 {
			continue
		}
		i := slices.IndexFunc(v, func(x float32) bool { return x-x != 0 })
		return fmt.Errorf("%w: %s: element %d of %s is %v", ErrNonFinite, name, i, shapeString(tensors[name].Shape()), v[i])
	}
	return nil
}

// shapeString writes a shape as 3×3×1×8, and one without axes as "a scalar".
func shapeString[T int | uint64](shape []T) string {
	if len(shape) == 0 {
		return "a scalar"
	}
	sides := make([]string, len(shape))
	for i, n := range shape {
		sides[i] = fmt.Sprint(n)
	}
	return strings.Join(sides, "×")
}
