//go:build cuda

package cuda

import (
	"gcnn/kernels"
	"gcnn/model"
)

// lrnForward emits y = x·s^−β with s = k + α/size·Σx² over the channels around each. s is kept for the gradient. cuDNN's own
// computes s again in its backward pass.
func (c *compiler) lrnForward(i int, l model.LocalResponseNormalization) {
	x, y := c.vals[slot(c.net.Nodes[i].Inputs[0])], c.value(i)
	var sums *buffer
	if c.grads.Wanted(c.net.Nodes[i].Inputs[0]) {
		sums = c.buffer(c.net.NameOf(i)+" sums", c.elements(i))
		c.lrns[i] = sums
	}
	n, channels := uint32(c.elements(i)), uint32(lastOf(c.net.Nodes[i].Out))
	c.kernel(i, "forward", []*buffer{x, y, sums}, func() launcher {
		return kernels.LRNForward{X: x.p(), S: sums.p(), Y: y.p(), N: n, Channels: channels, Window: uint32(l.Size), Share: l.Alpha / float32(l.Size), Beta: l.Beta, K: l.Bias}
	})
}

func (c *compiler) lrnBackward(i int, l model.LocalResponseNormalization) {
	in := c.net.Nodes[i].Inputs[0]
	x, y, dy, sums := c.vals[slot(in)], c.vals[slot(i)], c.grads.At(i), c.lrns[i]
	n, channels := uint32(c.elements(i)), uint32(lastOf(c.net.Nodes[i].Out))
	c.grads.Into(in, func(dx *buffer) {
		c.kernel(i, "gradient", []*buffer{dy, x, y, sums, dx}, func() launcher {
			return kernels.LRNBackward{DY: dy.p(), X: x.p(), Y: y.p(), S: sums.p(), DX: dx.p(), N: n, Channels: channels, Window: uint32(l.Size), Share: l.Alpha / float32(l.Size), Beta: l.Beta}
		})
	})
}
