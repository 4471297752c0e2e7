package reference

import "gcnn/model"

// conv is Conv2D without its activation: y[n, oy, ox, f] = bias[f] + Σ x[n, oy·s+ky·d−top, ox·s+kx·d−left, c]·kernel[ky, kx, c, f]
// over the taps inside the input and the channels of f's group.
type conv struct {
	spec         model.Conv2D
	in, out      model.Shape
	kernel, bias *Tensor // bias is nil where there is none
	names        paramNames
	winograd     bool // it may be computed by Winograd's algorithm
	rows         bool // the same, along rows
	x            *Tensor
}

// each visits every product of the convolution by its places in x, kernel and y.
func (c *conv) each(n int, visit func(x, k, y int)) {
	v, h := c.spec.Windows(c.in)
	channels, filters := c.in[2], c.spec.Filters
	perGroup, filtersPerGroup := channels/c.spec.Groups, filters/c.spec.Groups
	for s := range n {
		for oy := range v.Out {
			for ox := range h.Out {
				for ky := range v.Kernel {
					iy := oy*v.Stride + ky*v.Dilation - v.Before
					if iy < 0 || iy >= v.In {
						continue
					}
					for kx := range h.Kernel {
						ix := ox*h.Stride + kx*h.Dilation - h.Before
						if ix < 0 || ix >= h.In {
							continue
						}
						x := ((s*v.In+iy)*h.In + ix) * channels
						k := (ky*h.Kernel + kx) * perGroup * filters
						y := ((s*v.Out+oy)*h.Out + ox) * filters
						for f := range filters {
							first := f / filtersPerGroup * perGroup
							for ci := range perGroup {
								visit(x+first+ci, k+ci*filters+f, y+f)
							}
						}
					}
				}
			}
		}
	}
}

func (c *conv) forward(x []*Tensor) *Tensor {
	c.x = x[0]
	n := c.x.Shape[0]
	y := batchOf(n, c.out)
	sums := make([]sum, len(y.Elems))
	c.each(n, func(x, k, y int) { sums[y].addProduct(c.x.Elems[x], c.kernel.Elems[k]) })
	addBias(sums, c.bias)
	y.Elems = balls(sums)
	if c.winograd {
		v, h := c.spec.Windows(c.in)
		w := winogradOutput(magnitudes(c.x), [2]int{v.Before, h.Before}, v.Out, h.Out, c.spec.Filters, c.weight)
		for i := range sums {
			y.Elems[i] = sums[i].winograd(w[i], c.in[2]+winogradRoundings)
		}
	}
	if c.rows {
		c.byRows().output(y.Elems, sums)
	}
	return y
}

// weight is the magnitude of a weight.
func (c *conv) weight(ky, kx, channel, filter int) float64 {
	return c.kernel.Elems[((ky*3+kx)*c.in[2]+channel)*c.spec.Filters+filter].magnitude()
}

func (c *conv) backward(dy *Tensor) ([]*Tensor, map[string]*Tensor) {
	dx := make([]sum, len(c.x.Elems))
	dk := make([]sum, len(c.kernel.Elems))
	c.each(c.x.Shape[0], func(x, k, y int) {
		dx[x].addProduct(dy.Elems[y], c.kernel.Elems[k])
		dk[k].addProduct(dy.Elems[y], c.x.Elems[x])
	})
	x, kernel := balls(dx), balls(dk)
	if c.winograd {
		v, h := c.spec.Windows(c.in)
		up, before := magnitudes(dy), [2]int{v.Before, h.Before}
		w := winogradOutput(up, [2]int{2 - v.Before, 2 - h.Before}, v.In, h.In, c.in[2],
			func(ky, kx, f, channel int) float64 { return c.weight(2-ky, 2-kx, channel, f) })
		for i := range dx {
			x[i] = dx[i].winograd(w[i], c.spec.Filters+winogradRoundings)
		}
		w = winogradKernel(magnitudes(c.x), up, before)
		tiles := (v.Out + tile - 1) / tile * ((h.Out + tile - 1) / tile)
		for i := range dk {
			kernel[i] = dk[i].winograd(w[i], c.x.Shape[0]*tiles+winogradKernelRoundings)
		}
	}
	if c.rows {
		r := c.byRows()
		r.inputGradient(x, dx, dy)
		r.kernelGradient(kernel, dk, dy)
	}
	grads := map[string]*Tensor{c.names.kernel: like(c.kernel, kernel)}
	if c.bias != nil {
		grads[c.names.bias] = biasGradient(dy, c.bias)
	}
	return []*Tensor{like(c.x, x)}, grads
}

// addBias adds the bias of the last axis to every sum.
func addBias(sums []sum, bias *Tensor) {
	if bias == nil {
		return
	}
	for i := range sums {
		sums[i].add(bias.Elems[i%len(bias.Elems)])
	}
}

// biasGradient sums dy over all but the last axis.
func biasGradient(dy, bias *Tensor) *Tensor {
	sums := make([]sum, len(bias.Elems))
	for i, d := range dy.Elems {
		sums[i%len(sums)].add(d)
	}
	return like(bias, balls(sums))
}
