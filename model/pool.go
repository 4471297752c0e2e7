package model

import "fmt"

// MaxPool2D takes the maximum of each window and channel. Of equal maxima the first in row-major order takes the gradient.
type MaxPool2D struct {
	Name     string   `yaml:"name,omitempty"`
	Inputs   []string `yaml:"inputs,omitempty"`
	PoolSize Size     `yaml:"pool_size,omitempty"` // default 2×2
	Strides  Size     `yaml:"strides,omitempty"`   // default PoolSize
	Padding  Padding  `yaml:"padding,omitempty"`   // default Valid; padding never wins the maximum
}

// AveragePool2D takes the mean of each window and channel. Padding does not count: the divisor is the number of elements
// of the window that lie inside the input.
type AveragePool2D struct {
	Name     string   `yaml:"name,omitempty"`
	Inputs   []string `yaml:"inputs,omitempty"`
	PoolSize Size     `yaml:"pool_size,omitempty"` // default 2×2
	Strides  Size     `yaml:"strides,omitempty"`   // default PoolSize
	Padding  Padding  `yaml:"padding,omitempty"`   // default Valid
}

// GlobalMaxPool2D takes the maximum of each channel: {h, w, c} to {c}.
type GlobalMaxPool2D struct {
	Name   string   `yaml:"name,omitempty"`
	Inputs []string `yaml:"inputs,omitempty"`
}

// GlobalAveragePool2D takes the mean of each channel: {h, w, c} to {c}.
type GlobalAveragePool2D struct {
	Name   string   `yaml:"name,omitempty"`
	Inputs []string `yaml:"inputs,omitempty"`
}

// Kind is "max_pooling2d".
func (MaxPool2D) Kind() string { return "max_pooling2d" }

// Kind is "average_pooling2d".
func (AveragePool2D) Kind() string { return "average_pooling2d" }

// Kind is "global_max_pooling2d".
func (GlobalMaxPool2D) Kind() string { return "global_max_pooling2d" }

// Kind is "global_average_pooling2d".
func (GlobalAveragePool2D) Kind() string { return "global_average_pooling2d" }

func (p MaxPool2D) identity() (string, []string)           { return p.Name, p.Inputs }
func (p AveragePool2D) identity() (string, []string)       { return p.Name, p.Inputs }
func (p GlobalMaxPool2D) identity() (string, []string)     { return p.Name, p.Inputs }
func (p GlobalAveragePool2D) identity() (string, []string) { return p.Name, p.Inputs }

// Windows is how the window slides over an input of shape in. The layer must come from a Network.
func (p MaxPool2D) Windows(in Shape) (v, h Window) {
	return poolWindows(in, p.PoolSize, p.Strides, p.Padding)
}

// Windows is how the window slides over an input of shape in. The layer must come from a Network.
func (p AveragePool2D) Windows(in Shape) (v, h Window) {
	return poolWindows(in, p.PoolSize, p.Strides, p.Padding)
}

func poolWindows(in Shape, size, strides Size, pad Padding) (v, h Window) {
	v, _ = NewWindow(in[0], size.H, strides.H, 1, pad)
	h, _ = NewWindow(in[1], size.W, strides.W, 1, pad)
	return v, h
}

func (p MaxPool2D) resolve(in []Shape) (resolved, error) {
	p.PoolSize = p.PoolSize.or(Square(2))
	p.Strides = p.Strides.or(p.PoolSize)
	out, err := pooled(in, p.PoolSize, p.Strides, p.Padding)
	return resolved{layer: p, out: out}, err
}

func (p AveragePool2D) resolve(in []Shape) (resolved, error) {
	p.PoolSize = p.PoolSize.or(Square(2))
	p.Strides = p.Strides.or(p.PoolSize)
	out, err := pooled(in, p.PoolSize, p.Strides, p.Padding)
	return resolved{layer: p, out: out}, err
}

func pooled(inputs []Shape, size, strides Size, pad Padding) (Shape, error) {
	in, err := oneMap(inputs)
	if err != nil {
		return nil, err
	}
	if err := size.check("pool_size"); err != nil {
		return nil, err
	}
	if err := strides.check("strides"); err != nil {
		return nil, err
	}
	v, okV := NewWindow(in[0], size.H, strides.H, 1, pad)
	h, okH := NewWindow(in[1], size.W, strides.W, 1, pad)
	if !okV || !okH {
		return nil, fmt.Errorf("a %v window, padding %v, does not fit an input of %v", size, pad, in)
	}
	return Shape{v.Out, h.Out, in[2]}, nil
}

func (p GlobalMaxPool2D) resolve(in []Shape) (resolved, error) {
	s, err := oneMap(in)
	if err != nil {
		return resolved{}, err
	}
	return resolved{layer: p, out: Shape{s[2]}}, nil
}

func (p GlobalAveragePool2D) resolve(in []Shape) (resolved, error) {
	s, err := oneMap(in)
	if err != nil {
		return resolved{}, err
	}
	return resolved{layer: p, out: Shape{s[2]}}, nil
}
