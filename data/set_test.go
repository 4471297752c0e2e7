package data

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// ramp returns n labelled 2×3 grey images whose bytes count up.
func ramp(n int) *Set {
	s := &Set{Name: "ramp", Height: 2, Width: 3, Channels: 1, Classes: []string{"a", "b", "c"}}
	s.Pixels, s.Labels = make([]uint8, n*6), make([]uint16, n)
	for i := range s.Pixels {
		s.Pixels[i] = uint8(i)
	}
	for i := range s.Labels {
		s.Labels[i] = uint16(i % 3)
	}
	return s
}

func TestSetImagesShareMemory(t *testing.T) {
	t.Parallel()
	s := ramp(5)
	if s.Len() != 5 || s.ImageSize() != 6 {
		t.Fatalf("Len %d, ImageSize %d, want 5 and 6", s.Len(), s.ImageSize())
	}
	img := s.Image(2)
	if len(img) != 6 || cap(img) != 6 || &img[0] != &s.Pixels[12] {
		t.Fatalf("Image(2) is not the bytes 12 to 17 of the set: len %d, cap %d", len(img), cap(img))
	}
	part := s.Slice(1, 4)
	if part.Len() != 3 || &part.Pixels[0] != &s.Pixels[6] || part.Label(0) != 1 || len(part.Labels) != 3 {
		t.Fatalf("Slice(1, 4) = %d images, first label %d", part.Len(), part.Label(0))
	}
	if s.Len() != 5 {
		t.Fatal("Slice changed the set")
	}
	floats := &Set{Height: 1, Width: 2, Channels: 1, Floats: []float32{1, 2, 3, 4}}
	if floats.Image(0) != nil || floats.Len() != 2 || floats.FloatImage(1)[0] != 3 || floats.Slice(1, 2).Floats[1] != 4 {
		t.Fatal("a set of floats does not return its second image")
	}
	if floats.Label(0) != -1 || floats.ClassName(3) != "3" || s.ClassName(2) != "c" {
		t.Fatal("Label or ClassName without labels or names")
	}
}

func TestSetSliceOutOfRangePanics(t *testing.T) {
	t.Parallel()
	for _, r := range [][2]int{{-1, 2}, {3, 2}, {0, 6}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Slice(%d, %d) of 5 images did not panic", r[0], r[1])
				}
			}()
			ramp(5).Slice(r[0], r[1])
		}()
	}
}

func TestSetLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, want int }{{1, 1}, {5, 5}, {6, 5}} {
		got, err := ramp(5).Limit(c.n)
		if err != nil || got.Len() != c.want {
			t.Errorf("Limit(%d) = %v images, %v, want %d", c.n, got.Len(), err, c.want)
		}
	}
	if _, err := ramp(5).Limit(0); err == nil || err.Error() != "ramp: a limit of 0 images, expected at least 1" {
		t.Errorf("Limit(0): %v", err)
	}
}

// The expected counts are Keras': int(math.floor(n * (1.0 - split))), in float64.
func TestSetSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n        int
		fraction float64
		train    int
	}{
		{10, 0.2, 8}, {10, 0.1, 9}, {10, 0.3, 7}, {7, 0.5, 3}, {10, 0.01, 9}, {30, 0.9, 2}, // 30·(1−0.9) is 2.999… in float64
	} {
		s := ramp(c.n)
		train, validation, err := s.Split(c.fraction)
		if err != nil {
			t.Errorf("Split(%v) of %d: %v", c.fraction, c.n, err)
			continue
		}
		if train.Len() != c.train || validation.Len() != c.n-c.train {
			t.Errorf("Split(%v) of %d: %d and %d images, want %d and %d", c.fraction, c.n, train.Len(), validation.Len(), c.train, c.n-c.train)
		}
		if &validation.Pixels[0] != &s.Pixels[c.train*6] {
			t.Errorf("Split(%v) of %d: the validation part is not the last images", c.fraction, c.n)
		}
	}
	for _, c := range []struct {
		n        int
		fraction float64
		want     string
	}{
		{10, 0, "a validation split of 0, expected a fraction between 0 and 1"},
		{10, 1, "a validation split of 1, expected a fraction between 0 and 1"},
		{10, math.NaN(), "a validation split of NaN"},
		{1, 0.5, "of 1 images leaves 0 for training and 1 for validation"},
	} {
		if _, _, err := ramp(c.n).Split(c.fraction); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Split(%v) of %d: %v, want %q", c.fraction, c.n, err, c.want)
		}
	}
}

func TestSetValidate(t *testing.T) {
	t.Parallel()
	if err := ramp(4).Validate(); err != nil {
		t.Errorf("a whole set: %v", err)
	}
	for _, c := range []struct {
		name string
		edit func(*Set)
		want string
	}{
		{"no height", func(s *Set) { s.Height = 0 }, "ramp: invalid data: the image shape 0×3×1 has no pixels"},
		{"negative width", func(s *Set) { s.Width = -3 }, "the image shape 2×-3×1 has no pixels"},
		{"bytes and floats", func(s *Set) { s.Floats = []float32{1} }, "both bytes and floats are given"},
		{"partial image", func(s *Set) { s.Pixels = s.Pixels[:23] }, "23 values are not a whole number of 2×3×1 images"},
		{"count", func(s *Set) { s.Labels = s.Labels[:3] }, "4 images but 3 labels"},
		{"label", func(s *Set) { s.Labels[2] = 3 }, "label 3 of image 2 is out of range, expected 0 to 2"},
		{"not finite", func(s *Set) {
			s.Pixels, s.Floats = nil, make([]float32, 24)
			s.Floats[7] = float32(math.NaN())
		}, "image 1 holds the value NaN, expected finite numbers"},
		{"classes", func(s *Set) { s.Classes = make([]string, MaxClasses+1) }, "65537 classes, at most 65536 are possible"},
	} {
		s := ramp(4)
		c.edit(s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
