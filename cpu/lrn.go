package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/model"
)

// lrnOf is the kernel of a local response normalisation.
func lrnOf(l model.LocalResponseNormalization, channels int, across bool) *kernel.LRN {
	return &kernel.LRN{Channels: channels, Size: l.Size, Share: l.Alpha / float32(l.Size), Beta: l.Beta, Bias: l.Bias, Across: across}
}

// lrnForward emits y = x·s^−β with s = k + α/size·Σx² over the channels around each.
func (c *compiler) lrnForward(i int, l model.LocalResponseNormalization) {
	node := &c.net.Nodes[i]
	x, y := c.vals[slot(node.Inputs[0])], c.value(i)
	n := lrnOf(l, node.Out[2], false)
	positions := node.Out[0] * node.Out[1]
	scratch := c.buffer(node.Name+" squares", n.Scratch())
	c.task(c.plainTask(i, "forward", "lrn"), []*buffer{x, y, scratch}, func(w *worker, g int) {
		c.k.LRN(y.at(w, g), x.at(w, g), scratch.at(w, g), n, positions)
	})
}

// lrnBackward emits dx_i = dy_i·s_i^−β − 2αβ/size·x_i·Σ_j dy_j·x_j·s_j^(−β−1), over the channels j whose sums have x_i.
func (c *compiler) lrnBackward(i int, l model.LocalResponseNormalization) {
	node := &c.net.Nodes[i]
	x, dy := c.vals[slot(node.Inputs[0])], c.grads.At(i)
	n := lrnOf(l, node.Out[2], false)
	positions := node.Out[0] * node.Out[1]
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		scratch := c.buffer(node.Name+" ratios", n.Scratch())
		c.task(c.plainTask(i, "gradient", "lrn"), []*buffer{x, dy, dx, scratch}, func(w *worker, g int) {
			c.k.LRNGrad(dx.at(w, g), dy.at(w, g), x.at(w, g), scratch.at(w, g), n, positions)
		})
	})
}
