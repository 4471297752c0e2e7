package model

import "fmt"

// Add sums two or more inputs of one shape.
type Add struct {
	Name   string   `yaml:"name,omitempty"`
	Inputs []string `yaml:"inputs"`
}

// Concatenate joins two or more inputs along the last axis: channels, or features of flat inputs.
type Concatenate struct {
	Name   string   `yaml:"name,omitempty"`
	Inputs []string `yaml:"inputs"`
}

// Kind is "add".
func (Add) Kind() string { return "add" }

// Kind is "concatenate".
func (Concatenate) Kind() string { return "concatenate" }

func (a Add) identity() (string, []string)         { return a.Name, a.Inputs }
func (c Concatenate) identity() (string, []string) { return c.Name, c.Inputs }

func (a Add) resolve(in []Shape) (resolved, error) {
	if len(in) < 2 {
		return resolved{}, fmt.Errorf("it has two inputs or more, got %d: name them in inputs", len(in))
	}
	for _, s := range in[1:] {
		if !s.Equal(in[0]) {
			return resolved{}, fmt.Errorf("its inputs have one shape, got %v and %v", in[0], s)
		}
	}
	return resolved{layer: a, out: in[0]}, nil
}

func (c Concatenate) resolve(in []Shape) (resolved, error) {
	if len(in) < 2 {
		return resolved{}, fmt.Errorf("it has two inputs or more, got %d: name them in inputs", len(in))
	}
	out := append(Shape{}, in[0]...)
	last := len(out) - 1
	for _, s := range in[1:] {
		if len(s) != len(out) || !s[:last].Equal(out[:last]) {
			return resolved{}, fmt.Errorf("its inputs agree in all but the last dimension, got %v and %v", in[0], s)
		}
		out[last] += s[last]
	}
	return resolved{layer: c, out: out}, nil
}
