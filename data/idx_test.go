package data

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// fashionFiles are the files that the package fashionmnist embeds.
var fashionFiles = os.DirFS("fashionmnist")

// idxBytes builds an IDX file of bytes.
func idxBytes(body []byte, dims ...uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, 0x800+uint32(len(dims)))
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, d)
	}
	return append(b, body...)
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// count returns n bytes from 0 upwards.
func count(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// smallIDX is a set of 3 training and 2 test images of 2×4.
func smallIDX() map[string][]byte {
	return map[string][]byte{
		TrainImages: idxBytes(count(24), 3, 2, 4),
		TrainLabels: idxBytes([]byte{2, 0, 1}, 3),
		TestImages:  idxBytes(count(16), 2, 2, 4),
		TestLabels:  idxBytes([]byte{1, 2}, 2),
	}
}

func mapFS(files map[string][]byte) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, b := range files {
		fsys[name] = &fstest.MapFile{Data: b}
	}
	return fsys
}

func TestReadIDXSpellings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		file func(string) string
		zip  bool
	}{
		{"plain", func(s string) string { return s }, false},
		{"zipped", func(s string) string { return s + ".gz" }, true},
		{"zipped without suffix", func(s string) string { return s }, true},
		{"plain with a suffix", func(s string) string { return s + ".gz" }, false},
		{"dotted", func(s string) string { return strings.Replace(s, "-idx", ".idx", 1) }, false},
		{"dotted and zipped", func(s string) string { return strings.Replace(s, "-idx", ".idx", 1) + ".gz" }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "digits")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, b := range smallIDX() {
				if c.zip {
					b = gzipped(t, b)
				}
				if err := os.WriteFile(filepath.Join(dir, c.file(name)), b, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			train, test, err := ReadIDX(dir)
			if err != nil {
				t.Fatal(err)
			}
			mapped, _, err := IDX{Name: "digits", Files: os.DirFS(dir), Path: dir, InMemory: 1}.Load()
			if err != nil || !slices.Equal(mapped.Pixels, train.Pixels) || !slices.Equal(mapped.Labels, train.Labels) {
				t.Errorf("where it lies: %v, %v", mapped, err)
			}
			if train.Name != "digits train" || train.Len() != 3 || train.Height != 2 || train.Width != 4 || train.Channels != 1 {
				t.Errorf("%s: %d images of %d×%d×%d", train.Name, train.Len(), train.Height, train.Width, train.Channels)
			}
			if !slices.Equal(train.Pixels, count(24)) || !slices.Equal(train.Labels, []uint16{2, 0, 1}) {
				t.Errorf("pixels %v, labels %v", train.Pixels, train.Labels)
			}
			if !slices.Equal(train.Classes, []string{"0", "1", "2"}) || !slices.Equal(test.Classes, train.Classes) {
				t.Errorf("classes %q and %q, want 0, 1, 2", train.Classes, test.Classes)
			}
			if test.Len() != 2 || !slices.Equal(test.Labels, []uint16{1, 2}) {
				t.Errorf("%s: %d images, labels %v", test.Name, test.Len(), test.Labels)
			}
		})
	}
}

