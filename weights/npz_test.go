package weights

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"gorgonia.org/tensor"
)

// member is one file of an archive.
type member struct {
	name, content string
}

// archive zips members with the given method.
func archive(t *testing.T, method uint16, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range members {
		w, err := z.CreateHeader(&zip.FileHeader{Name: m.name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(m.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// npyText is a version 1.0 file with this header.
func npyText(header, data string) string {
	return "\x93NUMPY\x01\x00" + string(binary.LittleEndian.AppendUint16(nil, uint16(len(header)))) + header + data
}

// npyFile is a file of this type, order and shape.
func npyFile(descr, fortran, shape, data string) string {
	return npyText(fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n", descr, fortran, shape), data)
}

// packed encodes values, a slice or a number.
func packed(t *testing.T, order binary.AppendByteOrder, values any) string {
	t.Helper()
	b, err := binary.Append(nil, order.(binary.ByteOrder), values)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNPZAccepted(t *testing.T) {
	t.Parallel()
	le, be := binary.LittleEndian, binary.BigEndian
	six := []float32{1, 4, 2, 5, 3, 6} // 2×3, column by column
	version2 := "\x93NUMPY\x02\x00" + string(le.AppendUint32(nil, 58)) + "{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }\n" + packed(t, le, int32(7))
	tests := []struct {
		name, content string
		want          *tensor.Dense
	}{
		{"row-major", npyFile("<f4", "False", "(3, 2)", packed(t, le, six)), dense(six, 3, 2)},
		{"fortran", npyFile("<f4", "True", "(2, 3)", packed(t, le, six)), dense([]float32{1, 2, 3, 4, 5, 6}, 2, 3)},
		{"fortran, big-endian", npyFile(">f4", "True", "(2, 3)", packed(t, be, six)), dense([]float32{1, 2, 3, 4, 5, 6}, 2, 3)},
		{"fortran, 3 axes", npyFile("<i8", "True", "(2, 1, 2)", packed(t, le, []int64{1, 2, 3, 4})), dense([]int64{1, 3, 2, 4}, 2, 1, 2)},
		{"fortran, 1 axis", npyFile("<f8", "True", "(2,)", packed(t, le, []float64{1, 2})), dense([]float64{1, 2}, 2)},
		{"fortran scalar", npyFile("<f8", "True", "()", packed(t, le, math.Pi)), tensor.New(tensor.FromScalar(math.Pi))},
		{"bytes", npyFile("|u1", "False", "(1, 2)", "\x00\xff"), dense([]uint8{0, 255}, 1, 2)},
		{"version 2.0", version2, dense([]int32{7}, 1)},
	}
	for _, test := range tests {
		for _, method := range []uint16{zip.Store, zip.Deflate} {
			b := archive(t, method, member{"w.npy", test.content})
			got, err := DecodeNPZ(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Errorf("%s, method %d: %v", test.name, method, err)
				continue
			}
			sameTensor(t, test.name, got["w"], test.want)
		}
	}
}

func TestNPZRefused(t *testing.T) {
	t.Parallel()
	one := npyFile("|u1", "False", "(1,)", "x")
	w := func(content string) []member { return []member{{"w.npy", content}} }
	tests := []struct {
		name    string
		members []member
		text    string
	}{
		{"other files", []member{{"README.txt", "hello"}}, `"README.txt" in the archive is not a .npy file`},
		{"name twice", []member{{"w.npy", one}, {"w.npy", one}}, "array w comes twice"},
		{"name not UTF-8", []member{{"\xff.npy", one}}, "not UTF-8"},
		{"empty member", w(""), "does not begin as"},
		{"no magic", w(strings.Repeat("x", 100)), "does not begin as"},
		{"version 3.0", w("\x93NUMPY\x03\x00\x02\x00\x00\x00{}xxxx"), "version"},
		{"header past the end", w("\x93NUMPY\x01\x00\xff\x7f{'descr': '<f4'}"), "cannot be parsed"},
		{"header of 4 GB", w("\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr': '<f4'}"), "at most 65536"},
		{"no newline", w(npyText("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", "abcd")), "cannot be parsed"},
		{"no keys", w(npyText("{}\n", "abcd")), "invalid dictionary"},
		{"keys out of order", w(npyText("{'shape': (1,), 'fortran_order': False, 'descr': '<f4', }\n", "abcd")), "cannot be parsed"},
		{"no shape", w(npyText("{'descr': '<f4', 'fortran_order': False, 'shape': , }\n", "abcd")), "cannot be parsed"},
		{"neither order", w(npyFile("<f4", "Maybe", "(1,)", "abcd")), "fortran_order"},
		{"negative side", w(npyFile("<f4", "False", "(-1, -1)", "abcd")), "a side of -1"},
		{"no whole side", w(npyFile("<f4", "False", "(1.5,)", "abcd")), "1.5"},
		{"empty", w(npyFile("<f4", "False", "(3, 0)", "")), "3×0 has no elements"},
		{"overflow", w(npyFile("<f4", "False", "(65536, 65536, 65536, 65536)", "")), "overflows"},
		{"half precision", w(npyFile("<f2", "False", "(1,)", "ab")), `type "f2"`},
		{"native order", w(npyFile("=f4", "False", "(1,)", "abcd")), `type "=f4"`},
		{"no order", w(npyFile("|f4", "False", "(1,)", "abcd")), "without a byte order"},
		{"objects", w(npyFile("|O", "False", "(1,)", "abcd")), "without a byte order"},
		{"table", w(npyText("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n", "abcd")), "elements of type"},
		{"too little data", w(npyFile("<f4", "False", "(2,)", "abcd")), "2 of f4 needs 8 bytes, the archive has 4"},
		{"too much data", w(npyFile("<f4", "False", "(1,)", "abcdefgh")), "1 of f4 needs 4 bytes, the archive has 8"},
	}
	for _, test := range tests {
		b := archive(t, zip.Deflate, test.members...)
		got, err := DecodeNPZ(bytes.NewReader(b), int64(len(b)))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, error %v, want ErrFormat that says %q", test.name, got, err, test.text)
		}
	}
}

func TestNPZChecksum(t *testing.T) {
	t.Parallel()
	b := archive(t, zip.Store, member{"w.npy", npyFile("<f4", "False", "(2,)", "ABCDEFGH")})
	i := bytes.Index(b, []byte("ABCDEFGH"))
	b[i] ^= 1
	if _, err := DecodeNPZ(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrFormat) || !errors.Is(err, zip.ErrChecksum) {
		t.Errorf("error %v, want ErrFormat that wraps zip.ErrChecksum", err)
	}
}

// allocated tells how many bytes of memory f takes. Tests that use it are not parallel: the count is the process's.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestNPZBomb: neither an honest archive of zeros nor one whose directory lies gets memory beyond the limit.
func TestNPZBomb(t *testing.T) {
	zeros := strings.Repeat("\x00", freeExpansion)
	honest := archive(t, zip.Deflate, member{"w.npy", npyFile("|u1", "False", fmt.Sprintf("(%d,)", len(zeros)), zeros)})

	// The directory's record of the uncompressed size is 4 bytes, 24 bytes after its signature.
	lying := archive(t, zip.Deflate, member{"w.npy", npyFile("<f4", "False", "(1000000000,)", "abcd")})
	directory := bytes.LastIndex(lying, []byte("PK\x01\x02"))
	header := len(npyFile("<f4", "False", "(1000000000,)", ""))
	binary.LittleEndian.PutUint32(lying[directory+24:], uint32(4_000_000_000)+uint32(header))

	for name, b := range map[string][]byte{"honest": honest, "lying": lying} {
		var err error
		took := allocated(func() { _, err = DecodeNPZ(bytes.NewReader(b), int64(len(b))) })
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "expand") {
			t.Errorf("%s: error %v, want ErrFormat about the expansion", name, err)
		}
		if took > 1<<20 {
			t.Errorf("%s: %d bytes of archive took %d bytes of memory", name, len(b), took)
		}
	}
}

// TestNPYHeader: the text is numpy's own, and the data begins at a multiple of 64.
func TestNPYHeader(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   *tensor.Dense
		want string
	}{
		{dense(make([]float32, 72), 3, 3, 1, 8), "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3, 1, 8), }"},
		{dense(make([]float64, 8), 8), "{'descr': '<f8', 'fortran_order': False, 'shape': (8,), }"},
		{dense(make([]uint8, 2), 1, 2), "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2), }"},
		{tensor.New(tensor.FromScalar(int64(1))), "{'descr': '<i8', 'fortran_order': False, 'shape': (), }"},
	}
	for _, test := range tests {
		var b bytes.Buffer
		if err := EncodeNPZ(&b, map[string]*tensor.Dense{"w": test.in}); err != nil {
			t.Fatal(err)
		}
		z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		f, err := z.Open("w.npy")
		if err != nil {
			t.Fatal(err)
		}
		var content bytes.Buffer
		if _, err := content.ReadFrom(f); err != nil {
			t.Fatal(err)
		}
		head, length := content.Bytes(), int(binary.LittleEndian.Uint16(content.Bytes()[8:]))
		if got := strings.TrimRight(string(head[10:10+length]), " \n"); got != test.want {
			t.Errorf("header %q, want %q", got, test.want)
		}
		if (10+length)%64 != 0 || head[9+length] != '\n' {
			t.Errorf("%q: %d bytes before the data, want a multiple of 64 that ends with a newline", test.want, 10+length)
		}
	}
}
