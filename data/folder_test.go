package data

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// smallFolder holds four training and two validation images; each is of one grey level.
func smallFolder(t testing.TB, validation string) map[string][]byte {
	files := map[string][]byte{
		"train/cat/1.png": pngBytes(t, grey(10, 8, 11)), "train/cat/2.PNG": pngBytes(t, grey(8, 8, 12)),
		"train/dog/a.png": pngBytes(t, grey(30, 8, 21)), "train/dog/b.png": pngBytes(t, grey(8, 30, 22)),
		"train/dog/notes.txt": []byte("not an image"), "train/.DS_Store": {1}, "train/dog/.hidden.png": {1}, "train/readme.md": {1},
	}
	if validation != "" {
		files[validation+"/cat/1.png"] = pngBytes(t, grey(4, 4, 31))
		files[validation+"/dog/1.png"] = pngBytes(t, grey(4, 4, 32))
	}
	return files
}

// levelsOf returns the grey level of each image and fails where one has several.
func levelsOf(t *testing.T, s *Set) []uint8 {
	t.Helper()
	var levels []uint8
	for i := range s.Len() {
		img := s.Image(i)
		if slices.Max(img) != slices.Min(img) {
			t.Errorf("%s: image %d is not of one level", s.Name, i)
		}
		levels = append(levels, img[0])
	}
	return levels
}

func TestFolder(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"validation", "val", "valid", "test"} {
		dir := filepath.Join(t.TempDir(), "pets")
		writeFiles(t, dir, smallFolder(t, name))
		train, validation, err := Folder{Dir: dir, Height: 4, Width: 6, Channels: 3}.Load()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(train.Validate(), validation.Validate()); err != nil {
			t.Error(err)
		}
		if train.Name != "pets train" || validation.Name != "pets "+name || train.Height != 4 || train.Width != 6 || train.Channels != 3 {
			t.Errorf("%s and %s, %s", train.Name, validation.Name, describe(train))
		}
		if got := levelsOf(t, train); !slices.Equal(got, []uint8{11, 21, 12, 22}) || !slices.Equal(train.Labels, []uint16{0, 1, 0, 1}) {
			t.Errorf("levels %v, labels %v", got, train.Labels)
		}
		if got := levelsOf(t, validation); !slices.Equal(got, []uint8{31, 32}) || !slices.Equal(validation.Labels, []uint16{0, 1}) {
			t.Errorf("validation: levels %v, labels %v", got, validation.Labels)
		}
		if !slices.Equal(train.Classes, []string{"cat", "dog"}) || !slices.Equal(validation.Classes, train.Classes) {
			t.Errorf("classes %q", train.Classes)
		}
	}
}

func TestFolderWithoutParts(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pets")
	writeFiles(t, filepath.Dir(dir), map[string][]byte{"pets/cat/1.png": pngBytes(t, grey(8, 8, 1)), "pets/dog/1.png": pngBytes(t, grey(8, 8, 2))})
	train, validation, err := Folder{Dir: dir, Height: 2, Width: 2, Channels: 1}.Load()
	if err != nil || validation != nil || train.Len() != 2 || train.Name != "pets train" {
		t.Errorf("%v, %v, %v", train, validation, err)
	}
}

func TestFolderErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		edit   func(dir string) error
		folder Folder
		want   string
	}{
		{"no folder", os.RemoveAll, Folder{}, "no such file or directory"},
		{"no train", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "train")) }, Folder{}, "a folder validation but none named train"},
		{"no classes", func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "train")), os.Mkdir(filepath.Join(dir, "train"), 0o755))
		}, Folder{}, "train: invalid data: no class folders in it"},
		{"no images", func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "train")), os.MkdirAll(filepath.Join(dir, "train", "cat"), 0o755))
		}, Folder{}, "train: invalid data: no .png, .jpg, .jpeg or .gif files in its class folders (cat)"},
		{"unknown class", func(dir string) error { return os.Mkdir(filepath.Join(dir, "validation", "cow"), 0o755) }, Folder{},
			`validation: invalid data: class "cow" is not one of the training set's: cat, dog`},
		{"folder in a class", func(dir string) error { return os.Mkdir(filepath.Join(dir, "train", "cat", "more"), 0o755) }, Folder{},
			"more: invalid data: a folder inside a class folder, expected images"},
		{"corrupt", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "train", "dog", "c.png"), []byte("no"), 0o644)
		}, Folder{},
			"c.png: invalid data: neither PNG, JPEG nor GIF"},
		{"huge", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "train", "dog", "c.png"), claimPNG(t, 100_000, 100_000), 0o644)
		}, Folder{}, "c.png: invalid data: too large: a png image of 100000×100000 pixels"},
		{"link out of the tree", func(dir string) error {
			outside := filepath.Join(filepath.Dir(dir), "outside.png")
			return errors.Join(os.WriteFile(outside, pngBytes(t, grey(4, 4, 1)), 0o644), os.Symlink(outside, filepath.Join(dir, "train", "dog", "c.png")))
		}, Folder{SkipBad: true}, "c.png: path escapes from parent"},
		{"class that leads out of the tree", func(dir string) error { return os.Symlink("../..", filepath.Join(dir, "train", "cow")) }, Folder{},
			"cow: path escapes from parent"},
		{"only corrupt", func(dir string) error {
			for _, file := range []string{"cat/1.png", "cat/2.PNG", "dog/a.png", "dog/b.png"} {
				if err := os.Truncate(filepath.Join(dir, "train", file), 20); err != nil {
					return err
				}
			}
			return nil
		}, Folder{SkipBad: true}, "train: invalid data: no image can be read"},
		{"channels", func(string) error { return nil }, Folder{Channels: 4}, "images of 4×4×4 are asked for, expected 1×1 to 50 megapixels and 1 or 3 channels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "pets")
			writeFiles(t, dir, smallFolder(t, "validation"))
			if err := c.edit(dir); err != nil {
				t.Fatal(err)
			}
			c.folder.Dir, c.folder.Height, c.folder.Width, c.folder.Channels = dir, 4, 4, max(1, c.folder.Channels)
			if _, _, err := c.folder.Load(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant %q", err, c.want)
			}
		})
	}
}

// A link that stays inside the tree is as good as a file.
func TestFolderFollowsLinksInside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFiles(t, dir, smallFolder(t, ""))
	if err := errors.Join(os.Symlink("../cat/1.png", filepath.Join(dir, "train", "dog", "c.png")), os.Symlink("cat", filepath.Join(dir, "train", "kitten"))); err != nil {
		t.Fatal(err)
	}
	train, _, err := Folder{Dir: dir, Height: 4, Width: 4, Channels: 1}.Load()
	if err != nil || !slices.Equal(train.Classes, []string{"cat", "dog", "kitten"}) || !slices.Equal(levelsOf(t, train), []uint8{11, 11, 11, 21, 12, 12, 22}) {
		t.Errorf("%v, %v", train, err)
	}
}