func TestReadIDXErrors(t *testing.T) {
	t.Parallel()
	huge := idxBytes(count(24), 4294967295, 28, 28)
	for _, c := range []struct {
		name string
		file string
		edit func([]byte) []byte // nil removes the file
		want string
		is   error
	}{
		{"missing", TestLabels, nil, "dir/t10k-labels-idx1-ubyte, with or without .gz: file does not exist", fs.ErrNotExist},
		{"empty", TrainLabels, func([]byte) []byte { return nil },
			"dir/train-labels-idx1-ubyte: invalid data: truncated: the header needs 8 bytes, found 0", ErrFormat},
		{"truncated header", TrainImages, func(b []byte) []byte { return b[:9] },
			"dir/train-images-idx3-ubyte: invalid data: truncated: the header needs 16 bytes, found 9", ErrFormat},
		{"truncated", TrainImages, func(b []byte) []byte { return b[:39] },
			"dir/train-images-idx3-ubyte: invalid data: truncated: the header claims 3×2×4 = 24 bytes, found 23", ErrFormat},
		{"trailing", TrainImages, func(b []byte) []byte { return append(b, 1, 2) },
			"dir/train-images-idx3-ubyte: invalid data: 2 bytes too many: the header claims 3×2×4 = 24, found 26", ErrFormat},
		{"magic", TestImages, func(b []byte) []byte { b[2] = 13; return b },
			"dir/t10k-images-idx3-ubyte: invalid data: magic number 0x00000d03, expected 0x00000803 (bytes, 3 dimensions)", ErrFormat},
		{"labels for images", TestImages, func([]byte) []byte { return idxBytes(count(16), 16) },
			"dir/t10k-images-idx3-ubyte: invalid data: magic number 0x00000801, expected 0x00000803", ErrFormat},
		{"no images", TrainImages, func([]byte) []byte { return idxBytes(nil, 0, 28, 28) },
			"dir/train-images-idx3-ubyte: invalid data: dimension 0 of the header is 0", ErrFormat},
		{"count mismatch", TrainLabels, func([]byte) []byte { return idxBytes(count(2), 2) },
			"invalid data: dir/train-images-idx3-ubyte holds 3 images but dir/train-labels-idx1-ubyte 2 labels", ErrFormat},
		{"label out of range", TestLabels, func(b []byte) []byte { b[9] = 3; return b },
			"dir: digits test: invalid data: label 3 of image 1 is out of range, expected 0 to 2", ErrFormat},
		{"other shape", TestImages, func([]byte) []byte { return idxBytes(count(8), 2, 2, 2) },
			"dir: invalid data: the images of digits train are 2×4, those of digits test 2×2", ErrFormat},
		{"4 billion images", TrainImages, func([]byte) []byte { return huge },
			"truncated: the header claims 4294967295×28×28 = 3367254359280 bytes, found 24", ErrFormat},
		{"more than a uint64", TrainImages, func([]byte) []byte { return idxBytes(nil, 4294967295, 4294967295, 4294967295) },
			"dir/train-images-idx3-ubyte: invalid data: too large: the header claims 4294967295×4294967295×4294967295 bytes", ErrTooLarge},
		{"zipped: 4 billion images", TrainImages, func([]byte) []byte { return gzipped(t, huge) },
			"truncated: the header claims 4294967295×28×28 = 3367254359280 bytes, more than", ErrFormat},
		{"zipped: truncated", TrainImages, func(b []byte) []byte { return gzipped(t, b[:39]) },
			"dir/train-images-idx3-ubyte: invalid data: truncated: 3×2×4 needs 24 bytes, found 23", ErrFormat},
		{"zipped: cut", TrainImages, func(b []byte) []byte { b = gzipped(t, b); return b[:len(b)-1] },
			"dir/train-images-idx3-ubyte: invalid data: truncated: the zipped data ends early", ErrFormat},
		{"zipped: trailing", TrainImages, func(b []byte) []byte { return gzipped(t, append(b, 0)) },
			"dir/train-images-idx3-ubyte: invalid data: bytes too many: the header claims 3×2×4 = 24, found more", ErrFormat},
		{"zipped: checksum", TrainImages, func(b []byte) []byte { b = gzipped(t, b); b[len(b)-5] ^= 1; return b },
			"dir/train-images-idx3-ubyte: invalid data: gzip: invalid checksum", ErrFormat},
		{"zipped: header", TrainImages, func(b []byte) []byte { b = gzipped(t, b); b[2] = 9; return b },
			"dir/train-images-idx3-ubyte: invalid data: gzip: invalid header", ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			files := smallIDX()
			if c.edit == nil {
				delete(files, c.file)
			} else {
				files[c.file] = c.edit(files[c.file])
			}
			train, test, err := IDX{Name: "digits", Path: "dir", Files: mapFS(files)}.Load()
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.is) {
				t.Errorf("%v\nwant %q", err, c.want)
			}
			if train != nil || test != nil {
				t.Error("sets beside an error")
			}
		})
	}
}

func TestIDXDirectoryInPlaceOfAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, TrainImages), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadIDX(dir); err == nil || !strings.Contains(err.Error(), TrainImages+": invalid data: not a regular file") {
		t.Errorf("%v", err)
	}
}

