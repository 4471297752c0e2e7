//go:build cuda

package cuda

import "gcnn/kernels"

// addForward emits the sum of the inputs, in their order.
func (c *compiler) addForward(i int) {
	node := &c.net.Nodes[i]
	y, n := c.value(i), uint32(c.elements(i))
	sum := c.vals[slot(node.Inputs[0])]
	for _, in := range node.Inputs[1:] {
		a, b := sum, c.vals[slot(in)]
		c.kernel(i, "forward", []*buffer{a, b, y}, func() launcher { return kernels.Add{A: a.p(), B: b.p(), Y: y.p(), N: n} })
		sum = y
	}
}

// addBackward passes the gradient on to every input.
func (c *compiler) addBackward(i int) {
	for _, in := range c.net.Nodes[i].Inputs {
		c.grads.Pass(in, c.grads.At(i))
	}
}

// concatenateForward emits the copies that put the inputs' channels side by side.
func (c *compiler) concatenateForward(i int) {
	node := &c.net.Nodes[i]
	y, width := c.value(i), lastOf(node.Out)
	rows, at := c.elements(i)/width, 0
	for k, in := range node.Inputs {
		x, n, to := c.vals[slot(in)], lastOf(node.In[k]), at
		c.kernel(i, "forward", []*buffer{x, y}, func() launcher {
			return kernels.CopyChannels{X: x.p(), Y: y.p(), Rows: uint32(rows), Count: uint32(n), FromChannels: uint32(n), ToChannels: uint32(width), To: uint32(to)}
		})
		at += n
	}
}

// concatenateBackward emits the copies of each input's channels of the gradient.
func (c *compiler) concatenateBackward(i int) {
	node := &c.net.Nodes[i]
	dy, width := c.grads.At(i), lastOf(node.Out)
	rows, at := c.elements(i)/width, 0
	for k, in := range node.Inputs {
		n, from := lastOf(node.In[k]), at
		c.grads.Into(in, func(dx *buffer) {
			c.kernel(i, "gradient", []*buffer{dy, dx}, func() launcher {
				return kernels.CopyChannels{X: dy.p(), Y: dx.p(), Rows: uint32(rows), Count: uint32(n), FromChannels: uint32(width), From: uint32(from), ToChannels: uint32(n)}
			})
		})
		at += n
	}
}
