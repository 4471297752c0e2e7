package reference

import (
	"math"

	"gcnn/model"
)

// windows are those of a pooling layer over a batch of feature maps. A global pool has one window, the whole map.
type windows struct {
	v, h     model.Window
	channels int
	out      model.Shape
}

func global(in, out model.Shape) windows {
	v, _ := model.NewWindow(in[0], in[0], 1, 1, model.Valid)
	h, _ := model.NewWindow(in[1], in[1], 1, 1, model.Valid)
	return windows{v, h, in[2], out}
}

// each visits every output with the places of its window's elements inside the input, in row-major order.
func (w windows) each(n int, visit func(y int, window []int)) {
	y := 0
	for s := range n {
		for oy := range w.v.Out {
			for ox := range w.h.Out {
				for c := range w.channels {
					visit(y, w.inside(s, oy, ox, c))
					y++
				}
			}
		}
	}
}

func (w windows) inside(s, oy, ox, c int) []int {
	var window []int
	for ky := range w.v.Kernel {
		for kx := range w.h.Kernel {
			iy, ix := oy*w.v.Stride+ky-w.v.Before, ox*w.h.Stride+kx-w.h.Before
			if iy >= 0 && iy < w.v.In && ix >= 0 && ix < w.h.In {
				window = append(window, ((s*w.v.In+iy)*w.h.In+ix)*w.channels+c)
			}
		}
	}
	return window
}

// maxPool is MaxPool2D and GlobalMaxPool2D.
type maxPool struct {
	windows
	anyTie bool // of equal maxima any may take the gradient: device.Plan.Exact was not asked for
	x      *Tensor
}

func (p *maxPool) forward(x []*Tensor) *Tensor {
	p.x = x[0]
	y := batchOf(p.x.Shape[0], p.out)
	p.each(p.x.Shape[0], func(i int, window []int) {
		top, low, high := math.Inf(-1), math.Inf(-1), math.Inf(-1)
		for _, k := range window {
			e := p.x.Elems[k]
			top, low, high = max(top, e.V), max(low, e.V-e.R), max(high, e.V+e.R)
		}
		y.Elems[i] = Ball{top, max(high-top, top-low)}
	})
	return y
}

// backward gives the gradient to the first of the largest elements. An element that could be the first largest in an
// implementation's arithmetic, or lose that place, has a radius that covers both; with anyTie that is so for equal ones too.
func (p *maxPool) backward(dy *Tensor) ([]*Tensor, map[string]*Tensor) {
	sums := make([]sum, len(p.x.Elems))
	p.each(p.x.Shape[0], func(i int, window []int) {
		first, low := window[0], math.Inf(-1)
		for _, k := range window {
			if p.x.Elems[k].V > p.x.Elems[first].V {
				first = k
			}
			low = max(low, p.x.Elems[k].V-p.x.Elems[k].R)
		}
		contested := p.anyTie || p.x.Elems[first].R > 0
		for _, k := range window {
			contested = contested || (k != first && p.x.Elems[k].R > 0 && p.x.Elems[k].V+p.x.Elems[k].R >= low)
		}
		rivals := 0
		for _, k := range window {
			if contested && k != first && p.x.Elems[k].V+p.x.Elems[k].R >= low {
				sums[k].add(Ball{0, dy.Elems[i].magnitude()})
				rivals++
			}
		}
		d := dy.Elems[i]
		if rivals > 0 {
			d.R += d.magnitude()
		}
		sums[first].add(d)
	})
	return []*Tensor{like(p.x, balls(sums))}, nil
}

// averagePool is AveragePool2D and GlobalAveragePool2D.
type averagePool struct {
	windows
	in []int
}

func (p *averagePool) forward(x []*Tensor) *Tensor {
	p.in = x[0].Shape
	y := batchOf(p.in[0], p.out)
	p.each(p.in[0], func(i int, window []int) {
		var s sum
		for _, k := range window {
			s.add(x[0].Elems[k])
		}
		y.Elems[i] = s.ball().mul(constant(1 / float64(len(window))))
	})
	return y
}

func (p *averagePool) backward(dy *Tensor) ([]*Tensor, map[string]*Tensor) {
	dx := newTensor(p.in...)
	sums := make([]sum, len(dx.Elems))
	p.each(p.in[0], func(i int, window []int) {
		share := dy.Elems[i].mul(constant(1 / float64(len(window))))
		for _, k := range window {
			sums[k].add(share)
		}
	})
	dx.Elems = balls(sums)
	return []*Tensor{dx}, nil
}
