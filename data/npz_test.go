package data

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// npyBytes writes an array as NumPy does: version 1, the data aligned to 64 bytes. values is a slice of fixed-size numbers.
func npyBytes(t testing.TB, descr, shape string, values any) []byte {
	t.Helper()
	var order binary.ByteOrder = binary.LittleEndian
	if strings.HasPrefix(descr, ">") {
		order = binary.BigEndian
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, shape)
	text += strings.Repeat(" ", 63-(10+len(text))%64) + "\n"
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(text)), byte(len(text)>>8))
	b, err := binary.Append(append(b, text...), order, values)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func npzBytes(t testing.TB, method uint16, members map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(members[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func smallNPZ(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"x_train.npy": npyBytes(t, "|u1", "3, 2, 4", count(24)),
		"y_train.npy": npyBytes(t, "|u1", "3,", []uint8{2, 0, 1}),
		"x_test.npy":  npyBytes(t, "|u1", "2, 2, 4", count(16)),
		"y_test.npy":  npyBytes(t, "|u1", "2,", []uint8{1, 2}),
	}
}

func TestReadNPZ(t *testing.T) {
	t.Parallel()
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		file := filepath.Join(t.TempDir(), "digits.npz")
		if err := os.WriteFile(file, npzBytes(t, method, smallNPZ(t)), 0o644); err != nil {
			t.Fatal(err)
		}
		train, test, err := ReadNPZ(file)
		if err != nil {
			t.Fatal(err)
		}
		if train.Name != "digits train" || test.Name != "digits test" || train.Height != 2 || train.Width != 4 || train.Channels != 1 {
			t.Errorf("%s and %s, %s", train.Name, test.Name, describe(train))
		}
		if !slices.Equal(train.Pixels, count(24)) || !slices.Equal(train.Labels, []uint16{2, 0, 1}) || !slices.Equal(test.Labels, []uint16{1, 2}) {
			t.Errorf("pixels %v, labels %v and %v", train.Pixels, train.Labels, test.Labels)
		}
		if !slices.Equal(train.Classes, []string{"0", "1", "2"}) || !slices.Equal(test.Classes, train.Classes) {
			t.Errorf("classes %q and %q", train.Classes, test.Classes)
		}
	}
}

func TestReadNPZTypes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		x, y []byte
	}{
		{"float32", npyBytes(t, "<f4", "2, 1, 1, 3", []float32{0, 0.5, 1, -1.5, 2, 3}), npyBytes(t, "<i8", "2, 1", []int64{0, 65535})},
		{"float64", npyBytes(t, "<f8", "2, 1, 1, 3", []float64{0, 0.5, 1, -1.5, 2, 3}), npyBytes(t, "<i4", "2,", []int32{0, 65535})},
		{"big endian", npyBytes(t, ">f4", "2, 1, 1, 3", []float32{0, 0.5, 1, -1.5, 2, 3}), npyBytes(t, ">u2", "2,", []uint16{0, 65535})},
		{"big endian float64", npyBytes(t, ">f8", "2, 1, 1, 3", []float64{0, 0.5, 1, -1.5, 2, 3}), npyBytes(t, "<u8", "2,", []uint64{0, 65535})},
	} {
		b := npzBytes(t, zip.Deflate, map[string][]byte{"x_train.npy": c.x, "y_train.npy": c.y})
		train, test, err := decodeNPZ(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if test != nil || train.Pixels != nil || !slices.Equal(train.Floats, []float32{0, 0.5, 1, -1.5, 2, 3}) || train.Channels != 3 {
			t.Errorf("%s: floats %v, %s, test %v", c.name, train.Floats, describe(train), test)
		}
		if !slices.Equal(train.Labels, []uint16{0, 65535}) || len(train.Classes) != 65536 {
			t.Errorf("%s: labels %v, %d classes", c.name, train.Labels, len(train.Classes))
		}
	}
}

func TestReadNPZErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, member string
		content      []byte // nil removes the member
		want         string
	}{
		{"missing", "x_train.npy", nil, "invalid data: the archive holds no array x_train"},
		{"missing labels", "y_test.npy", nil, "invalid data: the archive holds no array y_test"},
		{"not npy", "x_test.npy", []byte("hello, world"), "x_test: invalid data: it does not begin as an .npy file"},
		{"empty", "x_test.npy", []byte{}, "x_test: invalid data: it does not begin as an .npy file"},
		{"header", "x_test.npy", append([]byte("\x93NUMPY\x01\x00\x10\x00"), "{'descr': oops }"...), "x_test: invalid data: "},
		{"version", "x_test.npy", []byte("\x93NUMPY\x03\x00\x10\x00\x00\x00{}"), "x_test: invalid data: version 3 of the .npy format, expected 1 or 2"},
		{"long header", "x_test.npy", []byte("\x93NUMPY\x02\x00\xff\xff\xff\xff{}"), "x_test: invalid data: an .npy header of 4294967307 bytes, at most 65536 are expected"},
		{"shape", "x_train.npy", npyBytes(t, "|u1", "24,", count(24)), "x_train: invalid data: shape (24), expected images×height×width or"},
		{"scalar", "x_train.npy", npyBytes(t, "|u1", "", count(1)), "x_train: invalid data: shape (), expected images×height×width or"},
		{"short", "x_train.npy", npyBytes(t, "|u1", "3, 2, 4", count(23)), "x_train: invalid data: the header claims (3×2×4) elements of 1 bytes, the archive holds 23 bytes"},
		{"long", "x_train.npy", npyBytes(t, "|u1", "3, 2, 4", count(25)), "the archive holds 25 bytes"},
		{"4 billion images", "x_train.npy", npyBytes(t, "|u1", "4294967295, 28, 28", count(24)), "the header claims (4294967295×28×28) elements of 1 bytes, the archive holds 24 bytes"},
		{"overflow", "x_train.npy", npyBytes(t, "|u1", "4294967295, 4294967295, 4294967295", count(24)), "x_train: invalid data: too large: shape (4294967295×4294967295×4294967295)"},
		{"overflow by the element", "x_train.npy", npyBytes(t, "<f8", "4611686018427387904, 1, 1", count(24)), "the header claims (4611686018427387904×1×1) elements of 8 bytes"},
		{"negative side", "x_train.npy", npyBytes(t, "|u1", "3, -2, 4", count(24)), "x_train: invalid data: shape (3×-2×4) has no elements"},
		{"no images", "x_train.npy", npyBytes(t, "|u1", "0, 28, 28", []uint8(nil)), "x_train: invalid data: shape (0×28×28) has no elements"},
		{"strings", "y_train.npy", npyBytes(t, "<U1", "3,", count(12)), `y_train: invalid data: elements of type "<U1", expected whole numbers or floats`},
		{"pixels of 16 bits", "x_train.npy", npyBytes(t, "<u2", "3, 2, 4", make([]uint16, 24)), `x_train: invalid data: elements of type "<u2", expected uint8, float32 or float64`},
		{"float labels", "y_train.npy", npyBytes(t, "<f4", "3,", make([]float32, 3)), `y_train: invalid data: elements of type "<f4", expected whole numbers`},
		{"one-hot labels", "y_train.npy", npyBytes(t, "|u1", "3, 3", count(9)), "y_train: invalid data: shape (3×3), expected one whole number an image"},
		{"negative label", "y_train.npy", npyBytes(t, "|i1", "3,", []int8{0, -1, 2}), "y_train: invalid data: label -1 of image 1 is out of range, expected 0 to 65535"},
		{"large label", "y_train.npy", npyBytes(t, "<i8", "3,", []int64{0, 1, 65536}), "y_train: invalid data: label 65536 of image 2 is out of range"},
		{"test label", "y_test.npy", npyBytes(t, "|u1", "2,", []uint8{1, 3}), "test: invalid data: label 3 of image 1 is out of range, expected 0 to 2"},
		{"count mismatch", "y_train.npy", npyBytes(t, "|u1", "2,", []uint8{2, 1}), "invalid data: x_train holds 3 images but y_train 2 labels"},
		{"other shape", "x_test.npy", npyBytes(t, "|u1", "2, 4, 2", count(16)), "invalid data: x_train holds 2×4×1 images of uint8, x_test 4×2×1 images of uint8"},
		{"other type", "x_test.npy", npyBytes(t, "<f4", "2, 2, 4", make([]float32, 16)), "x_train holds 2×4×1 images of uint8, x_test 2×4×1 images of float"},
		{"column-major", "x_train.npy", bytes.Replace(npyBytes(t, "|u1", "3, 2, 4", count(24)), []byte("'fortran_order': False"), []byte("'fortran_order': True "), 1),
			"x_train: invalid data: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			members := smallNPZ(t)
			members[c.member] = c.content
			if c.content == nil {
				delete(members, c.member)
			}
			b := npzBytes(t, zip.Deflate, members)
			train, test, err := decodeNPZ(bytes.NewReader(b), int64(len(b)))
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrFormat) || train != nil || test != nil {
				t.Errorf("%v\nwant %q", err, c.want)
			}
		})
	}
}

