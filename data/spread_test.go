package data

import (
	"archive/zip"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Wherever a spread set is cut, both parts hold each class in its share. For a common p in [0, 1], the first m of N images are
// those k of each class c with (k + ½)/n_c up to p: |count_c − p·n_c| ≤ ½, so that |m − p·N| is at most half the number C of
// classes, and |count_c − m·n_c/N| ≤ ½ + C·n_c/(2N).
func TestSpreadIsStratified(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 60), 1, 8).Draw(t, "sizes")
		var labels []uint16
		for class, n := range sizes {
			labels = append(labels, slices.Repeat([]uint16{uint16(class)}, n)...)
		}
		order := spread(labels)
		if sorted := slices.Sorted(slices.Values(order)); !slices.Equal(sorted, numbersTo(len(labels))) {
			t.Fatalf("no permutation: %v", order)
		}
		count := make([]int, len(sizes))
		for m, image := range order {
			count[labels[image]]++
			for c, n := range sizes {
				share := float64(n) * float64(m+1) / float64(len(labels))
				off := 0.5 + float64(len(sizes)*n)/float64(2*len(labels))
				if math.Abs(float64(count[c])-share) > off+1e-9 {
					t.Fatalf("sizes %v: the first %d images hold %d of class %d, its share is %.2f", sizes, m+1, count[c], c, share)
				}
			}
		}
	})
}

func numbersTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// The order is part of what a run depends on: it must never change.
func TestSpreadStays(t *testing.T) {
	t.Parallel()
	labels := []uint16{0, 0, 0, 0, 0, 1, 1, 2, 2, 2}
	if got, want := spread(labels), []int{3, 9, 5, 2, 0, 7, 1, 6, 8, 4}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	// Images added behind the others of their class leave those in their order.
	longer := spread(slices.Concat(labels, []uint16{2, 2, 2, 2}))
	kept := slices.DeleteFunc(slices.Clone(longer), func(i int) bool { return i < 7 || i > 9 })
	before := slices.DeleteFunc(spread(labels), func(i int) bool { return i < 7 })
	if !slices.Equal(kept, before) {
		t.Errorf("class 2 was %v, with more images it is %v", before, kept)
	}
}

// A folder's first and last images are of every class, whatever the folders' sizes.
func TestFolderIsSpread(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := map[string][]byte{}
	for class, n := range map[string]int{"cat": 10, "dog": 20, "emu": 5} {
		for i := range n {
			files[fmt.Sprintf("train/%s/%02d.png", class, i)] = pngBytes(t, grey(4, 4, 100*(class[0]-'c')+byte(i)))
		}
	}
	writeFiles(t, dir, files)
	all, _, err := Folder{Dir: dir, Height: 4, Width: 4, Channels: 1}.Load()
	if err != nil {
		t.Fatal(err)
	}
	for i, level := range levelsOf(t, all) {
		if want := uint16(level) / 100; all.Labels[i] != want {
			t.Errorf("image %d has the label %d, its pixels those of class %d", i, all.Labels[i], want)
		}
	}
	train, validation, err := all.Split(0.2)
	if err != nil {
		t.Fatal(err)
	}
	first, err := train.Limit(7)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		part *Set
		want []int
	}{{train, []int{8, 16, 4}}, {validation, []int{2, 4, 1}}, {first, []int{2, 4, 1}}} {
		count := make([]int, 3)
		for _, l := range c.part.Labels {
			count[l]++
		}
		if !slices.Equal(count, c.want) {
			t.Errorf("%d of %d images: %v of each class, want %v", c.part.Len(), all.Len(), count, c.want)
		}
	}
}

// An archive that holds one class after the other is spread; any other keeps its order.
func TestOpenSpreadsSortedSets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		labels []byte
		want   []uint16
	}{
		{"sorted", []byte{2, 2, 2, 0, 0, 0}, []uint16{0, 2, 0, 2, 0, 2}},
		{"not sorted", []byte{2, 2, 0, 0, 0, 2}, []uint16{2, 2, 0, 0, 0, 2}},
		{"one class", []byte{1, 1, 1, 1, 1, 1}, []uint16{1, 1, 1, 1, 1, 1}},
	} {
		dir := t.TempDir()
		arrays := map[string][]byte{
			"x_train.npy": npyBytes(t, "|u1", "6, 1, 2", []byte{20, 20, 21, 21, 22, 22, 0, 0, 1, 1, 2, 2}),
			"y_train.npy": npyBytes(t, "|u1", "6,", c.labels),
		}
		writeFiles(t, dir, map[string][]byte{"set.npz": npzBytes(t, zip.Deflate, arrays)})
		train, test, err := Open(filepath.Join(dir, "set.npz"), Folder{})
		if err != nil || test != nil {
			t.Fatal(test, err)
		}
		if !slices.Equal(train.Labels, c.want) {
			t.Errorf("%s: %v, want %v", c.name, train.Labels, c.want)
		}
		levels := levelsOf(t, train)
		for i, l := range levels {
			if c.name == "sorted" && uint16(l/10) != train.Labels[i] {
				t.Errorf("%s: image %d of level %d has the label %d", c.name, i, l, train.Labels[i])
			}
			if c.name != "sorted" && l != []byte{20, 21, 22, 0, 1, 2}[i] {
				t.Errorf("%s: levels %v are moved", c.name, levels)
			}
		}
	}
}

// A file that is used where it lies cannot be written to, so its images stay in their order; a copy of it is spread.
func TestSpreadLeavesMappedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := smallIDX()
	files[TrainImages], files[TrainLabels] = idxBytes(count(32), 4, 2, 4), idxBytes([]byte{0, 0, 1, 1}, 4)
	files[TestLabels] = idxBytes([]byte{1, 0}, 2)
	writeFiles(t, dir, files)
	for _, c := range []struct {
		inMemory int64
		want     []uint16
	}{{1, []uint16{0, 0, 1, 1}}, {0, []uint16{0, 1, 0, 1}}} {
		train, _, err := IDX{Name: "digits", Files: os.DirFS(dir), Path: dir, InMemory: c.inMemory}.Load()
		if err != nil {
			t.Fatal(err)
		}
		train.spreadSorted()
		if !slices.Equal(train.Labels, c.want) {
			t.Errorf("InMemory %d: labels %v, want %v", c.inMemory, train.Labels, c.want)
		}
		for i, l := range train.Labels {
			if want := train.Image(i)[0] / 16; uint16(want) != l {
				t.Errorf("InMemory %d: image %d begins with %d, its label is %d", c.inMemory, i, train.Image(i)[0], l)
			}
		}
	}
}
