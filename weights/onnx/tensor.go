package onnx

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"gorgonia.org/tensor"
)

// encodeTensor is a TensorProto of float32.
func encodeTensor(name string, dims []int, values []float32) message {
	const head = 64 // about what stands before the data
	m := make(message, 0, head+len(name)+4*len(values))
	for _, d := range dims {
		m.int(tensorDims, int64(d))
	}
	m.int(tensorType, typeFloat)
	m.string(tensorName, name)
	m = protowire.AppendTag(m, tensorRaw, protowire.BytesType)
	m = protowire.AppendVarint(m, uint64(4*len(values)))
	for _, v := range values {
		m = binary.LittleEndian.AppendUint32(m, math.Float32bits(v))
	}
	return m
}

// encodeInts is a TensorProto of int64 with one dimension.
func encodeInts(name string, values []int64) message {
	var m message
	m.int(tensorDims, int64(len(values)))
	m.int(tensorType, typeInt64)
	m.string(tensorName, name)
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	m.bytes(tensorRaw, raw)
	return m
}

// floats returns the row-major elements of a tensor, where they lie if it can.
func floats(t *tensor.Dense) ([]float32, error) {
	if t.RequiresIterator() || t.DataOrder().IsColMajor() {
		m, ok := t.Materialize().(*tensor.Dense)
		if !ok {
			return nil, fmt.Errorf("a tensor of %v cannot be read", t.Shape())
		}
		t = m
	}
	switch v := t.Data().(type) {
	case []float32:
		return v, nil
	case float32: // package tensor hands out a scalar as a bare number
		return []float32{v}, nil
	}
	return nil, fmt.Errorf("its elements are %v, want float32", t.Dtype())
}

// constant is a tensor whose floats the file holds.
type constant struct {
	dims []int
	f    []float32
}

// integers is a tensor of integers, of which shapes are computed. One of them may stand for the batch, which is not known.
type integers struct {
	dims []int
	v    []integer
}

type integer struct {
	n     int64
	batch bool
}

// maxIntegers bounds a tensor of integers; a shape has a handful.
const maxIntegers = 1 << 10

// take accounts for n floats of memory. What a network needs is what its file holds, but for copies in another order and for
// constants that several layers share.
func (b *builder) take(n int) error {
	const slack = 16 << 20
	if n > b.size+slack-b.taken { // four times the file, since a float has four bytes
		return unsupported("its weights take far more memory than the file's %d bytes", b.size)
	}
	b.taken += n
	return nil
}

// elements is the number of elements of a tensor.
func (t *tensorProto) elements() (dims []int, n int, err error) {
	n = 1
	for _, d := range t.dims {
		if d < 0 || (d > 0 && n > math.MaxInt32/int(min(d, math.MaxInt32))) {
			return nil, 0, formatError("tensor %q has the shape %v", t.name, t.dims)
		}
		n *= int(d)
		dims = append(dims, int(d))
	}
	return dims, n, nil
}

// bytes returns the raw data of a tensor of n elements of size bytes; nil where it is stored otherwise.
func (b *builder) bytes(t *tensorProto, n, size int) ([]byte, error) {
	raw := t.raw
	if t.external != nil {
		if b.files == nil {
			return nil, unsupported("tensor %q lies in another file: read it with its folder", t.name)
		}
		var err error
		if raw, err = b.files.read(t, int64(n)*int64(size)); err != nil {
			return nil, err
		}
		b.size += len(raw)
		t.raw, t.external = raw, nil // read once
	}
	if raw != nil && len(raw) != n*size {
		return nil, formatError("tensor %q: a shape of %v needs %d bytes, it has %d", t.name, t.dims, n*size, len(raw))
	}
	return raw, nil
}

// constant decodes the floats of a tensor.
func (b *builder) constant(t *tensorProto) (*constant, error) {
	dims, n, err := t.elements()
	if err != nil {
		return nil, err
	}
	size := 4
	if t.kind == typeDouble {
		size = 8
	} else if t.kind != typeFloat {
		return nil, unsupported("tensor %q has elements of type %d; weights are float32 (type 1)", t.name, t.kind)
	}
	raw, err := b.bytes(t, n, size)
	if err != nil {
		return nil, err
	}
	if have := max(len(raw)/size, len(t.floats), len(t.doubles)); have != n {
		return nil, formatError("tensor %q: a shape of %v has %d elements, the file has %d", t.name, t.dims, n, have)
	}
	if err := b.take(n); err != nil {
		return nil, err
	}
	c := &constant{dims, make([]float32, n)}
	for i := range c.f {
		switch {
		case t.kind == typeDouble && raw != nil:
			c.f[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:])))
		case t.kind == typeDouble && len(t.doubles) == n:
			c.f[i] = float32(t.doubles[i])
		case raw != nil:
			c.f[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		case len(t.floats) == n:
			c.f[i] = t.floats[i]
		default:
			return nil, formatError("tensor %q: its elements are stored as another type", t.name)
		}
	}
	return c, nil
}