func TestFolderSkipsBadFilesWhenAsked(t *testing.T) {
	t.Parallel()
	dir, cache := t.TempDir(), t.TempDir()
	writeFiles(t, dir, smallFolder(t, ""))
	writeFiles(t, dir, map[string][]byte{"train/cat/0.png": []byte("no"), "train/dog/c.png": claimPNG(t, 100_000, 100_000)})
	var warnings []string
	train, _, err := Folder{Dir: dir, Height: 4, Width: 4, Channels: 1, SkipBad: true, Cache: cache,
		Warn: func(err error) { warnings = append(warnings, err.Error()) }}.Load()
	if err != nil || !slices.Equal(levelsOf(t, train), []uint8{12, 21, 11, 22}) || !slices.Equal(train.Labels, []uint16{0, 1, 0, 1}) {
		t.Fatalf("%v, %v", train, err)
	}
	want := []string{
		"left out: " + filepath.Join(dir, "train", "dog", "c.png") + ": invalid data: too large: a png image of 100000×100000 pixels, at most 50 megapixels are decoded",
		"left out: " + filepath.Join(dir, "train", "cat", "0.png") + ": invalid data: neither PNG, JPEG nor GIF",
	}
	if !slices.Equal(warnings, want) {
		t.Errorf("warnings %q, want %q", warnings, want)
	}
	// From the cache it is the same, with the same warnings; without SkipBad the first bad file is an error.
	for _, inMemory := range []int64{0, 1} {
		warnings = nil
		again, _, err := Folder{Dir: dir, Height: 4, Width: 4, Channels: 1, SkipBad: true, Cache: cache, InMemory: inMemory,
			Warn: func(err error) { warnings = append(warnings, err.Error()) }}.Load()
		if err != nil || !slices.Equal(again.Pixels, train.Pixels) || !slices.Equal(again.Labels, train.Labels) || !slices.Equal(warnings, want) {
			t.Fatalf("%v, %v, warnings %q", again, err, warnings)
		}
	}
	if _, _, err := (Folder{Dir: dir, Height: 4, Width: 4, Channels: 1, Cache: cache}).Load(); err == nil || !strings.Contains(err.Error(), "c.png: invalid data: too large") {
		t.Errorf("%v, want the bad picture's error", err)
	}
	if entries, err := os.ReadDir(cache); err != nil || len(entries) != 1 {
		t.Errorf("the cache has %v, %v, want one set", entries, err)
	}
}