func TestIDXSHA256(t *testing.T) {
	t.Parallel()
	files := smallIDX()
	sums := map[string]string{}
	for name, b := range files {
		sum := sha256.Sum256(b)
		sums[name] = hex.EncodeToString(sum[:])
	}
	zipped := map[string][]byte{}
	for name, b := range files {
		zipped[name+".gz"] = gzipped(t, b)
	}
	for name, fsys := range map[string]fs.FS{"plain": mapFS(files), "zipped": mapFS(zipped)} {
		if _, _, err := (IDX{Files: fsys, SHA256: sums}).Load(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wrong := maps.Clone(sums)
		wrong[TestImages] = sums[TestLabels]
		_, _, err := IDX{Path: "dir", Files: fsys, SHA256: wrong}.Load()
		if err == nil || !errors.Is(err, ErrHash) || !strings.Contains(err.Error(), "sha256 mismatch: the unzipped data has "+sums[TestImages]+", expected "+sums[TestLabels]) {
			t.Errorf("%s with a wrong sum: %v", name, err)
		}
	}
}

// What no pictures shrink to is refused by its header.
func TestIDXBomb(t *testing.T) {
	t.Parallel()
	bomb := append(gzipped(t, idxBytes(make([]byte, 1<<20), 2<<30)), make([]byte, 8<<20)...)
	_, err := readIDX(bytes.NewReader(bomb), int64(len(bomb)), 1, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "too large: a decompression bomb: ") || !errors.Is(err, ErrFormat) || !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v, want a decompression bomb", err)
	}
}

// A small bomb that keeps its promise costs what it holds; one that lies is caught with little memory taken.
func TestIDXMemoryFollowsTheData(t *testing.T) {
	t.Parallel()
	const claimed = 20 << 20
	honest := gzipped(t, idxBytes(make([]byte, claimed), claimed))
	a, err := readIDX(bytes.NewReader(honest), int64(len(honest)), 1, nil, nil)
	if err != nil || len(a.body) != claimed || cap(a.body) != claimed {
		t.Errorf("%d bytes, capacity %d, %v, want %d", len(a.body), cap(a.body), err, claimed)
	}
	lying := gzipped(t, idxBytes(make([]byte, 1<<20), claimed))
	lying = append(lying, make([]byte, 30<<10)...) // so that the bound of the ratio cannot tell
	got := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := readIDX(bytes.NewReader(lying), int64(len(lying)), 1, nil, nil); err == nil {
				b.Fatal("no error")
			}
		}
	})
	if bytes := got.AllocedBytesPerOp(); bytes > 5<<20 {
		t.Errorf("a file of 1 MB that claims 20 MB allocated %d bytes, want at most 5 MB", bytes)
	}
}

func TestIDXKnowsFashionMNISTByItsLabels(t *testing.T) {
	t.Parallel()
	x := IDX{Files: fashionFiles, Path: "fashionmnist"}
	s, err := x.Test()
	if err != nil || !slices.Equal(s.Classes, FashionMNISTClasses) || s.Len() != 10000 {
		t.Errorf("%q, %v", s.Classes, err)
	}
}

// FuzzReadIDX: no input crashes the reader, takes memory beyond its own size, or is read as something else.
func FuzzReadIDX(f *testing.F) {
	for _, b := range smallIDX() {
		f.Add(b)
		f.Add(gzipped(f, b))
	}
	f.Add(idxBytes(count(24), 4294967295, 28, 28))
	f.Add(gzipped(f, idxBytes(count(24), 4294967295, 28, 28)))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, rank := range []int{1, 3} {
			a, err := readIDX(bytes.NewReader(b), int64(len(b)), rank, sha256.New(), nil)
			if err != nil {
				continue
			}
			n := 1
			for _, d := range a.dims {
				n *= d
			}
			if len(a.body) != n || cap(a.body) > 2*n {
				t.Fatalf("dims %v, %d bytes, capacity %d", a.dims, len(a.body), cap(a.body))
			}
			dims := make([]uint32, rank)
			for i, d := range a.dims {
				dims[i] = uint32(d)
			}
			if plain := idxBytes(a.body, dims...); b[0] == 0 && !bytes.Equal(plain, b) {
				t.Fatalf("a plain file of %d bytes is read as %d", len(b), len(plain))
			}
		}
	})
}
