package data

import (
	"archive/zip"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files map[string][]byte
		path  string
		train string // the training set's name
		n     int
		test  bool
	}{
		{"IDX", smallIDX(), ".", "set train", 3, true},
		{"CIFAR-10", smallCIFAR10(""), ".", "cifar10 train", 10, true},
		{"CIFAR-100 in its archive's folder", smallCIFAR100("cifar-100-binary/"), ".", "cifar100 train", 2, true},
		{"NPZ", map[string][]byte{"digits.npz": npzBytes(t, zip.Deflate, smallNPZ(t))}, "digits.npz", "digits train", 3, true},
		{"pictures", smallFolder(t, "test"), ".", "set train", 4, true},
		{"pictures without a test set", smallFolder(t, ""), ".", "set train", 4, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "set")
			writeFiles(t, dir, c.files)
			train, test, err := Open(filepath.Join(dir, c.path), Folder{Height: 4, Width: 4, Channels: 1})
			if err != nil {
				t.Fatal(err)
			}
			if train.Name != c.train || train.Len() != c.n || (test != nil) != c.test {
				t.Errorf("%s: %d images, test %v", train.Name, train.Len(), test != nil)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one := smallIDX()
	writeFiles(t, dir, map[string][]byte{
		"empty/readme": {1}, "text.txt": {1}, "half/" + TestLabels: one[TestLabels], "pictures/cat/1.png": pngBytes(t, grey(1, 1, 1)),
	})
	for _, c := range []struct {
		path, want string
		is         error
	}{
		{"none", "none: no such file or directory", fs.ErrNotExist},
		{"text.txt", "text.txt: unknown data set: expected a folder or an .npz file", ErrUnknown},
		{"empty", "empty: unknown data set: found neither IDX files (train-images-idx3-ubyte), nor CIFAR's binary files (data_batch_1.bin or train.bin), nor class folders of pictures", ErrUnknown},
		{"half", "train-images-idx3-ubyte, with or without .gz: file does not exist", fs.ErrNotExist},
		{"pictures", "images of 0×0×0 are asked for", nil},
	} {
		_, _, err := Open(filepath.Join(dir, c.path), Folder{})
		if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%v\nwant %q", err, c.want)
		}
	}
}
