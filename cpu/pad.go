package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/model"
)

// padForward emits a copy into a larger map of zeros.
func (c *compiler) padForward(i int, l model.ZeroPadding2D) {
	node := &c.net.Nodes[i]
	x, y := c.vals[slot(node.Inputs[0])], c.value(i)
	in, out := node.In[0], node.Out
	c.task(c.plainTask(i, "forward", "copy"), []*buffer{x, y}, func(w *worker, g int) {
		dst, src := y.at(w, g), x.at(w, g)
		clear(dst)
		row := in[1] * in[2] * kernel.Lanes
		for r := range in[0] {
			copy(dst[((r+l.Padding.Top)*out[1]+l.Padding.Left)*out[2]*kernel.Lanes:][:row], src[r*row:])
		}
	})
}

// padBackward emits a copy of the inner part.
func (c *compiler) padBackward(i int, l model.ZeroPadding2D) {
	node := &c.net.Nodes[i]
	dy := c.grads.At(i)
	in, out := node.In[0], node.Out
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		c.task(c.plainTask(i, "gradient", "copy"), []*buffer{dx, dy}, func(w *worker, g int) {
			dst, src := dx.at(w, g), dy.at(w, g)
			row := in[1] * in[2] * kernel.Lanes
			for r := range in[0] {
				copy(dst[r*row:][:row], src[((r+l.Padding.Top)*out[1]+l.Padding.Left)*out[2]*kernel.Lanes:])
			}
		})
	})
}