// integers decodes a tensor of int64, int32 or bool.
func (b *builder) integers(t *tensorProto) (*integers, error) {
	dims, n, err := t.elements()
	if err != nil {
		return nil, err
	}
	if n > maxIntegers {
		return nil, unsupported("tensor %q has %d integers", t.name, n)
	}
	size := map[int64]int{typeInt64: 8, typeInt32: 4, typeBool: 1}[t.kind]
	raw, err := b.bytes(t, n, size)
	if err != nil {
		return nil, err
	}
	if raw == nil && len(t.ints) != n {
		return nil, formatError("tensor %q: a shape of %v has %d elements, the file has %d", t.name, t.dims, n, len(t.ints))
	}
	out := &integers{dims, make([]integer, n)}
	for i := range out.v {
		switch {
		case raw == nil:
			out.v[i].n = t.ints[i]
		case size == 8:
			out.v[i].n = int64(binary.LittleEndian.Uint64(raw[8*i:]))
		case size == 4:
			out.v[i].n = int64(int32(binary.LittleEndian.Uint32(raw[4*i:])))
		default:
			out.v[i].n = int64(raw[i])
		}
	}
	return out, nil
}

// isIntegers reports whether a tensor holds numbers of which shapes are computed.
func (t *tensorProto) isIntegers() bool {
	return t.kind == typeInt64 || t.kind == typeInt32 || t.kind == typeBool
}

// externalFiles reads tensors that lie beside the ONNX file.
type externalFiles struct {
	folder *os.Root
	left   map[string]int64 // bytes of a file that no tensor has taken
}

// read returns the data of a tensor. A path that leads out of the folder is refused, and so is data that two tensors claim, with
// which a small file could fill memory.
func (e *externalFiles) read(t *tensorProto, size int64) ([]byte, error) {
	location := t.external["location"]
	if strings.Contains(location, "\\") || location != path.Clean(location) || !filepath.IsLocal(location) {
		return nil, unsupported("tensor %q lies in %q, which is no plain path within the file's folder", t.name, location)
	}
	offset, err := externalNumber(t, "offset", 0)
	if err != nil {
		return nil, err
	}
	length, err := externalNumber(t, "length", size)
	if err != nil {
		return nil, err
	}
	if length != size {
		return nil, formatError("tensor %q needs %d bytes, of %s it takes %d", t.name, size, location, length)
	}
	f, err := e.folder.Open(location)
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, formatError("tensor %q: %s is no regular file", t.name, location)
	}
	if offset > info.Size() || length > info.Size()-offset {
		return nil, formatError("tensor %q lies at %d to %d of %s, which has %d bytes", t.name, offset, offset+length, location, info.Size())
	}
	if e.left == nil {
		e.left = map[string]int64{}
	}
	if _, known := e.left[location]; !known {
		e.left[location] = info.Size()
	}
	if e.left[location] -= length; e.left[location] < 0 {
		return nil, formatError("the tensors in %s overlap", location)
	}
	raw := make([]byte, length)
	if _, err := io.ReadFull(io.NewSectionReader(f, offset, length), raw); err != nil {
		return nil, fmt.Errorf("tensor %q: read %s: %w", t.name, location, err)
	}
	return raw, nil
}

func externalNumber(t *tensorProto, key string, otherwise int64) (int64, error) {
	text, ok := t.external[key]
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/2 {
		return 0, formatError("tensor %q: its %s is %q", t.name, key, text)
	}
	return n, nil
}

// permute transposes a constant: axis i of the result is axis perm[i] of c.
func (b *builder) permute(c *constant, perm []int) (*constant, error) {
	if err := b.take(len(c.f)); err != nil {
		return nil, err
	}
	rank := len(c.dims)
	strides, stride := make([]int, rank), 1
	for i := rank - 1; i >= 0; i-- {
		strides[i] = stride
		stride *= c.dims[i]
	}
	out := &constant{make([]int, rank), make([]float32, len(c.f))}
	steps := make([]int, rank)
	for i, p := range perm {
		out.dims[i], steps[i] = c.dims[p], strides[p]
	}
	index, from := make([]int, rank), 0
	for to := range out.f {
		out.f[to] = c.f[from]
		for axis := rank - 1; axis >= 0; axis-- {
			index[axis]++
			from += steps[axis]
			if index[axis] < out.dims[axis] {
				break
			}
			from -= index[axis] * steps[axis]
			index[axis] = 0
		}
	}
	return out, nil
}
