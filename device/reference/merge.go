package reference

// add is Add.
type add struct{ inputs int }

func (a *add) forward(x []*Tensor) *Tensor { return total(x) }

func (a *add) backward(dy *Tensor) ([]*Tensor, map[string]*Tensor) {
	dx := make([]*Tensor, a.inputs)
	for i := range dx {
		dx[i] = dy
	}
	return dx, nil
}

// total adds tensors of one shape.
func total(x []*Tensor) *Tensor {
	if len(x) == 1 {
		return x[0]
	}
	y := like(x[0], make([]Ball, len(x[0].Elems)))
	for i := range y.Elems {
		var s sum
		for _, t := range x {
			s.add(t.Elems[i])
		}
		y.Elems[i] = s.ball()
	}
	return y
}

// concatenate is Concatenate: the last axes one after the other.
type concatenate struct {
	shapes [][]int // of the inputs, with the batch
}

func (c *concatenate) forward(x []*Tensor) *Tensor {
	c.shapes = nil
	last := 0
	for _, t := range x {
		c.shapes = append(c.shapes, t.Shape)
		last += t.Shape[len(t.Shape)-1]
	}
	shape := append([]int{}, x[0].Shape...)
	shape[len(shape)-1] = last
	y := newTensor(shape...)
	c.each(last, func(input, i, o int) { y.Elems[o] = x[input].Elems[i] })
	return y
}

func (c *concatenate) backward(dy *Tensor) ([]*Tensor, map[string]*Tensor) {
	dx := make([]*Tensor, len(c.shapes))
	for k, s := range c.shapes {
		dx[k] = newTensor(s...)
	}
	c.each(dy.Shape[len(dy.Shape)-1], func(input, i, o int) { dx[input].Elems[i] = dy.Elems[o] })
	return dx, nil
}

// each visits every element of the inputs with its place in the output, whose last axis has this length.
func (c *concatenate) each(last int, visit func(input, i, o int)) {
	before := 0
	for input, s := range c.shapes {
		length, n := s[len(s)-1], 1
		for _, d := range s {
			n *= d
		}
		for i := range n {
			visit(input, i, i/length*last+before+i%length)
		}
		before += length
	}
}
