//go:build cuda

package cuda

import (
	"gcnn/kernels"
	"gcnn/model"
)

// finalSoftmax reports whether a node ends in the softmax of a classifier, which the loss computes with the cross-entropy.
func (c *compiler) finalSoftmax(i int) bool {
	return c.purpose.labels && i == len(c.net.Nodes)-1 && model.OutputActivation(c.net.Nodes[i].Layer) == model.Softmax
}

// loss emits what lies between forward and backward: the loss and the gradient at the logits, in one kernel. In a trace
// without labels the caller's gradient is there already.
func (c *compiler) loss() {
	last := len(c.net.Nodes) - 1
	node := &c.net.Nodes[last]
	var dz *buffer
	if c.purpose.mode != inference {
		dz = c.buffer(node.Name+" output gradient", c.elements(last))
		c.grads.Pass(last, dz)
		c.plan.given = dz
	}
	if !c.purpose.labels {
		return
	}
	p := c.plan
	p.losses, p.hits = c.buffer("losses", c.rows), c.buffer("hits", c.rows)
	var weights *buffer
	var smoothing float32
	if t := c.spec.Training; t != nil {
		smoothing = t.LabelSmoothing
		if t.ClassWeights != nil && c.purpose.mode != inference {
			weights = c.constant("class weights", len(t.ClassWeights), t.ClassWeights)
		}
	}
	z, classes := c.logits, lastOf(node.Out)
	c.kernel(last, "softmax and loss", []*buffer{z, p.targets, weights, dz, p.losses, p.hits}, func() launcher {
		return kernels.CrossEntropy{
			Logits: z.p(), Targets: p.targets.p(), Weights: weights.p(), Gradient: dz.p(), Losses: p.losses.p(), Hits: p.hits.p(),
			Rows: uint32(c.rows), Classes: uint32(classes), Valid: uint32(c.rows), Smoothing: smoothing, Divisor: float32(c.rows),
		}
	})
}

// end emits what closes a step: the rows of the result, the sums of the metrics, and the cursor's move.
func (c *compiler) end() {
	p, last := c.plan, len(c.net.Nodes)-1
	if c.purpose.mode == tracing {
		return
	}
	if c.purpose.mode == inference {
		y, width := c.vals[slot(last)], c.net.Output().Size()
		c.kernel(last, "storing of the result", []*buffer{y}, func() launcher {
			return kernels.StoreRows{Rows: y.p(), Result: c.prog.results.p(), Cursor: p.io.cursor, Width: uint32(width), Batch: uint32(c.spec.Batch), Valid: uint32(c.rows), Ring: p.io.results}
		})
	}
	losses, hits, valid := p.losses, p.hits, c.rows
	if !c.purpose.labels { // no loss: the cursor moves all the same
		losses = c.constant("losses", 1, nil)
		hits, valid = losses, 0
	}
	stop := uint32(0)
	if c.purpose.mode == training {
		stop = 1
	}
	c.kernelOf("metrics and end of the step", nil, []*buffer{losses, hits}, func() launcher {
		return kernels.EndStep{Losses: losses.p(), Hits: hits.p(), Totals: p.io.totals, Cursor: p.io.cursor, Progress: p.io.progress, Valid: uint32(valid), Stop: stop}
	})
}
