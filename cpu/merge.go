package cpu

import "gcnn/cpu/kernel"

// addForward emits the sum of the inputs, in their order.
func (c *compiler) addForward(i int) {
	node := &c.net.Nodes[i]
	y := c.value(i)
	uses := []*buffer{y}
	for _, in := range node.Inputs {
		uses = append(uses, c.vals[slot(in)])
	}
	c.task(c.plainTask(i, "forward", "add"), uses, func(w *worker, g int) {
		dst := y.at(w, g)
		c.k.Add(dst, uses[1].at(w, g), uses[2].at(w, g))
		for _, x := range uses[3:] {
			c.k.Add(dst, dst, x.at(w, g))
		}
	})
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
	y := c.value(i)
	uses := []*buffer{y}
	for _, in := range node.Inputs {
		uses = append(uses, c.vals[slot(in)])
	}
	last := len(node.Out) - 1
	row := node.Out[last] * kernel.Lanes
	positions := node.Out.Size() / node.Out[last]
	c.task(c.plainTask(i, "forward", "copy"), uses, func(w *worker, g int) {
		dst := y.at(w, g)
		at := 0
		for k, x := range uses[1:] {
			n := node.In[k][last] * kernel.Lanes
			src := x.at(w, g)
			for p := range positions {
				copy(dst[p*row+at:][:n], src[p*n:])
			}
			at += n
		}
	})
}

// concatenateBackward emits the copies of each input's channels of the gradient.
func (c *compiler) concatenateBackward(i int) {
	node := &c.net.Nodes[i]
	dy := c.grads.At(i)
	last := len(node.Out) - 1
	row := node.Out[last] * kernel.Lanes
	positions := node.Out.Size() / node.Out[last]
	at := 0
	for k, in := range node.Inputs {
		n, from := node.In[k][last]*kernel.Lanes, at
		at += n
		c.grads.Into(in, func(dx *buffer) {
			c.task(c.plainTask(i, "gradient", "copy"), []*buffer{dx, dy}, func(w *worker, g int) {
				dst, src := dx.at(w, g), dy.at(w, g)
				for p := range positions {
					copy(dst[p*n:][:n], src[p*row+from:])
				}
			})
		})
	}
}
