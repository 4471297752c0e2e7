//go:build cuda

package cuda

import "gcnn/model"

// denseForward emits y = f(x·W + b), x of [rows, in] and W as Keras has it, [in, units].
func (c *compiler) denseForward(i int, l model.Dense) {
	node := &c.net.Nodes[i]
	x, in := c.vals[slot(node.Inputs[0])], node.In[0][0]
	kernel := c.param(i, model.Kernel)
	var y *buffer
	if l.Activation == model.Softmax {
		y = c.buffer(node.Name+" logits", c.elements(i))
	} else {
		y = c.value(i)
	}
	c.task(node.Name+" forward", c.net.NamesOf(i), "cublasSgemm", 2*node.MACs*int64(c.rows), []*buffer{x, y}, func() error {
		return c.d.matmul(false, false, c.rows, l.Units, in, x.p(), in, kernel.w(), l.Units, y.p(), l.Units)
	})
	c.shapes[i] = c.biasActivation(i, y, c.param(i, model.Bias), l.Activation, l.Activation.DefaultAlpha(), false)
}

// denseBackward emits dW = xᵀ·dz and dx = dz·Wᵀ.
func (c *compiler) denseBackward(i int, l model.Dense) {
	node := &c.net.Nodes[i]
	x, in := c.vals[slot(node.Inputs[0])], node.In[0][0]
	kernel := c.param(i, model.Kernel)
	dz := c.biasGradient(i, c.shapes[i], c.grads.At(i), c.param(i, model.Bias), kernel.trains() || c.grads.Wanted(node.Inputs[0]))
	flops := 2 * node.MACs * int64(c.rows)
	if kernel.trains() {
		c.task(node.Name+" kernel gradient", c.net.NamesOf(i), "cublasSgemm", flops, []*buffer{x, dz}, func() error {
			return c.d.matmul(true, false, in, l.Units, c.rows, x.p(), in, dz.p(), l.Units, kernel.g(), l.Units)
		})
	}
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		c.task(node.Name+" input gradient", c.net.NamesOf(i), "cublasSgemm", flops, []*buffer{dz, dx}, func() error {
			return c.d.matmul(false, true, c.rows, in, l.Units, dz.p(), l.Units, kernel.w(), l.Units, dx.p(), in)
		})
	})
}
