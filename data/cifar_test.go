package data

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// cifarRecords returns n records of the given labels; the byte at plane c, pixel p of record i is i + 3p + c.
func cifarRecords(labels ...[]byte) []byte {
	var b []byte
	for i, label := range labels {
		b = append(b, label...)
		for c := range 3 {
			for p := range cifarPlane {
				b = append(b, byte(i+3*p+c))
			}
		}
	}
	return b
}

func writeFiles(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, b := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func smallCIFAR10(folder string) map[string][]byte {
	files := map[string][]byte{}
	for i, name := range cifarKinds[0].train {
		files[folder+name] = cifarRecords([]byte{byte(i)}, []byte{9})
	}
	files[folder+"test_batch.bin"] = cifarRecords([]byte{3})
	return files
}

func smallCIFAR100(folder string) map[string][]byte {
	return map[string][]byte{
		folder + "train.bin": cifarRecords([]byte{19, 99}, []byte{0, 1}),
		folder + "test.bin":  cifarRecords([]byte{4, 50}),
	}
}

func TestReadCIFAR(t *testing.T) {
	t.Parallel()
	if n := len(CIFAR100Classes); n != 100 || !slices.IsSorted(CIFAR100Classes) {
		t.Errorf("%d names for CIFAR-100, or not in order", n)
	}
	for _, c := range []struct {
		name        string
		files       map[string][]byte
		set         string
		train, test []uint16
		classes     int
	}{
		{"10", smallCIFAR10(""), "cifar10", []uint16{0, 9, 1, 9, 2, 9, 3, 9, 4, 9}, []uint16{3}, 10},
		{"10 in the archive's folder", smallCIFAR10("cifar-10-batches-bin/"), "cifar10", []uint16{0, 9, 1, 9, 2, 9, 3, 9, 4, 9}, []uint16{3}, 10},
		{"100", smallCIFAR100(""), "cifar100", []uint16{99, 1}, []uint16{50}, 100},
		{"100 in the archive's folder", smallCIFAR100("cifar-100-binary/"), "cifar100", []uint16{99, 1}, []uint16{50}, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeFiles(t, dir, c.files)
			train, test, err := ReadCIFAR(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []*Set{train, test} {
				if err := s.Validate(); err != nil || s.Height != 32 || s.Width != 32 || s.Channels != 3 || len(s.Classes) != c.classes {
					t.Errorf("%s: %d×%d×%d, %d classes, %v", s.Name, s.Height, s.Width, s.Channels, len(s.Classes), err)
				}
			}
			if train.Name != c.set+" train" || !slices.Equal(train.Labels, c.train) || !slices.Equal(test.Labels, c.test) {
				t.Errorf("%s: labels %v and %v, want %v and %v", train.Name, train.Labels, test.Labels, c.train, c.test)
			}
			for k, v := range train.Image(1) { // channels last, so the bytes count up from the record's index
				if v != byte(1+k) {
					t.Fatalf("value %d of image 1 is %d, want %d", k, v, byte(1+k))
				}
			}
		})
	}
}

func TestReadCIFARErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file string
		edit       func([]byte) []byte
		want       string
		is         error
	}{
		{"missing batch", "data_batch_3.bin", nil, "data_batch_3.bin: open data_batch_3.bin: no such file or directory", fs.ErrNotExist},
		{"missing test", "test_batch.bin", nil, "test_batch.bin: ", fs.ErrNotExist},
		{"none", "data_batch_1.bin", nil, ": neither data_batch_1.bin (CIFAR-10) nor train.bin (CIFAR-100): file does not exist", fs.ErrNotExist},
		{"empty", "data_batch_2.bin", func([]byte) []byte { return nil }, "data_batch_2.bin: invalid data: 0 bytes are not a whole number of records of 3073", ErrFormat},
		{"truncated", "test_batch.bin", func(b []byte) []byte { return b[:3072] }, "test_batch.bin: invalid data: 3072 bytes are not a whole number of records of 3073", ErrFormat},
		{"label", "data_batch_5.bin", func(b []byte) []byte { b[3073] = 10; return b }, "data_batch_5.bin: invalid data: label 10 of record 1 is out of range, expected 0 to 9", ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, files := t.TempDir(), smallCIFAR10("")
			if c.edit == nil {
				delete(files, c.file)
			} else {
				files[c.file] = c.edit(files[c.file])
			}
			writeFiles(t, dir, files)
			if _, _, err := ReadCIFAR(dir); err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.is) {
				t.Errorf("%v\nwant %q", err, c.want)
			}
		})
	}
}

// FuzzCIFAR: any whole number of records is read or refused with the record's number, and read without loss.
func FuzzCIFAR(f *testing.F) {
	f.Add(cifarRecords([]byte{3}))
	f.Add(cifarRecords([]byte{3}, []byte{200}))
	f.Add(cifarRecords([]byte{19, 99}, []byte{0, 1}))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, k := range cifarKinds {
			n := len(b) / k.record()
			s := &Set{Height: 32, Width: 32, Channels: 3, Classes: k.classes, Pixels: make([]uint8, n*3*cifarPlane), Labels: make([]uint16, n)}
			if err := k.records(bytes.NewReader(b), s); err != nil {
				if !errors.Is(err, ErrFormat) {
					t.Fatal(err)
				}
				continue
			}
			if err := s.Validate(); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				record := b[i*k.record():]
				if s.Label(i) != int(record[k.labels-1]) || s.Image(i)[4] != record[k.labels+cifarPlane+1] {
					t.Fatalf("record %d is read wrong", i)
				}
			}
		}
	})
}
