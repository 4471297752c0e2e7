//go:build cuda

package cuda

import (
	"gcnn/kernels"
	"gcnn/model"
)

// padForward emits a copy into a larger map of zeros.
func (c *compiler) padForward(i int, l model.ZeroPadding2D) {
	node := &c.net.Nodes[i]
	c.padMap(i, "forward", c.vals[slot(node.Inputs[0])], c.value(i), node.In[0], node.Out, l.Padding.Top, l.Padding.Left)
}

// padBackward emits a copy of the inner part.
func (c *compiler) padBackward(i int, l model.ZeroPadding2D) {
	node := &c.net.Nodes[i]
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		c.cropMap(i, "gradient", c.grads.At(i), dx, node.In[0], node.Out, l.Padding.Top, l.Padding.Left)
	})
}

// padMap emits y, of shape out, made of x, of shape in, with zeros around it.
func (c *compiler) padMap(i int, what string, x, y *buffer, in, out model.Shape, top, left int) {
	c.kernel(i, what, []*buffer{x, y}, func() launcher {
		return kernels.Pad{
			X: x.p(), Y: y.p(), N: uint32(c.rows * out.Size()), Height: uint32(in[0]), Width: uint32(in[1]), Channels: uint32(in[2]),
			OutH: uint32(out[0]), OutW: uint32(out[1]), Top: uint32(top), Left: uint32(left),
		}
	})
}

// cropMap emits dx, of shape in, taken out of dy, of shape out.
func (c *compiler) cropMap(i int, what string, dy, dx *buffer, in, out model.Shape, top, left int) {
	c.kernel(i, what, []*buffer{dy, dx}, func() launcher {
		return kernels.Crop{
			DY: dy.p(), DX: dx.p(), N: uint32(c.rows * in.Size()), Height: uint32(in[0]), Width: uint32(in[1]), Channels: uint32(in[2]),
			OutH: uint32(out[0]), OutW: uint32(out[1]), Top: uint32(top), Left: uint32(left),
		}
	})
}
