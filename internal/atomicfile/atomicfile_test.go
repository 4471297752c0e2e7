package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// names lists dir, sorted.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Fatalf("%s holds %d bytes %.40q, want %d bytes %.40q", path, len(got), got, len(want), want)
	}
}

func TestWriteCreatesAndReplaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "history.csv")
	for _, content := range []string{"epoch,loss\n", strings.Repeat("0,0.5\n", 100_000), "", "x"} {
		if err := WriteBytes(path, 0o644, []byte(content)); err != nil {
			t.Fatal(err)
		}
		wantContent(t, path, content)
		if got := names(t, dir); !slices.Equal(got, []string{"history.csv"}) {
			t.Fatalf("folder holds %q, want history.csv alone", got)
		}
	}
}

func TestWriteInWorkingFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := WriteBytes("config.yaml", 0o644, []byte("seed: 1\n")); err != nil {
		t.Fatal(err)
	}
	wantContent(t, filepath.Join(dir, "config.yaml"), "seed: 1\n")
}

func TestWriteMode(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no permission bits")
	}
	path := filepath.Join(t.TempDir(), "f")
	if err := WriteBytes(path, 0o600, []byte("x")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %v, want -rw-------", got)
	}
}

func TestWriteFailureLeavesOldFile(t *testing.T) {
	t.Parallel()
	errFill := errors.New("no more weights")
	tests := []struct {
		name string
		fill func(io.Writer) error
	}{
		{"at once", func(io.Writer) error { return errFill }},
		{"after a part in the buffer", func(w io.Writer) error {
			_, err := io.WriteString(w, "half")
			return errors.Join(errFill, err)
		}},
		{"after a part on the disk", func(w io.Writer) error {
			_, err := w.Write(make([]byte, 1<<20))
			return errors.Join(errFill, err)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			if err := WriteBytes(path, 0o644, []byte("old")); err != nil {
				t.Fatal(err)
			}
			err := Write(path, 0o644, test.fill)
			if !errors.Is(err, errFill) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one that wraps %q and names %s", err, errFill, path)
			}
			wantContent(t, path, "old")
			if got := names(t, dir); !slices.Equal(got, []string{"f"}) {
				t.Errorf("folder holds %q, want f alone", got)
			}
		})
	}
}

func TestWritePanicLeavesOldFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := WriteBytes(path, 0o644, []byte("old")); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of fill was swallowed")
			}
		}()
		_ = Write(path, 0o644, func(io.Writer) error { panic("fill") })
	}()
	wantContent(t, path, "old")
	if got := names(t, dir); !slices.Equal(got, []string{"f"}) {
		t.Errorf("folder holds %q, want f alone", got)
	}
}

func TestWriteBadPaths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "folder", "inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plain"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path string
		is         error // nil: any error
	}{
		{"missing folder", filepath.Join(dir, "none", "f"), fs.ErrNotExist},
		{"file as folder", filepath.Join(dir, "plain", "f"), nil},
		{"name of a folder", filepath.Join(dir, "folder"), nil},
		{"trailing separator", dir + string(filepath.Separator), nil},
		{"empty", "", nil},
	}
	for _, test := range tests {
		err := WriteBytes(test.path, 0o644, []byte("x"))
		if err == nil || test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: error %v, want one that is %v", test.name, err, test.is)
		}
	}
	if got := names(t, dir); !slices.Equal(got, []string{"folder", "plain"}) {
		t.Errorf("folder holds %q, want nothing new", got)
	}
}

// disk is a file on a disk that fails at one step.
type disk struct {
	free                int // bytes until Write fails
	syncErr, closeErr   error
	synced, closed, got int
}

var errFull = errors.New("no space left on device")

func (d *disk) Write(p []byte) (int, error) {
	n := min(len(p), d.free-d.got)
	d.got += n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}
func (d *disk) Sync() error  { d.synced = d.got; return d.syncErr }
func (d *disk) Close() error { d.closed++; return d.closeErr }

func TestFailingDisk(t *testing.T) {
	t.Parallel()
	const size = 200_000
	tests := []struct {
		name string
		disk disk
		want error
	}{
		{"room enough", disk{free: size}, nil},
		{"one byte short", disk{free: size - 1}, errFull},
		{"full from the start", disk{free: 0}, errFull},
		{"full at sync", disk{free: size, syncErr: errFull}, errFull},
		{"full at close", disk{free: size, closeErr: errFull}, errFull},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := test.disk
			err := flushed(&d, func(w io.Writer) error {
				for range size / 1000 {
					// An ill-behaved fill that ignores errors: the buffer remembers the first one.
					_, _ = w.Write(make([]byte, 1000))
				}
				return nil
			})
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if d.closed != 1 {
				t.Errorf("closed %d times, want once", d.closed)
			}
			if err == nil && d.synced != size {
				t.Errorf("%d bytes were flushed, want %d", d.synced, size)
			}
		})
	}
}

func TestRemoveTemporary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keep := []string{".hidden", "a.tmp", "f", "x.gcnn-tmp-1"}
	for _, name := range append([]string{".f" + tempMark + "ABC"}, keep...) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveTemporary(dir); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); !slices.Equal(got, keep) {
		t.Errorf("folder holds %q, want %q", got, keep)
	}
	if err := RemoveTemporary(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: error %v, want fs.ErrNotExist", err)
	}
}

// killedWriter names, in the child of TestKill, the file that it writes over and over.
const killedWriter = "ATOMICFILE_TEST_KILLED_WRITER"

// generation is a file content of which a part, or a mixture of two, is recognised: its number on 100,000 lines.
func generation(i int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("%08d\n", i)), 100_000)
}

// TestKill kills a process that writes one file without pause, at moments spread over several writes, and looks at
// what it left.
func TestKill(t *testing.T) {
	if path := os.Getenv(killedWriter); path != "" {
		for i := 0; ; i++ {
			if err := WriteBytes(path, 0o644, generation(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	killedInside := 0
	for try := range 25 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
		child.Env = append(os.Environ(), killedWriter+"="+path)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		// Count from when the child has begun to write, so that a slow start is not taken for a kill inside a write.
		deadline := time.Now().Add(20 * time.Second)
		for before := modTime(path); modTime(path).Equal(before); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the child writes nothing")
			}
		}
		time.Sleep(time.Duration(try*700) * time.Microsecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it reports the kill
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var i int
		if _, err := fmt.Sscanf(string(content[:min(len(content), 9)]), "%d\n", &i); err != nil || !bytes.Equal(content, generation(i)) {
			t.Fatalf("kill %d left a file of %d bytes that is no whole generation", try, len(content))
		}
		if len(names(t, dir)) > 1 {
			killedInside++
		}
		if err := RemoveTemporary(dir); err != nil {
			t.Fatal(err)
		}
		if got := names(t, dir); !slices.Equal(got, []string{"f"}) {
			t.Fatalf("folder holds %q, want f alone", got)
		}
	}
	if killedInside == 0 {
		t.Error("no kill fell into a write: the test proves nothing")
	}
}

// modTime is the zero time while path does not exist.
func modTime(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