// A set that is too large for memory is decoded into the cache piece by piece, and used there.
func TestFolderBeyondMemory(t *testing.T) {
	t.Parallel()
	dir, cache := t.TempDir(), filepath.Join(t.TempDir(), "new", "cache")
	writeFiles(t, dir, smallFolder(t, "test"))
	writeFiles(t, dir, map[string][]byte{"train/cat/0.png": []byte("no")})
	load := func(folder Folder) (train, test *Set) {
		t.Helper()
		folder.Dir, folder.Height, folder.Width, folder.Channels, folder.SkipBad = dir, 4, 4, 1, true
		train, test, err := folder.Load()
		if err != nil {
			t.Fatal(err)
		}
		return train, test
	}
	wantTrain, wantTest := load(Folder{})
	for _, attempt := range []string{"decoded", "found"} {
		train, test := load(Folder{Cache: cache, InMemory: 1})
		for _, c := range []struct{ got, want *Set }{{train, wantTrain}, {test, wantTest}} {
			if !slices.Equal(c.got.Pixels, c.want.Pixels) || !slices.Equal(c.got.Labels, c.want.Labels) {
				t.Errorf("%s: %v, want %v", attempt, c.got, c.want)
			}
		}
		if names, err := filepath.Glob(filepath.Join(cache, "*"+cacheSuffix)); err != nil || len(names) != 2 {
			t.Errorf("%s: the cache has %v, %v, want two sets", attempt, names, err)
		}
	}
	var warnings []string
	train, _ := load(Folder{Cache: filepath.Join(dir, "train", "cat", "0.png", "cache"), InMemory: 1, Warn: func(err error) { warnings = append(warnings, err.Error()) }})
	if !slices.Equal(train.Pixels, wantTrain.Pixels) || !slices.ContainsFunc(warnings, func(w string) bool { return strings.HasPrefix(w, "the images are held in memory: mkdir ") }) {
		t.Errorf("without a cache: %v, warnings %q", train, warnings)
	}
	if err := os.WriteFile(filepath.Join(dir, "train", "dog", "a.png"), []byte("no"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (Folder{Dir: dir, Height: 4, Width: 4, Channels: 1, Cache: cache, InMemory: 1}).Load(); err == nil || !strings.Contains(err.Error(), "invalid data: neither PNG") {
		t.Errorf("%v, want a bad picture's error", err)
	}
}

func TestFolderCache(t *testing.T) {
	t.Parallel()
	dir, cache := t.TempDir(), filepath.Join(t.TempDir(), "new", "cache")
	writeFiles(t, dir, smallFolder(t, ""))
	var warnings []string
	load := func(height int) *Set {
		t.Helper()
		warnings = nil
		train, _, err := Folder{Dir: dir, Height: height, Width: 4, Channels: 1, Cache: cache, Warn: func(err error) { warnings = append(warnings, err.Error()) }}.Load()
		if err != nil {
			t.Fatal(err)
		}
		return train
	}
	cached := func() []string {
		names, err := filepath.Glob(filepath.Join(cache, "*"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	first := load(4)
	if len(cached()) != 1 {
		t.Fatalf("%d files in the cache, want 1", len(cached()))
	}

	// Pixels of the cache's file, marked and with a right sum, come back: so they are what is used.
	file := cached()[0]
	marked := slices.Clone(first.Pixels)
	marked[0] = 99
	err := writeCache(cache, strings.TrimSuffix(filepath.Base(file), cacheSuffix), int64(len(marked)), func(write func([]uint8) error) ([]uint32, error) {
		return nil, write(marked)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := load(4); got.Pixels[0] != 99 || !slices.Equal(got.Labels, first.Labels) || len(warnings) != 0 {
		t.Errorf("first pixel %d, labels %v, warnings %q: the cache was not used", got.Pixels[0], got.Labels, warnings)
	}

	// A tampered and a cut file are told and decoded again.
	for _, c := range []struct {
		name string
		edit func([]byte) []byte
		want string
	}{
		{"tampered", func(b []byte) []byte { b[40] ^= 1; return b }, "decoding the images again: " + file + ": sha256 mismatch"},
		{"cut", func(b []byte) []byte { return b[:50] }, "decoding the images again: " + file + ": invalid data: 50 bytes, expected 104"},
	} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, c.edit(b), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := load(4); !slices.Equal(got.Pixels, first.Pixels) || len(warnings) != 1 || warnings[0] != c.want {
			t.Errorf("%s: warnings %q, want %q", c.name, warnings, c.want)
		}
	}

	// Another size and another content are other entries; a renamed file is not.
	load(5)
	if len(cached()) != 2 {
		t.Errorf("%d files in the cache after another size, want 2", len(cached()))
	}
	if err := os.Rename(filepath.Join(dir, "train", "cat", "1.png"), filepath.Join(dir, "train", "cat", "0.png")); err != nil {
		t.Fatal(err)
	}
	load(4)
	if len(cached()) != 2 {
		t.Errorf("%d files in the cache after a file was renamed, want 2", len(cached()))
	}
	writeFiles(t, dir, map[string][]byte{"train/cat/0.png": pngBytes(t, grey(8, 8, 55))})
	if got := load(4); got.Pixels[0] != 55 || len(cached()) != 3 {
		t.Errorf("first pixel %d, %d files in the cache after a file changed, want 55 and 3", got.Pixels[0], len(cached()))
	}
}

func TestFolderCacheThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFiles(t, dir, smallFolder(t, ""))
	writeFiles(t, dir, map[string][]byte{"file": {1}})
	var warnings []string
	train, _, err := Folder{Dir: dir, Height: 4, Width: 4, Channels: 1, Cache: filepath.Join(dir, "file", "cache"),
		Warn: func(err error) { warnings = append(warnings, err.Error()) }}.Load()
	if err != nil || train.Len() != 4 || len(warnings) != 1 || !strings.HasPrefix(warnings[0], "the images are not cached: mkdir ") {
		t.Errorf("%v, %v, warnings %q", train, err, warnings)
	}
}

func TestTrimCache(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 4 {
		name := filepath.Join(dir, fmt.Sprint(i, cacheSuffix))
		writeFiles(t, dir, map[string][]byte{filepath.Base(name): make([]byte, 10)})
		age := time.Now().Add(-time.Duration([]int{3, 1, 4, 2}[i]) * time.Hour)
		if err := os.Chtimes(name, age, age); err != nil {
			t.Fatal(err)
		}
	}
	writeFiles(t, dir, map[string][]byte{"other": make([]byte, 1000)})
	if err := trimCache(dir, 25); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 3 || filepath.Base(names[0]) != "1"+cacheSuffix || filepath.Base(names[1]) != "3"+cacheSuffix {
		t.Errorf("left: %v, %v, want the two last used and the file that is no cache", names, err)
	}
}
