package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// TestReadOnlyFolder asks for permission as an unprivileged user, also where the tests run as root, whom no mode stops.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // the way to dir is open: dir alone refuses
		t.Fatal(err)
	}
	path := filepath.Join(dir, "f")
	if err := WriteBytes(path, 0o644, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		if os.Geteuid() == 0 {
			// The file-system user belongs to the thread; the thread ends with this goroutine, as it is never unlocked.
			runtime.LockOSThread()
			if err := syscall.Setfsuid(65534); err != nil {
				result <- err
				return
			}
		}
		result <- WriteBytes(path, 0o644, []byte("new"))
	}()
	if err := <-result; !errors.Is(err, fs.ErrPermission) {
		t.Errorf("error %v, want fs.ErrPermission", err)
	}
	wantContent(t, path, "old")
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("folder holds %q, want f alone", got)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // so that the test framework can remove it
		t.Fatal(err)
	}
}
