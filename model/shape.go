package model

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Shape is the shape of one sample, without the batch: {height, width, channels} for a feature map (channels last) or
// {features} for a flat vector.
type Shape []int

// String writes a shape as 28×28×1.
func (s Shape) String() string {
	var b strings.Builder
	for i, n := range s {
		if i > 0 {
			b.WriteString("×")
		}
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// Size is the number of elements of one sample.
func (s Shape) Size() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Equal reports whether both shapes have the same dimensions.
func (s Shape) Equal(t Shape) bool { return slices.Equal(s, t) }

// IsMap reports whether s is a feature map {height, width, channels}.
func (s Shape) IsMap() bool { return len(s) == 3 }

// maxElements bounds the elements of one sample and of one parameter, so that sizes in bytes never overflow.
const maxElements = min(1<<40, math.MaxInt>>4)

func (s Shape) check() error {
	if len(s) != 1 && len(s) != 3 {
		return fmt.Errorf("a shape has 3 dimensions (height, width, channels) or 1, got %d", len(s))
	}
	return s.checkSize()
}

func (s Shape) checkSize() error {
	n := 1
	for _, d := range s {
		if d < 1 {
			return fmt.Errorf("every dimension of a shape is at least 1, got %v", s)
		}
		if d > maxElements/n {
			return fmt.Errorf("a shape of %v has too many elements", s)
		}
		n *= d
	}
	return nil
}

// Size is a height and a width: of a kernel, a pooling window, a stride or a dilation.
type Size struct{ H, W int }

// Square is n×n.
func Square(n int) Size { return Size{n, n} }

// String writes a size as 3×3.
func (s Size) String() string { return fmt.Sprintf("%d×%d", s.H, s.W) }

// or is s, or d where s was not given.
func (s Size) or(d Size) Size {
	if s == (Size{}) {
		return d
	}
	return s
}

func (s Size) check(what string) error {
	if s.H < 1 || s.W < 1 {
		return fmt.Errorf("%s is at least 1×1, got %v", what, s)
	}
	if s.H > 1<<16 || s.W > 1<<16 {
		return fmt.Errorf("%s is at most 65536×65536, got %v", what, s)
	}
	return nil
}

// Padding says what a window does at the border.
type Padding uint8

const (
	// Valid keeps windows inside the input: out = ⌊(n − k)/s⌋ + 1.
	Valid Padding = iota
	// Same pads so that out = ⌈n/s⌉; of an odd total the larger part goes to the end (bottom, right).
	Same
)

// String is Keras' name: "valid" or "same".
func (p Padding) String() string {
	switch p {
	case Valid:
		return "valid"
	case Same:
		return "same"
	}
	return "Padding(" + strconv.Itoa(int(p)) + ")"
}

// UnmarshalText reads Keras' name.
func (p *Padding) UnmarshalText(text []byte) error {
	switch string(text) {
	case "valid":
		*p = Valid
	case "same":
		*p = Same
	default:
		return fmt.Errorf("padding is valid or same, got %q", text)
	}
	return nil
}

// MarshalText writes Keras' name.
func (p Padding) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Window is how a kernel slides over one axis of an input.
type Window struct {
	In, Out        int // elements of the axis
	Kernel, Stride int
	Dilation       int
	Before, After  int // padding at the start and at the end; After may be less than what the last window leaves over
}

// Extent is the length that a dilated kernel covers: (k−1)·d + 1.
func (w Window) Extent() int { return (w.Kernel-1)*w.Dilation + 1 }

// NewWindow places a kernel on an axis of n elements as Keras does (keras.ops.conv: out and padding of 'valid' and 'same').
// ok is false where a valid window does not fit.
func NewWindow(n, kernel, stride, dilation int, p Padding) (w Window, ok bool) {
	w = Window{In: n, Kernel: kernel, Stride: stride, Dilation: dilation}
	switch p {
	case Valid:
		w.Out = (n-w.Extent())/stride + 1
		if n < w.Extent() {
			return w, false
		}
	case Same:
		w.Out = (n + stride - 1) / stride
		total := max(0, (w.Out-1)*stride+w.Extent()-n)
		w.Before = total / 2
		w.After = total - w.Before
	}
	return w, true
}
