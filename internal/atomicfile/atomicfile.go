// Package atomicfile writes files that are whole or absent.
//
// A process may be killed, a machine may lose power or a disk may fill up at any moment of a write. A reader, or the
// next run, then finds under the file's name either what was there before or all of the new content, never a part.
package atomicfile

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tempMark is part of every temporary name. It is long enough never to be taken for a user's own file.
const tempMark = ".gcnn-tmp-"

// Write puts what fill writes into the file path, replacing an earlier file of that name in one step.
//
// The content goes to a temporary file in the same folder, is flushed to the disk (fsync), and is renamed to path; the
// folder is then flushed too, where the operating system can. perm is the mode of the new file before the umask. The
// writer that fill gets is buffered and is not to be used after fill returns.
//
// On any error, also one from fill, path is as it was and the temporary file is gone. The one exception is an error
// from flushing the folder, after which path holds the new content, but may go back to the old one at a power failure.
// A killed process leaves its temporary file behind: it does no harm, and [RemoveTemporary] clears it away.
func Write(path string, perm fs.FileMode, fill func(io.Writer) error) error {
	dir, base := filepath.Split(path)
	if base == "" || base == "." || base == ".." {
		return fmt.Errorf("write %q: the path names no file", path)
	}
	// Random names never meet, so that two writers of one path cannot mix: the later rename wins with a whole file.
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("write %s: it is a folder", path)
	}
	temp := filepath.Join(dir, "."+base+tempMark+rand.Text())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, unnamed(err))
	}
	renamed := false
	defer func() { // also when fill panics
		if !renamed {
			_ = f.Close() // a second Close is harmless; Windows cannot remove an open file
			_ = os.Remove(temp)
		}
	}()
	if err := flushed(f, fill); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, unnamed(err))
	}
	renamed = true
	if err := syncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: flush the folder: %w", path, err)
	}
	return nil
}

// unnamed is an error of the operating system without the temporary name, which means nothing to a user.
func unnamed(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

// WriteBytes is [Write] for content that is in memory already.
func WriteBytes(path string, perm fs.FileMode, content []byte) error {
	return Write(path, perm, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// file is what flushed needs of an *os.File; tests stand a failing disk behind it.
type file interface {
	io.WriteCloser
	Sync() error
}

// flushed lets fill write into f, flushes f to the disk and closes it. Each step can be the one that a full disk or a
// failing network file system reports at, so none may be ignored.
func flushed(f file, fill func(io.Writer) error) error {
	w := bufio.NewWriterSize(f, 1<<16)
	if err := fill(w); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := w.Flush(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// IsTemporary reports whether name, with or without a folder, is one that [Write] gives its temporary files.
func IsTemporary(name string) bool {
	base := filepath.Base(name)
	return strings.HasPrefix(base, ".") && strings.Contains(base, tempMark)
}

// RemoveTemporary removes from dir the temporary files that killed processes left behind. It must run only while no
// other process writes there, that is, under the folder's lock.
func RemoveTemporary(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var failed error
	for _, e := range entries {
		if e.Type().IsRegular() && IsTemporary(e.Name()) {
			failed = errors.Join(failed, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return failed
}
