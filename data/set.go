// Package data reads sets of labelled images: IDX (MNIST, Fashion-MNIST), CIFAR, class folders and NPZ.
//
// A [Set] holds images as they came. Normalising, augmenting and batching happen on the device.
package data

import (
	"errors"
	"fmt"
	"math"
)

var (
	// ErrFormat is wrapped by every error that blames the content of a file or a set: a wrong magic number, a
	// truncated or oversized file, counts or shapes that disagree, a label out of range.
	ErrFormat = errors.New("invalid data")
	// ErrTooLarge is wrapped by errors about images or arrays that are refused before memory is taken for them.
	ErrTooLarge = errors.New("too large")
	// ErrHash is wrapped by errors about a file whose sha256 is not the expected one.
	ErrHash = errors.New("sha256 mismatch")
	// ErrUnknown is wrapped by [Open] when a name or a folder is no kind of set that it knows.
	ErrUnknown = errors.New("unknown data set")
)

// MaxClasses is the largest number of classes of a set: labels are uint16.
const MaxClasses = math.MaxUint16 + 1

// Set is a set of labelled images as they came: channels last, uint8 in [0, 255], or float32 where the source is.
type Set struct {
	Name                    string    // for messages and captions, such as "fashion-mnist train"
	Height, Width, Channels int       // of every image, all at least 1
	Pixels                  []uint8   // [N][Height][Width][Channels]; nil where Floats is used
	Floats                  []float32 // [N][Height][Width][Channels]; only where the source holds floats, and then Pixels is nil
	Labels                  []uint16  // [N], each an index into Classes; nil for an unlabelled set
	Classes                 []string  // class names in the order of their indices

	mapped bool // Pixels are a file's, which cannot be written to
}

// ImageSize returns the number of values of one image, Height·Width·Channels.
func (s *Set) ImageSize() int { return s.Height * s.Width * s.Channels }

// Len returns the number of images, 0 for a set without a shape.
func (s *Set) Len() int {
	size := s.ImageSize()
	if size == 0 {
		return 0
	}
	if s.Floats != nil {
		return len(s.Floats) / size
	}
	return len(s.Pixels) / size
}

// Bytes is what the images and labels take in memory.
func (s *Set) Bytes() int64 {
	return int64(len(s.Pixels)) + 4*int64(len(s.Floats)) + 2*int64(len(s.Labels))
}

// Image returns image i as [Height][Width][Channels] bytes that share the set's memory, nil for a set of floats.
func (s *Set) Image(i int) []uint8 {
	if s.Pixels == nil {
		return nil
	}
	size := s.ImageSize()
	return s.Pixels[i*size : (i+1)*size : (i+1)*size]
}

// FloatImage returns image i as [Height][Width][Channels] floats that share the set's memory, nil for a set of bytes.
func (s *Set) FloatImage(i int) []float32 {
	if s.Floats == nil {
		return nil
	}
	size := s.ImageSize()
	return s.Floats[i*size : (i+1)*size : (i+1)*size]
}

// Label returns the class index of image i, -1 for an unlabelled set.
func (s *Set) Label(i int) int {
	if s.Labels == nil {
		return -1
	}
	return int(s.Labels[i])
}

// ClassName returns the name of a class, or its index in decimal where it has no name.
func (s *Set) ClassName(class int) string {
	if class >= 0 && class < len(s.Classes) {
		return s.Classes[class]
	}
	return fmt.Sprint(class)
}

// Validate checks that shape, pixels, labels and classes agree, and that floats are finite. The error wraps
// [ErrFormat] and starts with the set's name.
func (s *Set) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %s", s.Name, ErrFormat, fmt.Sprintf(format, args...))
	}
	if s.Height < 1 || s.Width < 1 || s.Channels < 1 {
		return fail("the image shape %d×%d×%d has no pixels", s.Height, s.Width, s.Channels)
	}
	values := len(s.Pixels)
	switch {
	case s.Pixels != nil && s.Floats != nil:
		return fail("both bytes and floats are given, expected one of them")
	case s.Floats != nil:
		values = len(s.Floats)
	}
	if values%s.ImageSize() != 0 {
		return fail("%d values are not a whole number of %d×%d×%d images", values, s.Height, s.Width, s.Channels)
	}
	if len(s.Classes) > MaxClasses {
		return fail("%d classes, at most %d are possible", len(s.Classes), MaxClasses)
	}
	for i, v := range s.Floats {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return fail("image %d holds the value %v, expected finite numbers", i/s.ImageSize(), v)
		}
	}
	if s.Labels == nil {
		return nil
	}
	if len(s.Labels) != s.Len() {
		return fail("%d images but %d labels", s.Len(), len(s.Labels))
	}
	for i, label := range s.Labels {
		if int(label) >= len(s.Classes) {
			return fail("label %d of image %d is out of range, expected 0 to %d", label, i, len(s.Classes)-1)
		}
	}
	return nil
}

// Slice returns images lo to hi (exclusive) as a set that shares memory with this one. It panics, as slicing does,
// unless 0 ≤ lo ≤ hi ≤ Len.
func (s *Set) Slice(lo, hi int) *Set {
	if lo < 0 || lo > hi || hi > s.Len() {
		panic(fmt.Sprintf("data: slice [%d:%d] of a set of %d images", lo, hi, s.Len()))
	}
	part, size := *s, s.ImageSize()
	if s.Pixels != nil {
		part.Pixels = s.Pixels[lo*size : hi*size : hi*size]
	}
	if s.Floats != nil {
		part.Floats = s.Floats[lo*size : hi*size : hi*size]
	}
	if s.Labels != nil {
		part.Labels = s.Labels[lo:hi:hi]
	}
	return &part
}

// Limit returns the first n images as a set that shares memory, the whole set where it has no more than n.
// n must be at least 1.
func (s *Set) Limit(n int) (*Set, error) {
	if n < 1 {
		return nil, fmt.Errorf("%s: a limit of %d images, expected at least 1", s.Name, n)
	}
	return s.Slice(0, min(n, s.Len())), nil
}

// Split cuts off the last fraction of the images for validation, before any shuffling, exactly as Keras'
// validation_split: the training part has ⌊N·(1−fraction)⌋ images. Both parts share memory with the set and neither
// may be empty. Of a set that a [Folder] read or [Open] found sorted by class, the parts are stratified.
func (s *Set) Split(fraction float64) (train, validation *Set, err error) {
	if !(fraction > 0 && fraction < 1) {
		return nil, nil, fmt.Errorf("%s: a validation split of %v, expected a fraction between 0 and 1", s.Name, fraction)
	}
	n := s.Len()
	at := int(math.Floor(float64(n) * (1 - fraction)))
	if at == 0 || at == n {
		return nil, nil, fmt.Errorf("%s: a validation split of %v of %d images leaves %d for training and %d for validation, expected some for both",
			s.Name, fraction, n, at, n-at)
	}
	return s.Slice(0, at), s.Slice(at, n), nil
}
