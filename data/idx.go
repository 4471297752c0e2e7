package data

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip" // a fifth faster than the standard library on these files
)

// The four files of an IDX set, by MNIST's names. They may also be spelt with a dot (train-images.idx3-ubyte), and
// end in .gz; whether a file is zipped is seen from its content.
const (
	TrainImages = "train-images-idx3-ubyte"
	TrainLabels = "train-labels-idx1-ubyte"
	TestImages  = "t10k-images-idx3-ubyte"
	TestLabels  = "t10k-labels-idx1-ubyte"
)

// FashionMNISTClasses are the class names of Fashion-MNIST in the order of their indices.
var FashionMNISTClasses = []string{
	"t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
}

// FashionMNISTSHA256 are the sha256 sums of Fashion-MNIST's unzipped files.
var FashionMNISTSHA256 = map[string]string{
	TrainImages: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
	TrainLabels: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
	TestImages:  "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
	TestLabels:  "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}

// IDX is a set of grey images in MNIST's four files, the format of http://yann.lecun.com/exdb/mnist.
type IDX struct {
	Name    string            // of the set
	Files   fs.FS             // where the four files are
	Path    string            // of Files, for messages
	Classes []string          // class names; nil: the decimal numbers up to the largest label of the training set
	SHA256  map[string]string // of the unzipped files, in hexadecimal, by the constants above; nil: not checked
	// InMemory is the most bytes of a file that are held in memory; a larger one that is not zipped is used where it lies, through
	// the operating system's page cache. 0 is DefaultInMemory.
	InMemory int64
}

// ReadIDX reads the training and the test set of an IDX folder.
func ReadIDX(dir string) (train, test *Set, err error) {
	return IDX{Name: filepath.Base(dir), Files: os.DirFS(dir), Path: dir}.Load()
}

// Load reads both sets, all four files at once. Errors about content wrap [ErrFormat] or [ErrHash], those about a
// missing file [fs.ErrNotExist].
func (x IDX) Load() (train, test *Set, err error) {
	var trainErr, testErr error
	var wg sync.WaitGroup
	wg.Go(func() { train, trainErr = x.read("train", TrainImages, TrainLabels) })
	wg.Go(func() { test, testErr = x.read("test", TestImages, TestLabels) })
	wg.Wait()
	if err := errors.Join(trainErr, testErr); err != nil {
		return nil, nil, err
	}
	test.Classes = train.Classes
	if err := x.check(train, test); err != nil {
		return nil, nil, err
	}
	return train, test, nil
}

// Train reads the training set alone.
func (x IDX) Train() (*Set, error) { return x.one("train", TrainImages, TrainLabels) }

// Test reads the test set alone.
func (x IDX) Test() (*Set, error) { return x.one("test", TestImages, TestLabels) }

func (x IDX) one(part, images, labels string) (*Set, error) {
	s, err := x.read(part, images, labels)
	if err != nil {
		return nil, err
	}
	return s, x.check(s)
}

func (x IDX) check(sets ...*Set) error {
	for _, s := range sets {
		if err := s.Validate(); err != nil {
			return fmt.Errorf("%s: %w", x.Path, err)
		}
		if first := sets[0]; s.Height != first.Height || s.Width != first.Width {
			return fmt.Errorf("%s: %w: the images of %s are %d×%d, those of %s %d×%d",
				x.Path, ErrFormat, first.Name, first.Height, first.Width, s.Name, s.Height, s.Width)
		}
	}
	return nil
}

func (x IDX) read(part, images, labels string) (*Set, error) {
	var pixels, classes idxArray
	var pixelsErr, classesErr error
	var wg sync.WaitGroup
	wg.Go(func() { pixels, pixelsErr = x.file(images, 3) })
	wg.Go(func() { classes, classesErr = x.file(labels, 1) })
	wg.Wait()
	if err := errors.Join(pixelsErr, classesErr); err != nil {
		return nil, err
	}
	if pixels.dims[0] != classes.dims[0] {
		return nil, fmt.Errorf("%w: %s holds %d images but %s %d labels", ErrFormat, pixels.name, pixels.dims[0], classes.name, classes.dims[0])
	}
	s := &Set{
		Name: strings.TrimSpace(x.Name + " " + part), Height: pixels.dims[1], Width: pixels.dims[2], Channels: 1,
		Pixels: pixels.body, Labels: make([]uint16, len(classes.body)), Classes: x.Classes,
		mapped: pixels.mapped,
	}
	largest := uint8(0)
	for i, label := range classes.body {
		s.Labels[i] = uint16(label)
		largest = max(largest, label)
	}
	if s.Classes == nil {
		s.Classes = x.classNames(classes, int(largest)+1)
	}
	return s, nil
}

// classNames knows Fashion-MNIST by its labels, wherever its files lie. Other sets have numbers.
func (x IDX) classNames(labels idxArray, n int) []string {
	sum := labels.sum()
	if sum == FashionMNISTSHA256[TrainLabels] || sum == FashionMNISTSHA256[TestLabels] {
		return FashionMNISTClasses
	}
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}

// idxArray is an array of bytes as an IDX file holds it.
type idxArray struct {
	name   string // of the file, with its path
	header []byte
	dims   []int // each at least 1
	body   []uint8
	mapped bool // body is the file itself, read-only
}

func (a idxArray) sum() string {
	h := sha256.New()
	h.Write(a.header)
	h.Write(a.body)
	return hex.EncodeToString(h.Sum(nil))
}

// open finds a file under its four spellings.
func (x IDX) open(file string) (fs.File, string, error) {
	dotted := strings.Replace(file, "-idx", ".idx", 1)
	for _, name := range []string{file, file + ".gz", dotted, dotted + ".gz"} {
		f, err := x.Files.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		path := filepath.Join(x.Path, name)
		if err != nil {
			return nil, path, fmt.Errorf("%s: %w", path, err)
		}
		return f, path, nil
	}
	path := filepath.Join(x.Path, file)
	return nil, path, fmt.Errorf("%s, with or without .gz: %w", path, fs.ErrNotExist)
}

// file reads one of the four files, an array of bytes with the given number of dimensions.
func (x IDX) file(file string, rank int) (idxArray, error) {
	f, path, err := x.open(file)
	if err != nil {
		return idxArray{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return idxArray{}, fmt.Errorf("%s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return idxArray{}, fmt.Errorf("%s: %w: not a regular file", path, ErrFormat)
	}
	var digest hash.Hash
	want, verify := x.SHA256[file]
	if verify {
		digest = sha256.New()
	}
	var whole []byte
	if _, onDisk := f.(*os.File); onDisk && info.Size() > inMemory(x.InMemory) {
		if whole, err = contentOf(path, 0); err != nil {
			return idxArray{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	a, err := readIDX(f, info.Size(), rank, digest, whole)
	if err != nil {
		return idxArray{}, fmt.Errorf("%s: %w", path, err)
	}
	if verify {
		if got := hex.EncodeToString(digest.Sum(nil)); got != want {
			return idxArray{}, fmt.Errorf("%s: %w: the unzipped data has %s, expected %s", path, ErrHash, got, want)
		}
	}
	a.name = path
	return a, nil
}

const (
	// A deflate stream unzips to at most 1032 times its size: 258 bytes for two bits.
	maxDeflateRatio = 1032
	// Zipped images shrink to a fifth or so. What a zipped file claims beyond this ratio is believed as it arrives.
	likelyRatio = 8
	// Pictures shrink to a fifth, line drawings to a fiftieth. What shrank more than this, and is large, is a decompression bomb.
	bombRatio = 200
	// Hashing runs beside unzipping, in pieces of this size.
	hashPiece = 1 << 20
)

// notABomb refuses a zipped array of more than [DefaultInMemory] bytes that no pictures give, before memory is taken for it.
func notABomb(zipped, unzipped uint64) error {
	if unzipped > DefaultInMemory && unzipped/bombRatio > zipped {
		return fmt.Errorf("%w: a decompression bomb: %d zipped bytes hold %d, more than %d times as many",
			ErrTooLarge, zipped, unzipped, bombRatio)
	}
	return nil
}

// readIDX reads an array of bytes from an IDX file of the given size. Memory follows what the file holds, never what
// its header claims. A digest that is not nil takes the unzipped file. whole, which may be nil, is all of the file: what it holds
// is not read again then, unless it is zipped.
func readIDX(f io.Reader, size int64, rank int, digest hash.Hash, whole []byte) (idxArray, error) {
	r := bufio.NewReaderSize(f, 1<<16)
	start, err := r.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return idxArray{}, err
	}
	zipped := bytes.Equal(start, []byte{0x1f, 0x8b})
	var src io.Reader = r
	if zipped {
		z, err := gzip.NewReader(r)
		if err != nil {
			return idxArray{}, unzipError(err)
		}
		defer z.Close()
		src = z
	}

	a := idxArray{header: make([]byte, 4+4*rank), dims: make([]int, rank)}
	if n, err := io.ReadFull(src, a.header); err != nil {
		return idxArray{}, truncated(err, "the header", len(a.header), n)
	}
	if magic, want := binary.BigEndian.Uint32(a.header), uint32(0x800+rank); magic != want {
		return idxArray{}, fmt.Errorf("%w: magic number 0x%08x, expected 0x%08x (bytes, %d dimensions)", ErrFormat, magic, want, rank)
	}
	want := uint64(1)
	for i := range a.dims {
		d := binary.BigEndian.Uint32(a.header[4+4*i:])
		if d == 0 {
			return idxArray{}, fmt.Errorf("%w: dimension %d of the header is 0", ErrFormat, i)
		}
		hi, lo := bits.Mul64(want, uint64(d))
		if hi != 0 || lo > 1<<62 {
			return idxArray{}, fmt.Errorf("%w: %w: the header claims %s bytes", ErrFormat, ErrTooLarge, product(a.header[4:]))
		}
		a.dims[i], want = int(d), lo
	}
	held := uint64(max(0, size-int64(len(a.header))))
	likely := held
	if zipped {
		held, likely = uint64(size)*maxDeflateRatio, uint64(size)*likelyRatio
	}
	switch {
	case want > held && zipped:
		return idxArray{}, fmt.Errorf("%w: truncated: the header claims %s = %d bytes, more than %d zipped bytes can hold",
			ErrFormat, product(a.header[4:]), want, size)
	case want > held:
		return idxArray{}, fmt.Errorf("%w: truncated: the header claims %s = %d bytes, found %d", ErrFormat, product(a.header[4:]), want, held)
	case want < held && !zipped:
		return idxArray{}, fmt.Errorf("%w: %d bytes too many: the header claims %s = %d, found %d", ErrFormat, held-want, product(a.header[4:]), want, held)
	}

	if zipped {
		if err := notABomb(uint64(size), want); err != nil {
			return idxArray{}, fmt.Errorf("%w: %w", ErrFormat, err)
		}
	}

	if whole != nil && !zipped {
		if int64(len(whole)) != size {
			return idxArray{}, fmt.Errorf("%w: %d bytes were %d before", ErrFormat, len(whole), size)
		}
		a.body, a.mapped = whole[len(a.header):], true
		if digest == nil {
			return a, nil
		}
		return a, readingFile("the file", func() { digest.Write(whole) })
	}
	if digest != nil {
		digest.Write(a.header)
		tee, done := hashBeside(digest, int(want/hashPiece)+1)
		a.body, err = readGrowing(src, int(want), int(min(want, likely)), tee)
		done()
	} else {
		a.body, err = readGrowing(src, int(want), int(min(want, likely)), func([]byte) {})
	}
	if err != nil {
		return idxArray{}, truncated(err, product(a.header[4:]), int(want), len(a.body))
	}
	// Reading on to the end of the stream also checks gzip's own checksum.
	if n, err := io.ReadFull(src, make([]byte, 1)); n > 0 {
		return idxArray{}, fmt.Errorf("%w: bytes too many: the header claims %s = %d, found more", ErrFormat, product(a.header[4:]), want)
	} else if err != io.EOF {
		return idxArray{}, unzipError(err)
	}
	return a, nil
}

// readGrowing reads n bytes into memory that starts at the given size and doubles as bytes arrive. Each piece that
// has arrived goes to tee. On an error it returns what was there.
func readGrowing(r io.Reader, n, start int, tee func([]byte)) ([]byte, error) {
	buf := make([]byte, 0, start)
	for len(buf) < n {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(n, max(2*cap(buf), 4096)))
			copy(grown, buf)
			buf = grown
		}
		piece := buf[len(buf):min(cap(buf), len(buf)+hashPiece)]
		got, err := io.ReadFull(r, piece)
		buf = buf[:len(buf)+got]
		if err != nil {
			return buf, err
		}
		tee(piece)
	}
	return buf, nil
}

// hashBeside returns a function that hands pieces to a digest in another goroutine, and one that waits for it.
func hashBeside(digest hash.Hash, pieces int) (tee func([]byte), wait func()) {
	queue := make(chan []byte, min(pieces, 64))
	var wg sync.WaitGroup
	wg.Go(func() {
		for piece := range queue {
			digest.Write(piece)
		}
	})
	return func(piece []byte) { queue <- piece }, func() { close(queue); wg.Wait() }
}

// truncated tells the end of the data from a reader's own errors.
func truncated(err error, what string, want, got int) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: truncated: %s needs %d bytes, found %d", ErrFormat, what, want, got)
	}
	return unzipError(err)
}

// unzipError blames the file for what gzip reports and passes on errors of the file system.
func unzipError(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: truncated: the zipped data ends early", ErrFormat)
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// product writes dimensions as 60000×28×28.
func product(dims []byte) string {
	var text strings.Builder
	for i := 0; i < len(dims); i += 4 {
		if i > 0 {
			text.WriteString("×")
		}
		fmt.Fprint(&text, binary.BigEndian.Uint32(dims[i:]))
	}
	return text.String()
}
