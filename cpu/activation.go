package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/model"
)

// activate computes an activation; n is the channels or units over which softmax goes.
func (c *compiler) activate(f model.ActivationFunc, alpha float32, y, x []float32, n int) {
	if f == model.Softmax {
		c.k.Softmax(y, x, n, len(x)/(n*kernel.Lanes))
		return
	}
	c.k.Activate(f, alpha, y, x)
}

// activateGrad computes dx = dy·f′; s is what kernel.NeedsInput says.
func (c *compiler) activateGrad(f model.ActivationFunc, alpha float32, dx, dy, s []float32, n int) {
	if f == model.Softmax {
		c.k.SoftmaxGrad(dx, dy, s, n, len(dx)/(n*kernel.Lanes))
		return
	}
	c.k.ActivateGrad(f, alpha, dx, dy, s)
}

// activationGrad emits the gradient at an activation's input from that at its output; x is its input and y its output.
func (c *compiler) activationGrad(i int, f model.ActivationFunc, alpha float32, dy, x, y *buffer) *buffer {
	node := &c.net.Nodes[i]
	s := y
	if kernel.NeedsInput(f) {
		s = x
	}
	dx := c.buffer(node.Name+" sums gradient", node.Out.Size()*kernel.Lanes)
	dx.pinned = c.purpose.mode == tracing // of an Activation it is the gradient at a node
	n := node.Out[len(node.Out)-1]
	c.task(c.plainTask(i, f.String()+" gradient", "activation"), []*buffer{dy, s, dx}, func(w *worker, g int) {
		c.activateGrad(f, alpha, dx.at(w, g), dy.at(w, g), s.at(w, g), n)
	})
	return dx
}

func (c *compiler) activationForward(i int, l model.Activation) {
	node := &c.net.Nodes[i]
	x := c.vals[slot(node.Inputs[0])]
	if l.Func == model.Linear && c.purpose.mode != tracing {
		c.vals[slot(i)] = x
		return
	}
	y := c.value(i)
	if c.finalSoftmax(i) {
		return // the loss makes it
	}
	n := node.Out[len(node.Out)-1]
	c.task(c.plainTask(i, "forward", "activation"), []*buffer{x, y}, func(w *worker, g int) {
		c.activate(l.Func, l.Alpha, y.at(w, g), x.at(w, g), n)
	})
}

func (c *compiler) activationBackward(i int, l model.Activation) {
	node := &c.net.Nodes[i]
	dy := c.grads.At(i)
	if l.Func == model.Linear || c.finalSoftmax(i) && c.purpose.labels {
		c.grads.Pass(node.Inputs[0], dy)
		return
	}
	if !c.grads.Wanted(node.Inputs[0]) {
		return
	}
	c.grads.Pass(node.Inputs[0], c.activationGrad(i, l.Func, l.Alpha, dy, c.vals[slot(node.Inputs[0])], c.vals[slot(i)]))
}