// An archive of 8 MiB that holds 2 GiB is refused by its directory, before an element is read.
func TestReadNPZBomb(t *testing.T) {
	t.Parallel()
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	raw, err := w.CreateRaw(&zip.FileHeader{Name: "x_train.npy", Method: zip.Deflate, CompressedSize64: 8 << 20, UncompressedSize64: 2 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Write(make([]byte, 8<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, err = decodeNPZ(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
	want := "x_train: invalid data: too large: a decompression bomb: 8388608 zipped bytes hold 2147483648, more than 200 times as many"
	if err == nil || err.Error() != want || !errors.Is(err, ErrFormat) || !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v, want %q", err, want)
	}
}

func TestReadNPZFileErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole := npzBytes(t, zip.Store, smallNPZ(t))
	damaged := bytes.Replace(whole, count(24), make([]byte, 24), 1)
	writeFiles(t, dir, map[string][]byte{"text.npz": []byte("no archive"), "cut.npz": whole[:len(whole)/2], "damaged.npz": damaged})
	for name, want := range map[string]string{
		"text.npz": "text.npz: invalid data: zip: not a valid zip file", "cut.npz": "cut.npz: invalid data: zip: not a valid zip file",
		"damaged.npz": "damaged.npz: x_train: invalid data: zip: checksum error", "none.npz": "none.npz: no such file or directory",
		".": "invalid data: not a regular file",
	} {
		if _, _, err := ReadNPZ(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// FuzzNPY: no array's file crashes the reader or takes memory beyond its own size.
func FuzzNPY(f *testing.F) {
	for _, b := range smallNPZ(f) {
		f.Add(b)
	}
	f.Add(npyBytes(f, "<f4", "3, 2, 4", make([]float32, 24)))
	f.Add(npyBytes(f, ">i8", "3, 1", []int64{1, 2, 3}))
	f.Add([]byte("\x93NUMPY\x01\x00\x10\x00{'descr': oops }"))
	f.Fuzz(func(t *testing.T, b []byte) {
		members := smallNPZ(t)
		for _, name := range []string{"x_train.npy", "y_train.npy"} {
			members[name] = b
			archive := npzBytes(t, zip.Store, members)
			fuzzNPZ(t, archive)
			members[name] = smallNPZ(t)[name]
		}
	})
}

// FuzzNPZ: the same for whole archives.
func FuzzNPZ(f *testing.F) {
	f.Add(npzBytes(f, zip.Store, smallNPZ(f)))
	f.Add(npzBytes(f, zip.Deflate, smallNPZ(f)))
	f.Fuzz(fuzzNPZ)
}

func fuzzNPZ(t *testing.T, b []byte) {
	train, test, err := decodeNPZ(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return
	}
	for _, s := range []*Set{train, test} {
		if s == nil {
			continue
		}
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		if cap(s.Pixels)+4*cap(s.Floats)+2*cap(s.Labels) > 2*maxDeflateRatio*len(b) {
			t.Fatalf("%d bytes of archive took %d of memory", len(b), cap(s.Pixels)+4*cap(s.Floats)+2*cap(s.Labels))
		}
	}
}
