package reference

import (
	"slices"

	"gorgonia.org/tensor"

	"gcnn/model"
)

// Tensor is an array of balls in row-major order and Keras' layout: [n, h, w, c] for a batch of feature maps.
type Tensor struct {
	Shape []int
	Elems []Ball
}

func newTensor(shape ...int) *Tensor {
	return &Tensor{Shape: slices.Clone(shape), Elems: make([]Ball, model.Shape(shape).Size())}
}

// batchOf is a tensor of n samples.
func batchOf(n int, sample model.Shape) *Tensor { return newTensor(append([]int{n}, sample...)...) }

// like is a tensor of t's shape.
func like(t *Tensor, elems []Ball) *Tensor { return &Tensor{Shape: t.Shape, Elems: elems} }

// fromDense takes a float32 array as it is: radii are zero.
func fromDense(d *tensor.Dense) *Tensor {
	return fromFloats(d.Float32s(), d.Shape()...)
}

func fromFloats(values []float32, shape ...int) *Tensor {
	t := newTensor(shape...)
	for i, v := range values {
		t.Elems[i] = given(v)
	}
	return t
}

// Values rounds the values to float32.
func (t *Tensor) Values() *tensor.Dense {
	values := make([]float32, len(t.Elems))
	for i, e := range t.Elems {
		values[i] = float32(e.V)
	}
	return tensor.New(tensor.WithShape(t.Shape...), tensor.WithBacking(values))
}

// settled is the tensor without its radii: what computations from here on take as exact.
func (t *Tensor) settled(roundToFloat32 bool) *Tensor {
	out := like(t, make([]Ball, len(t.Elems)))
	for i, e := range t.Elems {
		if roundToFloat32 {
			e.V = float64(float32(e.V))
		}
		out.Elems[i] = exact(e.V)
	}
	return out
}

func valuesOf(m map[string]*Tensor) map[string]*tensor.Dense {
	out := make(map[string]*tensor.Dense, len(m))
	for name, t := range m {
		out[name] = t.Values()
	}
	return out
}

func exactOf(m map[string]*tensor.Dense) map[string]*Tensor {
	out := make(map[string]*Tensor, len(m))
	for name, t := range m {
		out[name] = fromDense(t)
	}
	return out
}
