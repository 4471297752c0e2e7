package reference

import "gcnn/device"

// dropout is Dropout in training: the elements that device.Keeps names, times 1/(1−rate).
type dropout struct {
	rate  float32
	layer int
	seed  uint64
	step  int64
}

func (d *dropout) forward(x []*Tensor) *Tensor { return d.apply(x[0]) }

func (d *dropout) backward(dy *Tensor) ([]*Tensor, map[string]*Tensor) {
	return []*Tensor{d.apply(dy)}, nil
}

func (d *dropout) apply(x *Tensor) *Tensor {
	y := like(x, make([]Ball, len(x.Elems)))
	// 1−rate may be that of the decimal, whose rounding the subtraction enlarges.
	kept := 1 - float64(d.rate)
	scale := exact(1 / kept).within(u*float64(d.rate)/kept + 2*u)
	for i, e := range x.Elems {
		if device.Keeps(d.seed, d.step, d.layer, i, d.rate) {
			y.Elems[i] = e.mul(scale)
		}
	}
	return y
}
