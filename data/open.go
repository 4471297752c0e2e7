package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Open reads whatever kind of set a path holds: a folder of IDX files, of CIFAR's binary files or of class folders
// with pictures, or an .npz file. Only pictures need the options of a [Folder], whose Dir is then the path. test is
// nil where a set of pictures or an .npz file has none. A path that holds none of these wraps [ErrUnknown].
//
// A set whose file holds one class after the other is spread as a [Folder]'s is. Any other keeps its order, and so does a file
// that is used where it lies, [IDX.InMemory].
func Open(path string, pictures Folder) (train, test *Set, err error) {
	if train, test, err = read(path, pictures); err != nil {
		return nil, nil, err
	}
	train.spreadSorted()
	test.spreadSorted()
	return train, test, nil
}

func read(path string, pictures Folder) (train, test *Set, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if !info.IsDir() {
		if strings.EqualFold(filepath.Ext(path), ".npz") {
			return ReadNPZ(path)
		}
		return nil, nil, fmt.Errorf("%s: %w: expected a folder or an .npz file", path, ErrUnknown)
	}
	fsys := os.DirFS(path)
	if holdsIDX(fsys) {
		return ReadIDX(path)
	}
	if _, _, found := findCIFAR(fsys); found {
		return ReadCIFAR(path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		if entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
			pictures.Dir = path
			return pictures.Load()
		}
	}
	return nil, nil, fmt.Errorf("%s: %w: found neither IDX files (%s), nor CIFAR's binary files (%s or %s), nor class folders of pictures",
		path, ErrUnknown, TrainImages, cifarKinds[0].train[0], cifarKinds[1].train[0])
}

// holdsIDX tells whether any of the four files is there, so that a missing one is named by the reader.
func holdsIDX(fsys fs.FS) bool {
	for _, file := range []string{TrainImages, TrainLabels, TestImages, TestLabels} {
		if f, _, err := (IDX{Files: fsys}).open(file); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				f.Close()
			}
			return true
		}
	}
	return false
}
