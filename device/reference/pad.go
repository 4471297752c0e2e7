package reference

import "gcnn/model"

// pad is ZeroPadding2D.
type pad struct {
	margins model.Margins
	in, out model.Shape
}

// each visits every element of the input with its place in the output.
func (p *pad) each(n int, visit func(x, y int)) {
	for s := range n {
		for iy := range p.in[0] {
			for i := range p.in[1] * p.in[2] {
				row := s*p.out[0] + iy + p.margins.Top
				visit((s*p.in[0]+iy)*p.in[1]*p.in[2]+i, (row*p.out[1]+p.margins.Left)*p.out[2]+i)
			}
		}
	}
}

func (p *pad) forward(x []*Tensor) *Tensor {
	y := batchOf(x[0].Shape[0], p.out)
	p.each(x[0].Shape[0], func(i, o int) { y.Elems[o] = x[0].Elems[i] })
	return y
}

func (p *pad) backward(dy *Tensor) ([]*Tensor, map[string]*Tensor) {
	dx := batchOf(dy.Shape[0], p.in)
	p.each(dy.Shape[0], func(i, o int) { dx.Elems[i] = dy.Elems[o] })
	return []*Tensor{dx}, nil
}
