package catalog

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gcnn/data"
)

// content is what the server should send: 200,000 bytes, several of the reader's buffers.
var content = func() []byte {
	b := make([]byte, 200_000)
	for i := range b {
		b[i] = byte(i * i >> 3)
	}
	return b
}()

func fileOf(name string, b []byte, unpack ...file) file {
	sum := sha256.Sum256(b)
	return file{name, int64(len(b)), hex.EncodeToString(sum[:]), unpack}
}

// A server answers its n-th request with the n-th behaviour, and later ones with the last.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	ranges []string // the Range headers that were asked for
}

type behaviour func(w http.ResponseWriter, r *http.Request)

func serve(t *testing.T, behaviours ...behaviour) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		n := len(s.ranges)
		s.ranges = append(s.ranges, r.Header.Get("Range"))
		s.mu.Unlock()
		behaviours[min(n, len(behaviours)-1)](w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// honest serves b with ranges.
func honest(b []byte) behaviour {
	return func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}
}

// cut breaks the connection after n bytes of what it should send.
func cut(n int) behaviour {
	return func(w http.ResponseWriter, r *http.Request) {
		first := 0
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &first); err == nil {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, len(content)-1, len(content)))
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(content[first : first+n])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// stall sends n bytes from the start and then nothing.
func stall(n int) behaviour {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:n])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

func status(code int) behaviour {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// noRanges sends everything, whatever is asked for.
func noRanges(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }

// chunked sends b without saying how long it is.
func chunked(b []byte) behaviour {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		_, _ = w.Write(b)
	}
}

// wrongRange answers a question for a range with another one.
func wrongRange(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Range", fmt.Sprintf("bytes 5-%d/%d", len(content)-1, len(content)))
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(content[5:])
}

