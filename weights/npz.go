package weights

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"gcnn/internal/atomicfile"

	"codeberg.org/sbinet/npyio/npy"
	"gorgonia.org/tensor"
)

// An NPZ file is a zip archive of NAME.npy files, each a short text header and raw data:
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
const (
	npyExt       = ".npy"
	maxNPYHeader = 1 << 16 // what version 1.0 of the format can have; only tables of named columns need more

	// An archive may expand to maxExpansion times its size, or to freeExpansion where that is more. Trained weights
	// hardly compress; optimiser slots before the first step are zero, which deflate shrinks a thousandfold, but they
	// come with weights that are not.
	maxExpansion  = 100
	freeExpansion = 64 << 20
)

// DecodeNPZ reads size bytes of a zip archive of arrays, stored or deflated. An array in Fortran (column-major) order
// is returned row-major, and one of big-endian numbers as the machine's own. An archive that expands to more than 100
// times its size (and 64 MiB) is refused.
func DecodeNPZ(r io.ReaderAt, size int64) (map[string]*tensor.Dense, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(archive.File) > maxTensors {
		return nil, fmt.Errorf("%w: %d arrays, at most %d are allowed", ErrFormat, len(archive.File), maxTensors)
	}
	limit := uint64(max(freeExpansion, maxExpansion*size))
	left := limit
	for _, member := range archive.File {
		if member.UncompressedSize64 > left {
			return nil, fmt.Errorf("%w: %d bytes of archive claim to expand to more than %d", ErrFormat, size, limit)
		}
		left -= member.UncompressedSize64
	}
	tensors := make(map[string]*tensor.Dense, len(archive.File))
	for _, member := range archive.File {
		name, ok := strings.CutSuffix(member.Name, npyExt)
		if !ok {
			return nil, fmt.Errorf("%w: %q in the archive is not a %s file", ErrFormat, member.Name, npyExt)
		}
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("%w: %q in the archive is not UTF-8", ErrFormat, name)
		}
		if _, twice := tensors[name]; twice {
			return nil, fmt.Errorf("%w: array %s comes twice", ErrFormat, name)
		}
		if tensors[name], err = readMember(member); err != nil {
			return nil, fmt.Errorf("array %s: %w", name, err)
		}
	}
	return tensors, nil
}

// readMember reads one array of an archive.
func readMember(member *zip.File) (*tensor.Dense, error) {
	rc, err := member.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer rc.Close()
	r := bufio.NewReader(rc)
	header, length, err := readNPYHeader(r)
	if err != nil {
		return nil, err
	}
	e, order, err := parseDescr(header.Descr.Type)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	shape := make([]uint64, len(header.Descr.Shape))
	for i, side := range header.Descr.Shape {
		if side < 0 {
			return nil, fmt.Errorf("%w: a side of %d", ErrFormat, side)
		}
		shape[i] = uint64(side)
	}
	_, bytes, err := count(shape, e)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if have := member.UncompressedSize64 - min(member.UncompressedSize64, length); have != bytes {
		return nil, fmt.Errorf("%w: %s of %s needs %d bytes, the archive has %d", ErrFormat, shapeString(shape), e.npy, bytes, have)
	}
	if header.Descr.Fortran {
		slices.Reverse(shape)
	}
	t, err := readTensor(r, order, e, shape)
	if err == nil {
		// Reading up to the end is what makes package zip compare the checksum.
		if _, err = r.ReadByte(); errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			err = errors.New("there is more data than the archive said")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if header.Descr.Fortran {
		return transpose(t), nil
	}
	return t, nil
}

// readNPYHeader reads the header and returns it with its length in bytes.
func readNPYHeader(r *bufio.Reader) (header npy.Header, length uint64, err error) {
	// npyio takes memory for whatever length the header claims, so that is looked at first.
	start, err := r.Peek(12)
	if err != nil || string(start[:6]) != string(npy.Magic[:]) {
		return header, 0, fmt.Errorf("%w: it does not begin as a %s file", ErrFormat, npyExt)
	}
	switch start[6] {
	case 1:
		length = 10 + uint64(binary.LittleEndian.Uint16(start[8:]))
	default: // npyio refuses versions above 2, which differ in the names of table columns only
		length = 12 + uint64(binary.LittleEndian.Uint32(start[8:]))
	}
	if length > maxNPYHeader {
		return header, 0, fmt.Errorf("%w: a header of %d bytes, at most %d are allowed", ErrFormat, length, maxNPYHeader)
	}
	// npyio indexes the text without looking, and panics where a key or a bracket is missing.
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%w: the header cannot be parsed", ErrFormat)
		}
	}()
	parsed, err := npy.NewReader(r)
	if err != nil {
		return header, 0, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return parsed.Header, length, nil
}

