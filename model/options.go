package model

import (
	"fmt"
	"strconv"
	"strings"
)

// NoBias leaves a layer's bias out. In a model file it is Keras' use_bias: true or false.
type NoBias bool

// NoScale leaves γ out. In a model file it is Keras' scale.
type NoScale bool

// NoCenter leaves β out. In a model file it is Keras' center.
type NoCenter bool

// Frozen keeps a layer's parameters as they are in training. In a model file it is Keras' trainable.
type Frozen bool

// The options above are the negation of Keras', so that a Go zero value is Keras' default.

// MarshalYAML writes Keras' option.
func (o NoBias) MarshalYAML() (any, error) { return !bool(o), nil }

// MarshalYAML writes Keras' option.
func (o NoScale) MarshalYAML() (any, error) { return !bool(o), nil }

// MarshalYAML writes Keras' option.
func (o NoCenter) MarshalYAML() (any, error) { return !bool(o), nil }

// MarshalYAML writes Keras' option.
func (o Frozen) MarshalYAML() (any, error) { return !bool(o), nil }

// UnmarshalYAML reads Keras' option.
func (o *NoBias) UnmarshalYAML(unmarshal func(any) error) error { return negated(o, unmarshal) }

// UnmarshalYAML reads Keras' option.
func (o *NoScale) UnmarshalYAML(unmarshal func(any) error) error { return negated(o, unmarshal) }

// UnmarshalYAML reads Keras' option.
func (o *NoCenter) UnmarshalYAML(unmarshal func(any) error) error { return negated(o, unmarshal) }

// UnmarshalYAML reads Keras' option.
func (o *Frozen) UnmarshalYAML(unmarshal func(any) error) error { return negated(o, unmarshal) }

func negated[T ~bool](o *T, unmarshal func(any) error) error {
	var v bool
	if err := unmarshal(&v); err != nil {
		return err
	}
	*o = T(!v)
	return nil
}

// MarshalYAML writes n for n×n and [h, w] otherwise.
func (s Size) MarshalYAML() (any, error) {
	if s.H == s.W {
		return s.H, nil
	}
	return []int{s.H, s.W}, nil
}

// UnmarshalYAML reads n or [h, w].
func (s *Size) UnmarshalYAML(unmarshal func(any) error) error {
	var n int
	if unmarshal(&n) == nil {
		*s = Square(n)
		return nil
	}
	var hw []int
	if unmarshal(&hw) != nil || len(hw) != 2 {
		return fmt.Errorf("a size is a number or [height, width]")
	}
	*s = Size{hw[0], hw[1]}
	return nil
}

// MarshalYAML writes n, or [top, bottom, left, right].
func (m Margins) MarshalYAML() (any, error) {
	if m == (Margins{m.Top, m.Top, m.Top, m.Top}) {
		return m.Top, nil
	}
	return []int{m.Top, m.Bottom, m.Left, m.Right}, nil
}

// UnmarshalYAML reads n, [vertical, horizontal] or [top, bottom, left, right].
func (m *Margins) UnmarshalYAML(unmarshal func(any) error) error {
	var n int
	if unmarshal(&n) == nil {
		*m = Margins{n, n, n, n}
		return nil
	}
	var v []int
	switch err := unmarshal(&v); {
	case err == nil && len(v) == 2:
		*m = Margins{v[0], v[0], v[1], v[1]}
	case err == nil && len(v) == 4:
		*m = Margins{v[0], v[1], v[2], v[3]}
	default:
		return fmt.Errorf("padding is a number, [vertical, horizontal] or [top, bottom, left, right]")
	}
	return nil
}

// Initializer says how a parameter starts.
type Initializer uint8

// The initialisers, by Keras' names.
const (
	GlorotUniform Initializer = iota // uniform in ±√(6/(fan_in+fan_out))
	HeUniform                        // uniform in ±√(6/fan_in)
	Zeros
	Ones
	Whitening // from the training images: see Whiten; only for a convolution that reads the network's input
)

var initializerNames = [...]string{"glorot_uniform", "he_uniform", "zeros", "ones", "whitening"}

// String is Keras' name.
func (i Initializer) String() string {
	if int(i) < len(initializerNames) {
		return initializerNames[i]
	}
	return "Initializer(" + strconv.Itoa(int(i)) + ")"
}

// MarshalText writes Keras' name.
func (i Initializer) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText reads Keras' name.
func (i *Initializer) UnmarshalText(text []byte) error {
	for k, n := range initializerNames {
		if n == string(text) {
			*i = Initializer(k)
			return nil
		}
	}
	return fmt.Errorf("initializer %q is unknown; there are %s", text, list(initializerNames[:]))
}

// list writes a, b and c.
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