func TestFetch(t *testing.T) {
	t.Parallel()
	lie := slices.Clone(content)
	lie[1000] ^= 1
	half := content[:100_000]
	for _, c := range []struct {
		name     string
		part     []byte // of an earlier call
		answers  []behaviour
		ranges   []string // that the server is asked for, "" for the whole; nil: not looked at
		attempts int
		want     string // of the error
		is       error
	}{
		{name: "at once", answers: []behaviour{honest(content)}, ranges: []string{""}},
		{name: "a part is continued", part: half, answers: []behaviour{honest(content)}, ranges: []string{"bytes=100000-"}},
		{name: "a whole part is not fetched again", part: content, answers: []behaviour{status(500)}, ranges: []string{}},
		{name: "a part that is too long is fetched again", part: append(slices.Clone(content), 1), answers: []behaviour{honest(content)}, ranges: []string{""}},
		{name: "cut again and again", answers: []behaviour{cut(60_000), cut(60_000), cut(60_000), honest(content)},
			ranges: []string{"", "bytes=60000-", "bytes=120000-", "bytes=180000-"}, attempts: 1},
		{name: "stalls once", answers: []behaviour{stall(70_000), honest(content)}, ranges: []string{"", "bytes=70000-"}},
		{name: "stalls for ever", answers: []behaviour{stall(0)}, attempts: 2, want: "after 2 attempts without a new byte: the server stopped sending for 100ms", is: ErrStalled},
		{name: "cannot resume", part: half, answers: []behaviour{noRanges}, ranges: []string{"bytes=100000-"}},
		{name: "answers with another range", part: half, answers: []behaviour{wrongRange, honest(content)}, ranges: []string{"bytes=100000-", ""}},
		{name: "refuses the range", part: half, answers: []behaviour{status(416), honest(content)}, ranges: []string{"bytes=100000-", ""}},
		{name: "busy twice", answers: []behaviour{status(503), status(429), honest(content)}, ranges: []string{"", "", ""}},
		{name: "a bad part is replaced", part: lie[:100_000], answers: []behaviour{honest(content)}, ranges: []string{"bytes=100000-", ""}},
		{name: "lies once", answers: []behaviour{honest(lie), honest(content)}, ranges: []string{"", ""}},
		{name: "lies for ever", answers: []behaviour{honest(lie)}, ranges: []string{"", ""},
			want: "sha256 mismatch: the server sends a file with " + fileOf("", lie).sha256 + ", expected " + fileOf("", content).sha256, is: data.ErrHash},
		{name: "another length", answers: []behaviour{honest(half)}, ranges: []string{""}, want: "the server does not have the file: it offers 100000 bytes, expected 200000", is: errRefused},
		{name: "too much", answers: []behaviour{chunked(append(slices.Clone(content), 1))}, ranges: []string{""},
			want: "the server does not have the file: it sends more than the expected 200000 bytes", is: errRefused},
		{name: "missing", answers: []behaviour{status(404)}, ranges: []string{""}, want: "the server does not have the file: 404 Not Found", is: errRefused},
		{name: "always busy", answers: []behaviour{status(500)}, attempts: 3, ranges: []string{"", "", ""}, want: "after 3 attempts without a new byte: ", is: nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "new")
			s := serve(t, c.answers...)
			f := Fetcher{BaseURL: s.URL + "/", Client: s.Client(), Attempts: c.attempts, Pause: time.Millisecond}
			if strings.HasPrefix(c.name, "stalls") {
				f.Stall = 100 * time.Millisecond // a busy machine is silent for that long, too
			}
			if c.part != nil {
				if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "set.bin.part"), c.part, 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			err := f.fetch(t.Context(), []file{fileOf("set.bin", content)}, dir)
			got, readErr := os.ReadFile(filepath.Join(dir, "set.bin"))
			if c.want == "" {
				if err != nil || readErr != nil || !bytes.Equal(got, content) {
					t.Errorf("%v, %v, %d bytes", err, readErr, len(got))
				}
				if _, err := os.Stat(filepath.Join(dir, "set.bin.part")); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("a part is left: %v", err)
				}
			} else {
				if err == nil || !strings.HasPrefix(err.Error(), "fetch set.bin: ") || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
					t.Errorf("%v\nwant %q", err, c.want)
				}
				if !errors.Is(readErr, os.ErrNotExist) {
					t.Errorf("a file of %d bytes has the name after an error", len(got))
				}
			}
			if c.ranges != nil && !slices.Equal(s.ranges, c.ranges) {
				t.Errorf("the server was asked for %q, want %q", s.ranges, c.ranges)
			}
		})
	}
}

func TestFetchKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, honest(content))
	f := Fetcher{BaseURL: s.URL}
	var progress []int64
	f.Progress = func(name string, done, total int64) {
		if name != "set.bin" || total != 200_000 {
			t.Errorf("progress of %s, %d bytes", name, total)
		}
		progress = append(progress, done)
	}
	files := []file{fileOf("set.bin", content)}
	for range 2 {
		if err := f.fetch(t.Context(), files, dir); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.ranges) != 1 || !slices.IsSorted(progress) || progress[len(progress)-1] != 200_000 {
		t.Errorf("%d requests, progress %v", len(s.ranges), progress)
	}
	// A file of the right size and the wrong content is no whole file.
	if err := os.WriteFile(filepath.Join(dir, "set.bin"), make([]byte, len(content)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.fetch(t.Context(), files, dir); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "set.bin")); err != nil || !bytes.Equal(got, content) || len(s.ranges) != 2 {
		t.Errorf("%v, %d requests", err, len(s.ranges))
	}
}

func TestFetchIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	s := serve(t, stall(70_000))
	f := Fetcher{BaseURL: s.URL, Progress: func(_ string, done, _ int64) {
		if done == 70_000 {
			cancel()
		}
	}}
	if err := f.fetch(ctx, []file{fileOf("set.bin", content)}, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if part, err := os.ReadFile(filepath.Join(dir, "set.bin.part")); err != nil || !bytes.Equal(part, content[:70_000]) {
		t.Errorf("%d bytes are kept, %v, want 70000", len(part), err)
	}
}

func TestFetchErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := (Fetcher{}).Fetch(t.Context(), "imagenet", dir); !errors.Is(err, data.ErrUnknown) || err.Error() != `"imagenet": unknown data set, expected one of fashion-mnist, mnist, cifar10, cifar100` {
		t.Errorf("%v", err)
	}
	if err := (Fetcher{BaseURL: "http://127.0.0.1:1"}).Fetch(t.Context(), "mnist", filepath.Join(dir, "file")); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("%v", err)
	}
	if err := (Fetcher{BaseURL: "::"}).Fetch(t.Context(), "mnist", dir); !errors.Is(err, errRefused) {
		t.Errorf("%v", err)
	}
}

// The names of the set's files are those under the base URL, here of the smallest set that there is.
func TestFetchByName(t *testing.T) {
	t.Parallel()
	embedded := http.StripPrefix("/sets", http.FileServer(http.Dir(filepath.Join("..", "fashionmnist"))))
	s := serve(t, embedded.ServeHTTP)
	dir := t.TempDir()
	if err := (Fetcher{BaseURL: s.URL + "/sets"}).Fetch(t.Context(), "fashion-mnist", dir); err != nil {
		t.Fatal(err)
	}
	train, test, err := Open(dir, data.Folder{})
	if err != nil || train.Len() != 60000 || test.Len() != 10000 || len(s.ranges) != 4 {
		t.Errorf("%v, %d requests", err, len(s.ranges))
	}
}

type member struct {
	name    string
	kind    byte
	content []byte
}

func archive(t *testing.T, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, m := range members {
		header := &tar.Header{Name: m.name, Typeflag: m.kind, Size: int64(len(m.content)), Mode: 0o644}
		if m.kind == tar.TypeSymlink {
			header.Size, header.Linkname = 0, "/etc/passwd"
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if m.kind == tar.TypeReg {
			if _, err := w.Write(m.content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFetchUnpacks(t *testing.T) {
	t.Parallel()
	one, two := []byte("first batch"), []byte("second")
	want := []file{fileOf("one.bin", one), fileOf("two.bin", two)}
	whole := archive(t, member{"set/", tar.TypeDir, nil}, member{"set/one.bin", tar.TypeReg, one}, member{"set/readme", tar.TypeReg, []byte("?")}, member{"set/two.bin", tar.TypeReg, two})
	for _, c := range []struct {
		name    string
		archive []byte
		want    string
	}{
		{"whole", whole, ""},
		{"paths out of the folder", archive(t, member{"../../one.bin", tar.TypeReg, one}, member{"/two.bin", tar.TypeReg, two}, member{"../evil", tar.TypeReg, two}), ""},
		{"missing", archive(t, member{"one.bin", tar.TypeReg, one}), "invalid data: the archive lacks two.bin"},
		{"a link", archive(t, member{"one.bin", tar.TypeReg, one}, member{"two.bin", tar.TypeSymlink, nil}), "invalid data: the archive lacks two.bin"},
		{"another size", archive(t, member{"one.bin", tar.TypeReg, two}), "invalid data: one.bin has 6 bytes, expected 11"},
		{"no archive", []byte("hello"), "invalid data: "},
		{"cut", whole[:len(whole)-40], ": unexpected EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			dir := filepath.Join(parent, "new")
			s := serve(t, honest(c.archive))
			f := Fetcher{BaseURL: s.URL}
			files := []file{fileOf("set.tar.gz", c.archive, want...)}
			err := f.fetch(t.Context(), files, dir)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			if err == nil {
				err = f.fetch(t.Context(), files, dir) // finds it all there
			}
			got, readErr := os.ReadFile(filepath.Join(dir, "two.bin"))
			left, globErr := filepath.Glob(filepath.Join(dir, "*"))
			outside, outsideErr := filepath.Glob(filepath.Join(parent, "*"))
			if err := errors.Join(err, readErr, globErr, outsideErr); err != nil || !bytes.Equal(got, two) || len(left) != 2 || len(outside) != 1 || len(s.ranges) != 1 {
				t.Errorf("%v, two.bin %q, in the folder %v, beside it %v, %d requests", err, got, left, outside, len(s.ranges))
			}
		})
	}
}