// parseDescr parses an element type such as '<f4', with its quotes as npyio returns it.
func parseDescr(quoted string) (element, binary.ByteOrder, error) {
	descr := strings.Trim(quoted, `'"`)
	var order binary.ByteOrder = binary.LittleEndian
	rest := strings.TrimLeft(descr, "<>|")
	switch descr[:len(descr)-len(rest)] {
	case "<":
	case "|": // no order: single bytes
		if rest != "u1" {
			return element{}, nil, fmt.Errorf("elements of type %q without a byte order", descr)
		}
	case ">":
		order = binary.BigEndian
	default:
		return element{}, nil, fmt.Errorf("elements of type %q", descr)
	}
	e, err := elementNamed(rest, func(e element) string { return e.npy })
	return e, order, err
}

// transpose reverses the axes of a row-major tensor: it turns column-major data, read as if it were row-major with the
// sides reversed, into what it is.
func transpose(t *tensor.Dense) *tensor.Dense {
	if t.Dims() < 2 {
		return t
	}
	shape := slices.Clone(t.Shape())
	strides := slices.Clone(t.Strides())
	slices.Reverse(shape)
	slices.Reverse(strides)
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(gather(reflect.ValueOf(t.Data()), shape, strides)))
}

// WriteNPZ writes tensors to the file path, which is whole or absent at any moment. Equal content gives equal bytes.
func WriteNPZ(path string, tensors map[string]*tensor.Dense) error {
	return atomicfile.Write(path, 0o666, func(w io.Writer) error { return EncodeNPZ(w, tensors) })
}

// EncodeNPZ writes tensors as numpy's savez does: sorted by name, stored without compression, row-major and
// little-endian. Equal content gives equal bytes.
func EncodeNPZ(w io.Writer, tensors map[string]*tensor.Dense) error {
	if len(tensors) > maxTensors {
		return fmt.Errorf("%d arrays are too many, at most %d can be written", len(tensors), maxTensors)
	}
	archive := zip.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		if err := writeMember(archive, name, tensors[name]); err != nil {
			return fmt.Errorf("array %s: %w", name, err)
		}
	}
	return archive.Close()
}

// writeMember writes one array. The header is written here, since npyio takes the shape from the Go type, and a tensor
// would have to be copied into nested slices first.
func writeMember(archive *zip.Writer, name string, t *tensor.Dense) error {
	values, e, err := rowMajor(t)
	if err != nil {
		return err
	}
	if !utf8.ValidString(name) {
		return errors.New("the name is not UTF-8")
	}
	w, err := archive.CreateHeader(&zip.FileHeader{Name: name + npyExt, Method: zip.Store})
	if err != nil {
		return err
	}
	shape := strings.ReplaceAll(strings.Trim(fmt.Sprint([]int(t.Shape())), "[]"), " ", ", ")
	if t.Dims() == 1 {
		shape += "," // else Python reads a number
	}
	order := "<"
	if e.size() == 1 {
		order = "|"
	}
	text := fmt.Sprintf("{'descr': '%s%s', 'fortran_order': False, 'shape': (%s), }",
		order, e.npy, shape)
	const align = 64 // of the data, counting from the magic
	pad := align - (10+len(text)+1)%align
	header := append([]byte{}, npy.Magic[:]...)
	header = append(header, 1, 0)
	header = binary.LittleEndian.AppendUint16(header, uint16(len(text)+pad+1))
	header = append(header, text...)
	header = append(header, strings.Repeat(" ", pad)+"\n"...)
	if _, err := w.Write(header); err != nil {
		return err
	}
	return writeElements(w, values)
}
