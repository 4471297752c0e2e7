//go:build cuda

package cuda

import (
	"gcnn/kernels"
	"gcnn/model"
)

// drops reports whether a dropout layer does anything in this plan.
func (c *compiler) drops(l model.Dropout) bool {
	return c.purpose.mode != inference && !c.purpose.infer && l.Rate != 0
}

// dropoutForward emits y = x/(1−rate) where device.Keeps says so, and 0 elsewhere.
func (c *compiler) dropoutForward(i int, l model.Dropout) {
	x := c.vals[slot(c.net.Nodes[i].Inputs[0])]
	if !c.drops(l) {
		c.vals[slot(i)] = x
		return
	}
	c.drop(i, "forward", x, c.value(i), l)
}

// dropoutBackward emits the same with the gradient: the draws are made again.
func (c *compiler) dropoutBackward(i int, l model.Dropout) {
	in, dy := c.net.Nodes[i].Inputs[0], c.grads.At(i)
	if !c.drops(l) {
		c.grads.Pass(in, dy)
		return
	}
	c.grads.Into(in, func(dx *buffer) { c.drop(i, "gradient", dy, dx, l) })
}

func (c *compiler) drop(i int, what string, x, y *buffer, l model.Dropout) {
	var seed uint64
	if c.spec.Training != nil {
		seed = c.spec.Training.Seed
	}
	n, scale := uint32(c.elements(i)), float32(1/(1-float64(l.Rate)))
	c.kernel(i, what, []*buffer{x, y}, func() launcher {
		return kernels.Dropout{X: x.p(), Y: y.p(), Cursor: c.plan.io.cursor, Seed: seed, Layer: uint32(i), N: n, Rate: l.Rate, Scale: scale}
	})
}
