package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// finalSoftmax reports whether a node ends in the softmax of a classifier, which the loss computes with the cross-entropy.
func (c *compiler) finalSoftmax(i int) bool {
	return c.purpose.labels && i == len(c.net.Nodes)-1 && model.OutputActivation(c.net.Nodes[i].Layer) == model.Softmax
}

// loss emits the task between forward and backward: the loss, the probabilities and the gradient at the logits, or in a trace
// without labels the gradient that the caller gave.
func (c *compiler) loss() {
	last := len(c.net.Nodes) - 1
	node := &c.net.Nodes[last]
	size := node.Out.Size()
	var dz *buffer
	if c.purpose.mode != inference {
		dz = c.gradient(last)
		c.grads.Pass(last, dz)
	}
	if !c.purpose.labels {
		switch {
		case dz != nil && c.single:
			c.channelDY(dz)
		case dz != nil:
			c.task(device.Task{Name: "gather dy", Kernel: c.kernelName("gather")}, []*buffer{dz}, func(w *worker, g int) {
				w.fill(g)
				c.k.GatherFloats(dz.at(w, g), w.step.dy, size, 0, size, &w.index)
			})
		}
		return
	}
	z := c.vals[slot(node.Inputs[0])]
	if d, ok := c.dense[last]; ok {
		z = d.z
	}
	var p *buffer
	if c.purpose.mode != training {
		p = c.vals[slot(last)]
	}
	ce := c.crossEntropy(size)
	c.task(device.Task{Name: "softmax and loss", Layers: c.layers(last), Kernel: c.kernelName("softmax")}, []*buffer{z, p, dz}, func(w *worker, g int) {
		w.fillLabels(g)
		var grad, prob []float32
		scores := &w.scores
		if dz != nil {
			grad = dz.at(w, g)
		}
		if dz != nil || c.purpose.spread {
			scores = &c.plan.losses[g]
		}
		if p != nil {
			prob = p.at(w, g)
		}
		c.k.SoftmaxCrossEntropy(ce, grad, prob, z.at(w, g), &w.labels, w.step.scale, scores)
	})
}

func (c *compiler) crossEntropy(classes int) *kernel.CrossEntropy {
	ce := &kernel.CrossEntropy{Classes: classes}
	if t := c.spec.Training; t != nil {
		ce.Smoothing = t.LabelSmoothing
		if c.purpose.mode != inference {
			ce.Weights = t.ClassWeights
		}
	}
	return ce
}
