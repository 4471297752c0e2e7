package catalog

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcnn/data"
)

func TestList(t *testing.T) {
	t.Parallel()
	sizes := map[string]int64{"fashion-mnist": 30878645, "mnist": 11594722, "cifar10": 170052171, "cifar100": 168513733}
	for _, e := range List() {
		if e.Size() != sizes[e.Name] || e.Description == "" || e.License == "" {
			t.Errorf("%s: %d bytes, want %d; %q, %q", e.Name, e.Size(), sizes[e.Name], e.Description, e.License)
		}
		for _, f := range append(e.source.files, e.source.files[0].unpack...) {
			if sum, err := hex.DecodeString(f.sha256); err != nil || len(sum) != 32 || f.size < 1 {
				t.Errorf("%s: %s has the sha256 %q and %d bytes", e.Name, f.name, f.sha256, f.size)
			}
		}
	}
	if len(List()) != len(sizes) {
		t.Errorf("%d sets, want %d", len(List()), len(sizes))
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	train, test, err := Open("fashion-mnist", data.Folder{})
	if err != nil || train.Len() != 60000 || test.Len() != 10000 {
		t.Errorf("fashion-mnist: %v", err)
	}
	train, _, err = Open(filepath.Join("..", "fashionmnist"), data.Folder{})
	if err != nil || train.Len() != 60000 || train.Classes[9] != "ankle boot" {
		t.Errorf("the folder of the embedded files: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		source, want string
		is           error
	}{
		{"mnist", `mnist: unknown data set: it is not built in; "gcnn data fetch mnist --dir DIR" downloads it, and DIR then names it`, data.ErrUnknown},
		{"fasion-mnist", `fasion-mnist: no such file or directory; "fasion-mnist": unknown data set, expected one of fashion-mnist, mnist, cifar10, cifar100`, data.ErrUnknown},
		{"./none", "none: no such file or directory", os.ErrNotExist},
		{dir, "unknown data set: found neither IDX files", data.ErrUnknown},
	} {
		if _, _, err := Open(c.source, data.Folder{}); err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.is) {
			t.Errorf("%s: %v\nwant %q", c.source, err, c.want)
		}
	}
}
