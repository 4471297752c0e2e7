package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gcnn/data"
)

// TestPictures reads what the command wrote as gcnn does, and wants the same files again, however many there are.
func TestPictures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	few, more := filepath.Join(dir, "few"), filepath.Join(dir, "more")
	for _, args := range [][]string{{"-size", "32", "-train", "2", "-validation", "1", few}, {"-size", "32", "-train", "3", "-validation", "0", more}} {
		if err := run(args, io.Discard, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	train, validation, err := data.Folder{Dir: few, Height: 32, Width: 32, Channels: 3}.Load()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range classes {
		names = append(names, k.name)
	}
	if !slices.Equal(train.Classes, names) || train.Len() != 20 || validation.Len() != 10 {
		t.Errorf("%d training and %d validation pictures of %v", train.Len(), validation.Len(), train.Classes)
	}
	const file = "train/star/00001.jpg"
	a, err := os.ReadFile(filepath.Join(few, file))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(more, file)); err != nil || !bytes.Equal(a, b) {
		t.Errorf("%s differs: %v", file, err)
	}
	if err := run([]string{few}, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("into a folder that is not empty: %v", err)
	}
	if err := run([]string{"-size", "3", filepath.Join(dir, "x")}, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "-size is from 16") {
		t.Errorf("too small: %v", err)
	}
}
