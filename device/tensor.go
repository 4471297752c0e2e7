package device

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"
)

// Floats is a float32 tensor's elements in row-major order. They may share the tensor's memory.
func Floats(t *tensor.Dense) ([]float32, error) {
	if t.Dtype() != tensor.Float32 {
		return nil, fmt.Errorf("%w: a tensor of float32 is wanted, got %v", ErrArgument, t.Dtype())
	}
	if t.RequiresIterator() || !t.DataOrder().IsRowMajor() {
		t = t.Clone().(*tensor.Dense)
		if m, ok := t.Materialize().(*tensor.Dense); ok {
			t = m
		}
	}
	v, ok := t.Data().([]float32)
	if !ok { // package tensor hands out a single one as a bare number
		return []float32{t.Data().(float32)}, nil
	}
	return v, nil
}

// Copy makes a tensor of a shape with a copy of values.
func Copy(values []float32, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(slices.Clone(values)))
}

// Clone copies a state.
func (s State) Clone() State {
	s.Weights, s.Slots, s.Average = CloneAll(s.Weights), CloneAll(s.Slots), CloneAll(s.Average)
	return s
}

// CloneAll copies tensors; nil stays nil.
func CloneAll(tensors map[string]*tensor.Dense) map[string]*tensor.Dense {
	if tensors == nil {
		return nil
	}
	copies := make(map[string]*tensor.Dense, len(tensors))
	for name, t := range tensors {
		copies[name] = t.Clone().(*tensor.Dense)
	}
	return copies
}

// Rows makes a tensor of n samples of a shape, whose values it takes over.
func Rows(values []float32, n int, shape []int) *tensor.Dense {
	return tensor.New(tensor.WithShape(append([]int{n}, shape...)...), tensor.WithBacking(values))
}

// NewTrace is a trace to be filled.
func NewTrace() Trace {
	return Trace{
		Outputs: map[string]*tensor.Dense{}, OutputGrads: map[string]*tensor.Dense{}, ParamGrads: map[string]*tensor.Dense{},
		Updated: map[string]*tensor.Dense{},
	}
}
