package data

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"codeberg.org/sbinet/npyio/npy"
)

// maxNPYHeader is the longest text header of an array that is read. NumPy writes 118 bytes for an array of images.
const maxNPYHeader = 1 << 16

// ReadNPZ reads the NumPy archive that Keras' own sets come in: x_train, y_train, x_test and y_test. Images are
// [N][H][W] or [N][H][W][C] of uint8, float32 or float64 (kept as float32); labels are whole numbers, [N] or [N][1].
// test is nil where the archive has neither x_test nor y_test.
func ReadNPZ(file string) (train, test *Set, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %w: not a regular file", file, ErrFormat)
	}
	train, test, err = decodeNPZ(f, info.Size())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	train.Name = name + " train"
	if test != nil {
		test.Name = name + " test"
	}
	return train, test, nil
}

func decodeNPZ(r io.ReaderAt, size int64) (train, test *Set, err error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	members := map[string]*zip.File{}
	for _, m := range archive.File {
		if _, twice := members[m.Name]; twice {
			return nil, nil, fmt.Errorf("%w: the archive holds %s twice", ErrFormat, m.Name)
		}
		members[m.Name] = m
	}
	var trainErr, testErr error
	var wg sync.WaitGroup
	wg.Go(func() { train, trainErr = npzSet(members, "train", size) })
	if members["x_test.npy"] != nil || members["y_test.npy"] != nil {
		wg.Go(func() { test, testErr = npzSet(members, "test", size) })
	}
	wg.Wait()
	if err := errors.Join(trainErr, testErr); err != nil {
		return nil, nil, err
	}
	sets := []*Set{train}
	if test != nil {
		sets = append(sets, test)
		if test.Height != train.Height || test.Width != train.Width || test.Channels != train.Channels || (test.Floats == nil) != (train.Floats == nil) {
			return nil, nil, fmt.Errorf("%w: x_train holds %s, x_test %s", ErrFormat, describe(train), describe(test))
		}
		test.Classes = train.Classes
	}
	for _, s := range sets {
		if err := s.Validate(); err != nil {
			return nil, nil, err
		}
	}
	return train, test, nil
}

func describe(s *Set) string {
	kind := "uint8"
	if s.Floats != nil {
		kind = "float"
	}
	return fmt.Sprintf("%d×%d×%d images of %s", s.Height, s.Width, s.Channels, kind)
}

