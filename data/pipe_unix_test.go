//go:build unix

package data

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Opening a named pipe would wait for a writer for ever.
func TestFolderNamedPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFiles(t, dir, smallFolder(t, ""))
	if err := syscall.Mkfifo(filepath.Join(dir, "train", "dog", "c.png"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, err := Folder{Dir: dir, Height: 4, Width: 4, Channels: 1}.Load()
	if err == nil || !strings.HasSuffix(err.Error(), "c.png: invalid data: not a regular file") {
		t.Errorf("%v", err)
	}
}
