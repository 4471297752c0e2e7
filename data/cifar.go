package data

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// CIFAR10Classes are the class names of CIFAR-10 in the order of their indices.
var CIFAR10Classes = []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}

// CIFAR100Classes are the names of CIFAR-100's fine classes in the order of their indices.
var CIFAR100Classes = strings.Fields(`apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle
	bowl boy bridge bus butterfly camel can castle caterpillar cattle
	chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
	dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
	lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
	mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
	plain plate poppy porcupine possum rabbit raccoon ray road rocket
	rose sea seal shark shrew skunk skyscraper snail snake spider
	squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
	train trout tulip turtle wardrobe whale willow_tree wolf woman worm`)

const (
	cifarSide  = 32
	cifarPlane = cifarSide * cifarSide
)

// cifarKind says how one of the two sets lies in its files: records of label bytes, of which the last is the class,
// and 1024 bytes each of red, green and blue, row by row (https://www.cs.toronto.edu/~kriz/cifar.html).
type cifarKind struct {
	name        string
	folder      string // that the official archive unpacks to
	train, test []string
	labels      int // bytes a record
	classes     []string
}

var cifarKinds = []cifarKind{
	{"cifar10", "cifar-10-batches-bin", []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
		[]string{"test_batch.bin"}, 1, CIFAR10Classes},
	{"cifar100", "cifar-100-binary", []string{"train.bin"}, []string{"test.bin"}, 2, CIFAR100Classes},
}

func (k cifarKind) record() int { return k.labels + 3*cifarPlane }

// findCIFAR tells which of the two sets a folder holds, itself or in the folder that the official archive makes.
func findCIFAR(fsys fs.FS) (k cifarKind, folder string, found bool) {
	for _, k := range cifarKinds {
		for _, folder := range []string{".", k.folder} {
			if _, err := fs.Stat(fsys, path.Join(folder, k.train[0])); err == nil {
				return k, folder, true
			}
		}
	}
	return cifarKind{}, "", false
}

// ReadCIFAR reads CIFAR-10 or CIFAR-100 (the fine classes) in its binary form from a folder: whichever is there.
func ReadCIFAR(dir string) (train, test *Set, err error) {
	fsys := os.DirFS(dir)
	k, folder, found := findCIFAR(fsys)
	if !found {
		return nil, nil, fmt.Errorf("%s: neither %s (CIFAR-10) nor %s (CIFAR-100): %w", dir, cifarKinds[0].train[0], cifarKinds[1].train[0], fs.ErrNotExist)
	}
	var trainErr, testErr error
	var wg sync.WaitGroup
	wg.Go(func() { train, trainErr = k.read(fsys, dir, folder, k.train) })
	wg.Go(func() { test, testErr = k.read(fsys, dir, folder, k.test) })
	wg.Wait()
	if err := errors.Join(trainErr, testErr); err != nil {
		return nil, nil, err
	}
	train.Name, test.Name = k.name+" train", k.name+" test"
	return train, test, nil
}

func (k cifarKind) read(fsys fs.FS, dir, folder string, names []string) (*Set, error) {
	files, counts, total := make([]fs.File, len(names)), make([]int, len(names)), 0
	defer func() {
		for _, f := range files {
			if f != nil {
				f.Close()
			}
		}
	}()
	at := func(i int) string { return filepath.Join(dir, filepath.FromSlash(folder), names[i]) }
	for i, name := range names {
		f, err := fsys.Open(path.Join(folder, name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at(i), err)
		}
		files[i] = f
		info, err := f.Stat()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at(i), err)
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: %w: not a regular file", at(i), ErrFormat)
		}
		if size := info.Size(); size == 0 || size%int64(k.record()) != 0 {
			return nil, fmt.Errorf("%s: %w: %d bytes are not a whole number of records of %d", at(i), ErrFormat, size, k.record())
		}
		counts[i] = int(info.Size() / int64(k.record()))
		total += counts[i]
	}
	s := &Set{
		Height: cifarSide, Width: cifarSide, Channels: 3, Classes: slices.Clone(k.classes),
		Pixels: make([]uint8, total*3*cifarPlane), Labels: make([]uint16, total),
	}
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	lo := 0
	for i, n := range counts {
		part := s.Slice(lo, lo+n)
		wg.Go(func() {
			if err := k.records(files[i], part); err != nil {
				errs[i] = fmt.Errorf("%s: %w", at(i), err)
			}
		})
		lo += n
	}
	wg.Wait()
	return s, errors.Join(errs...)
}

// records fills a set with as many records, turning planes into channels last.
func (k cifarKind) records(f io.Reader, s *Set) error {
	r := bufio.NewReaderSize(f, 1<<16)
	record := make([]byte, k.record())
	for i := range s.Len() {
		if _, err := io.ReadFull(r, record); err != nil {
			return fmt.Errorf("record %d of %d: %w", i, s.Len(), err)
		}
		label := record[k.labels-1]
		if int(label) >= len(s.Classes) {
			return fmt.Errorf("%w: label %d of record %d is out of range, expected 0 to %d", ErrFormat, label, i, len(s.Classes)-1)
		}
		s.Labels[i] = uint16(label)
		image, planes := s.Image(i), record[k.labels:]
		for p := range cifarPlane {
			image[3*p], image[3*p+1], image[3*p+2] = planes[p], planes[cifarPlane+p], planes[2*cifarPlane+p]
		}
	}
	return nil
}
