package reference

import "gcnn/model"

// dense is Dense without its activation: y[n, j] = bias[j] + Σᵢ x[n, i]·kernel[i, j].
type dense struct {
	inputs, units int
	kernel, bias  *Tensor // bias is nil where there is none
	names         paramNames
	x             *Tensor
}

// each visits every product by its places in x, kernel and y.
func (d *dense) each(n int, visit func(x, k, y int)) {
	for s := range n {
		for i := range d.inputs {
			for j := range d.units {
				visit(s*d.inputs+i, i*d.units+j, s*d.units+j)
			}
		}
	}
}

func (d *dense) forward(x []*Tensor) *Tensor {
	d.x = x[0]
	n := d.x.Shape[0]
	sums := make([]sum, n*d.units)
	d.each(n, func(x, k, y int) { sums[y].addProduct(d.x.Elems[x], d.kernel.Elems[k]) })
	addBias(sums, d.bias)
	return &Tensor{Shape: []int{n, d.units}, Elems: balls(sums)}
}

func (d *dense) backward(dy *Tensor) ([]*Tensor, map[string]*Tensor) {
	dx := make([]sum, len(d.x.Elems))
	dk := make([]sum, len(d.kernel.Elems))
	d.each(d.x.Shape[0], func(x, k, y int) {
		dx[x].addProduct(dy.Elems[y], d.kernel.Elems[k])
		dk[k].addProduct(dy.Elems[y], d.x.Elems[x])
	})
	grads := map[string]*Tensor{d.names.kernel: like(d.kernel, balls(dk))}
	if d.bias != nil {
		grads[d.names.bias] = biasGradient(dy, d.bias)
	}
	return []*Tensor{like(d.x, balls(dx))}, grads
}

// reshape is Flatten, which keeps the channels-last order, and the layers that are nothing but their activation.
type reshape struct {
	out model.Shape
	in  []int
}

func (r *reshape) forward(x []*Tensor) *Tensor {
	r.in = x[0].Shape
	return &Tensor{Shape: append([]int{r.in[0]}, r.out...), Elems: x[0].Elems}
}

func (r *reshape) backward(dy *Tensor) ([]*Tensor, map[string]*Tensor) {
	return []*Tensor{{Shape: r.in, Elems: dy.Elems}}, nil
}
