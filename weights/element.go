package weights

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"unsafe"

	"gorgonia.org/tensor"
)

// element is a type of array elements and its names in the formats.
type element struct {
	of          tensor.Dtype
	safetensors string
	npy         string // without the byte order
}

var elements = []element{
	{tensor.Float32, "F32", "f4"},
	{tensor.Float64, "F64", "f8"},
	{tensor.Int32, "I32", "i4"},
	{tensor.Int64, "I64", "i8"},
	{tensor.Uint8, "U8", "u1"},
	{tensor.Uint32, "U32", "u4"},
	{tensor.Uint64, "U64", "u8"},
}

// size in bytes.
func (e element) size() uint64 { return uint64(e.of.Size()) }

// elementNamed finds the type that has this name under key.
func elementNamed(name string, key func(element) string) (element, error) {
	i := slices.IndexFunc(elements, func(e element) bool { return key(e) == name })
	if i < 0 {
		known := make([]string, len(elements))
		for i, e := range elements {
			known[i] = key(e)
		}
		return element{}, fmt.Errorf("elements of type %q; known are %s", name, strings.Join(known, " "))
	}
	return elements[i], nil
}

// count multiplies a shape out: the number of elements and of bytes. It refuses what overflows, and what is empty: no
// layer has such weights, and package tensor cannot hold them.
func count(shape []uint64, e element) (n int, bytes uint64, err error) {
	bytes = e.size()
	for _, side := range shape {
		if side == 0 {
			return 0, 0, fmt.Errorf("a shape of %s has no elements", shapeString(shape))
		}
		if bytes > math.MaxInt/side {
			return 0, 0, fmt.Errorf("a shape of %s overflows", shapeString(shape))
		}
		bytes *= side
	}
	return int(bytes / e.size()), bytes, nil
}

// chunk is how many elements are converted between bytes and numbers at a time.
const chunk = 1 << 13

// readTensor reads the elements of a row-major tensor. The caller has checked that r can hold so many.
func readTensor(r io.Reader, order binary.ByteOrder, e element, shape []uint64) (*tensor.Dense, error) {
	n, _, err := count(shape, e)
	if err != nil {
		return nil, err
	}
	backing := reflect.MakeSlice(reflect.SliceOf(e.of.Type), n, n)
	if order == native { // the bytes are the elements
		raw := unsafe.Slice((*byte)(backing.UnsafePointer()), n*int(e.size()))
		if _, err := io.ReadFull(r, raw); err != nil {
			return nil, fmt.Errorf("read %d elements: %w", n, err)
		}
		return tensor.New(tensor.WithShape(sidesOf(shape)...), tensor.WithBacking(backing.Interface())), nil
	}
	buf := make([]byte, min(n, chunk)*int(e.size()))
	for i := 0; i < n; i += chunk {
		part := backing.Slice(i, min(i+chunk, n))
		raw := buf[:part.Len()*int(e.size())]
		if _, err := io.ReadFull(r, raw); err != nil {
			return nil, fmt.Errorf("read element %d of %d: %w", i, n, err)
		}
		if _, err := binary.Decode(raw, order, part.Interface()); err != nil {
			return nil, err
		}
	}
	return tensor.New(tensor.WithShape(sidesOf(shape)...), tensor.WithBacking(backing.Interface())), nil
}

func sidesOf(shape []uint64) []int {
	sides := make([]int, len(shape))
	for i, side := range shape {
		sides[i] = int(side)
	}
	return sides
}

// native is this machine's byte order.
var native = nativeOrder()

func nativeOrder() binary.ByteOrder {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

// WriteElements writes a tensor's elements, row-major and in little-endian order.
func WriteElements(w io.Writer, t *tensor.Dense) error {
	values, _, err := rowMajor(t)
	if err != nil {
		return err
	}
	return writeElements(w, values)
}

// writeElements writes values, a slice of any element type, in little-endian order.
func writeElements(w io.Writer, values any) error {
	v := reflect.ValueOf(values)
	if native == binary.LittleEndian { // the elements are the bytes
		_, err := w.Write(unsafe.Slice((*byte)(v.UnsafePointer()), v.Len()*int(v.Type().Elem().Size())))
		return err
	}
	var buf []byte
	for i := 0; i < v.Len(); i += chunk {
		var err error
		buf, err = binary.Append(buf[:0], binary.LittleEndian, v.Slice(i, min(i+chunk, v.Len())).Interface())
		if err != nil {
			return err
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// rowMajor returns the elements of t as a row-major slice: its own memory where it is laid out so, else a copy.
func rowMajor(t *tensor.Dense) (any, element, error) {
	i := slices.IndexFunc(elements, func(e element) bool { return e.of == t.Dtype() })
	if i < 0 {
		return nil, element{}, fmt.Errorf("elements of type %v cannot be written", t.Dtype())
	}
	data := reflect.ValueOf(t.Data())
	if data.Kind() != reflect.Slice { // package tensor hands out a scalar as a bare number
		one := reflect.MakeSlice(reflect.SliceOf(data.Type()), 1, 1)
		one.Index(0).Set(data)
		return one.Interface(), elements[i], nil
	}
	if t.RequiresIterator() || t.DataOrder().IsColMajor() {
		return gather(data, t.Shape(), t.Strides()), elements[i], nil
	}
	return data.Interface(), elements[i], nil
}

// gather copies the elements of a strided array into a new row-major slice. Strides count elements.
func gather(data reflect.Value, shape, strides []int) any {
	n := 1
	for _, side := range shape {
		n *= side
	}
	out := reflect.MakeSlice(data.Type(), n, n)
	index := make([]int, len(shape))
	from := 0
	for to := range n {
		out.Index(to).Set(data.Index(from))
		for axis := len(shape) - 1; axis >= 0; axis-- {
			index[axis]++
			from += strides[axis]
			if index[axis] < shape[axis] {
				break
			}
			from -= index[axis] * strides[axis]
			index[axis] = 0
		}
	}
	return out.Interface()
}