func npzSet(members map[string]*zip.File, part string, size int64) (*Set, error) {
	s := &Set{Name: part, Channels: 1}
	err := npzArray(members, "x_"+part, size, func(a *npyArray) error {
		if len(a.shape) != 3 && len(a.shape) != 4 {
			return fmt.Errorf("%w: shape %s, expected images×height×width or images×height×width×channels", ErrFormat, shapeText(a.shape))
		}
		s.Height, s.Width = a.shape[1], a.shape[2]
		if len(a.shape) == 4 {
			s.Channels = a.shape[3]
		}
		switch a.kind {
		case "u1":
			pixels, err := readGrowing(a.r, a.count, a.start, func([]byte) {})
			s.Pixels = pixels
			return err
		case "f4", "f8":
			s.Floats = make([]float32, 0, a.start)
			return a.each(func(b []byte) error {
				s.Floats = append(s.Floats, float32(a.float(b)))
				return nil
			})
		}
		return fmt.Errorf("%w: elements of type %q, expected uint8, float32 or float64", ErrFormat, a.descr)
	})
	if err != nil {
		return nil, err
	}
	largest := uint64(0)
	err = npzArray(members, "y_"+part, size, func(a *npyArray) error {
		if len(a.shape) != 1 && (len(a.shape) != 2 || a.shape[1] != 1) {
			return fmt.Errorf("%w: shape %s, expected one whole number an image", ErrFormat, shapeText(a.shape))
		}
		if a.kind[0] != 'u' && a.kind[0] != 'i' {
			return fmt.Errorf("%w: elements of type %q, expected whole numbers", ErrFormat, a.descr)
		}
		s.Labels = make([]uint16, 0, a.start)
		return a.each(func(b []byte) error {
			label, negative := a.integer(b)
			if negative || label >= MaxClasses {
				return fmt.Errorf("%w: label %d of image %d is out of range, expected 0 to %d", ErrFormat, int64(label), len(s.Labels), MaxClasses-1)
			}
			largest = max(largest, label)
			s.Labels = append(s.Labels, uint16(label))
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	for i := range largest + 1 {
		s.Classes = append(s.Classes, strconv.FormatUint(i, 10))
	}
	if s.Len() != len(s.Labels) {
		return nil, fmt.Errorf("%w: x_%s holds %d images but y_%s %d labels", ErrFormat, part, s.Len(), part, len(s.Labels))
	}
	return s, nil
}

// An npyArray is an array whose header has been read and found to agree with the size of its file.
type npyArray struct {
	r     io.Reader
	descr string // the element type as written, such as <f4
	kind  string // the same without its byte order
	order binary.ByteOrder
	shape []int // each side at least 1
	count int   // of elements
	start int   // elements to take memory for before they have arrived
}

// each calls f with the bytes of one element after another.
func (a *npyArray) each(f func([]byte) error) error {
	size := int(a.kind[1] - '0')
	buf := make([]byte, 8192)
	for left := a.count * size; left > 0; {
		piece := buf[:min(left, len(buf))]
		if _, err := io.ReadFull(a.r, piece); err != nil {
			return err
		}
		for i := 0; i < len(piece); i += size {
			if err := f(piece[i : i+size]); err != nil {
				return err
			}
		}
		left -= len(piece)
	}
	return nil
}

func (a *npyArray) float(b []byte) float64 {
	if len(b) == 4 {
		return float64(math.Float32frombits(a.order.Uint32(b)))
	}
	return math.Float64frombits(a.order.Uint64(b))
}

// integer returns a whole number's bits, sign-extended where its type has a sign.
func (a *npyArray) integer(b []byte) (bits uint64, negative bool) {
	for i := range b {
		if a.order == binary.BigEndian {
			bits = bits<<8 | uint64(b[i])
		} else {
			bits |= uint64(b[i]) << (8 * i)
		}
	}
	if a.kind[0] == 'i' {
		shift := 64 - 8*len(b)
		signed := int64(bits<<shift) >> shift
		return uint64(signed), signed < 0
	}
	return bits, false
}

// npzArray opens an array of the archive, checks that its header, the archive's directory and the archive's size agree
// before memory is taken, and lets read take the elements.
func npzArray(members map[string]*zip.File, name string, size int64, read func(*npyArray) error) error {
	m := members[name+".npy"]
	if m == nil {
		return fmt.Errorf("%w: the archive holds no array %s", ErrFormat, name)
	}
	rc, err := m.Open()
	if err != nil {
		return fmt.Errorf("%s: %w: %w", name, ErrFormat, err)
	}
	defer rc.Close()
	if m.CompressedSize64 > uint64(size) || m.UncompressedSize64 > m.CompressedSize64*maxDeflateRatio+64 {
		return fmt.Errorf("%s: %w: %d bytes of an archive cannot hold %d", name, ErrFormat, min(m.CompressedSize64, uint64(size)), m.UncompressedSize64)
	}
	if err := notABomb(m.CompressedSize64, m.UncompressedSize64); err != nil {
		return fmt.Errorf("%s: %w: %w", name, ErrFormat, err)
	}
	r := bufio.NewReaderSize(rc, 1<<16)
	a, length, err := openNPY(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	element := uint64(a.kind[1] - '0')
	hi, want := bits.Mul64(uint64(a.count), element)
	if hi != 0 || m.UncompressedSize64 < length || want != m.UncompressedSize64-length {
		return fmt.Errorf("%s: %w: the header claims %s elements of %d bytes, the archive holds %d bytes",
			name, ErrFormat, shapeText(a.shape), element, m.UncompressedSize64-min(length, m.UncompressedSize64))
	}
	a.start = int(min(uint64(a.count), m.CompressedSize64*likelyRatio/element))
	if err := read(a); err != nil {
		return fmt.Errorf("%s: %w", name, npzError(err))
	}
	// Reading up to the end is what makes package zip compare the checksum.
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("more data than the archive's directory says")
		}
		return fmt.Errorf("%s: %w", name, npzError(err))
	}
	return nil
}

// npzError blames the file, except where the file system failed.
func npzError(err error) error {
	var pathErr *fs.PathError
	switch {
	case errors.As(err, &pathErr), errors.Is(err, ErrFormat):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: truncated", ErrFormat)
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// openNPY reads an array's header and returns the header's length too. The format:
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
func openNPY(r *bufio.Reader) (a *npyArray, length uint64, err error) {
	// npyio takes memory for whatever length a header claims, so that is looked at first.
	start, err := r.Peek(12)
	if err != nil || string(start[:6]) != string(npy.Magic[:]) {
		return nil, 0, fmt.Errorf("%w: it does not begin as an .npy file", ErrFormat)
	}
	switch start[6] {
	case 1:
		length = 10 + uint64(binary.LittleEndian.Uint16(start[8:]))
	case 2:
		length = 12 + uint64(binary.LittleEndian.Uint32(start[8:]))
	default:
		return nil, 0, fmt.Errorf("%w: version %d of the .npy format, expected 1 or 2", ErrFormat, start[6])
	}
	if length > maxNPYHeader {
		return nil, 0, fmt.Errorf("%w: an .npy header of %d bytes, at most %d are expected", ErrFormat, length, maxNPYHeader)
	}
	header, err := parseNPYHeader(r)
	if err != nil {
		return nil, 0, err
	}
	if header.Descr.Fortran {
		return nil, 0, fmt.Errorf("%w: column-major (Fortran) order, expected row-major: save it with numpy.ascontiguousarray", ErrFormat)
	}
	a = &npyArray{r: r, descr: strings.Trim(header.Descr.Type, `'"`), order: binary.LittleEndian, shape: header.Descr.Shape}
	a.kind = strings.TrimLeft(a.descr, "<>|=")
	switch a.kind {
	case "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8":
	default:
		return nil, 0, fmt.Errorf("%w: elements of type %q, expected whole numbers or floats", ErrFormat, a.descr)
	}
	if strings.HasPrefix(a.descr, ">") {
		a.order = binary.BigEndian
	}
	count := uint64(1)
	for _, side := range a.shape {
		if side < 1 {
			return nil, 0, fmt.Errorf("%w: shape %s has no elements", ErrFormat, shapeText(a.shape))
		}
		hi, lo := bits.Mul64(count, uint64(side))
		if hi != 0 || lo > math.MaxInt64 {
			return nil, 0, fmt.Errorf("%w: %w: shape %s", ErrFormat, ErrTooLarge, shapeText(a.shape))
		}
		count = lo
	}
	a.count = int(count)
	return a, length, nil
}

// parseNPYHeader guards npyio, which indexes the header's text without looking and panics where a part is missing.
func parseNPYHeader(r io.Reader) (header npy.Header, err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%w: the .npy header cannot be parsed", ErrFormat)
		}
	}()
	parsed, err := npy.NewReader(r)
	if err != nil {
		return npy.Header{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return parsed.Header, nil
}

// shapeText writes a shape as 60000×28×28.
func shapeText(shape []int) string {
	sides := make([]string, len(shape))
	for i, side := range shape {
		sides[i] = strconv.Itoa(side)
	}
	return "(" + strings.Join(sides, "×") + ")"
}
