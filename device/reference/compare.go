package reference

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"gcnn/model"
)

// Deviation is how far an array is from what it should be, at its worst.
type Deviation struct {
	Absolute float64 // the largest |got − want|
	Share    float64 // the largest |got − want|/radius; above 1 it is beyond the bound
	At       Point   // where the share is largest
}

// Point is an element of an array.
type Point struct {
	Index             int // row-major
	Got, Want, Radius float64
}

// String writes the worst element.
func (d Deviation) String() string {
	return fmt.Sprintf("element %d is %.9g, want %.9g ± %.3g: %.3g of the bound", d.At.Index, d.At.Got, d.At.Want, d.At.Radius, d.Share)
}

// Worse is the larger of two deviations in each respect.
func (d Deviation) Worse(e Deviation) Deviation {
	absolute := max(d.Absolute, e.Absolute)
	if e.Share > d.Share {
		d = e
	}
	d.Absolute = absolute
	return d
}

// Compare holds what a device computed against the reference. It fails where the array is missing or has another shape.
func Compare(got *tensor.Dense, want *Tensor) (Deviation, error) {
	if got == nil {
		return Deviation{}, fmt.Errorf("missing, want an array of %v", want.Shape)
	}
	if got.Dtype() != tensor.Float32 || !model.Shape(got.Shape()).Equal(model.Shape(want.Shape)) {
		return Deviation{}, fmt.Errorf("a %v array of %v, want float32 of %v", got.Dtype(), got.Shape(), want.Shape)
	}
	var worst Deviation
	for i, v := range got.Float32s() {
		worst = worst.Worse(deviation(i, float64(v), want.Elems[i]))
	}
	return worst, nil
}

// CompareNumber is Compare for a single number.
func CompareNumber(got float64, want Ball) Deviation { return deviation(0, got, want) }

func deviation(i int, got float64, want Ball) Deviation {
	d := Deviation{At: Point{i, got, want.V, want.R}}
	switch {
	case got == want.V || math.IsNaN(got) && math.IsNaN(want.V): // infinities too
		return d
	case math.IsNaN(got) || math.IsNaN(want.V) || math.IsNaN(want.R):
		d.Absolute, d.Share = math.Inf(1), math.Inf(1)
	default:
		d.Absolute = math.Abs(got - want.V)
		d.Share = d.Absolute / want.R
	}
	return d
}

// CompareExact fails unless every element is the float32 that the reference has, bit for bit but for the sign of zero. The
// reference's value must be a float32.
func CompareExact(got *tensor.Dense, want *Tensor) error {
	if _, err := Compare(got, want); err != nil {
		return err
	}
	for i, v := range got.Float32s() {
		w := want.Elems[i].V
		if float64(float32(w)) != w {
			return fmt.Errorf("element %d is to be %v, which is no float32", i, w)
		}
		if float64(v) != w {
			return fmt.Errorf("element %d is %v, want exactly %v", i, v, w)
		}
	}
	return nil
}
