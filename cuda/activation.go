//go:build cuda

package cuda

import (
	"gcnn/kernels"
	"gcnn/model"
)

// activated is what a layer with a bias and an activation function leaves for its backward pass.
type activated struct {
	function model.ActivationFunc
	alpha    float32
	y, z     *buffer // the result, and what the function was applied to where its derivative needs it
}

// biasActivation emits y = f(x + bias) in x's place, or nothing where there is nothing to do.
func (c *compiler) biasActivation(i int, x *buffer, bias *param, f model.ActivationFunc, alpha float32) *activated {
	a := &activated{function: f, alpha: alpha, y: x}
	n, channels := c.elements(i), lastOf(c.net.Nodes[i].Out)
	if f != model.Softmax && kernels.NeedsInput(int(f)) && c.purpose.mode != inference {
		a.z = c.buffer(c.nameOf(i)+" before activation", n)
	}
	function := int32(f)
	if f == model.Softmax {
		function = kernels.Linear
	}
	if bias != nil || function != kernels.Linear {
		c.kernel(i, "bias and activation", []*buffer{x, a.z}, func() launcher {
			return kernels.ActivationForward{X: x.p(), Bias: bias.w(), Z: a.z.p(), Y: x.p(), N: uint32(n), Channels: uint32(channels), Function: function, Alpha: alpha}
		})
	}
	if f == model.Softmax {
		a.y = c.softmax(i, x)
	}
	return a
}

// softmax emits the softmax of z over the last axis, unless the loss computes it.
func (c *compiler) softmax(i int, z *buffer) *buffer {
	y := c.value(i)
	if c.finalSoftmax(i) {
		c.logits = z
		return y
	}
	classes := lastOf(c.net.Nodes[i].Out)
	rows := c.elements(i) / classes
	c.kernel(i, "softmax", []*buffer{z, y}, func() launcher {
		return kernels.SoftmaxForward{X: z.p(), Y: y.p(), Rows: uint32(rows), Classes: uint32(classes)}
	})
	return y
}

// biasGradient emits the gradient at the layer's sum x + bias, and the bias' own. It returns the former.
func (c *compiler) biasGradient(i int, a *activated, dy *buffer, bias *param, wanted bool) *buffer {
	if a.function == model.Softmax {
		dy = c.softmaxGradient(i, a.y, dy)
	}
	n, channels := c.elements(i), lastOf(c.net.Nodes[i].Out)
	function := int32(a.function)
	if a.function == model.Softmax {
		function = kernels.Linear
	}
	dz := dy
	if function != kernels.Linear && (wanted || bias.trains()) {
		dz = c.buffer(c.nameOf(i)+" sum gradient", n)
	}
	var changed *buffer
	if dz != dy {
		changed = dz
	}
	if !bias.trains() {
		if changed != nil {
			c.kernel(i, "activation gradient", []*buffer{dy, a.y, a.z, dz}, func() launcher {
				return kernels.ActivationBackward{DY: dy.p(), Y: a.y.p(), Z: a.z.p(), DZ: dz.p(), N: uint32(n), Function: function, Alpha: a.alpha}
			})
		}
		return dz
	}
	rows := n / channels
	chunk, _, groups := kernels.BiasChunks(rows, channels)
	partials := c.buffer(c.nameOf(i)+" bias partial sums", mostChunks(rows, channels)*channels)
	tickets := c.tickets(c.nameOf(i)+" bias", groups)
	y := a.y
	if function == kernels.Linear {
		y = nil
	}
	c.kernel(i, "activation and bias gradient", []*buffer{dy, y, a.z, changed, partials, tickets}, func() launcher {
		return kernels.BiasActivationBackward{
			DY: dy.p(), Y: y.p(), Z: a.z.p(), DZ: changed.p(), Partials: partials.p(), Dbias: bias.g(), Tickets: tickets.p(),
			Rows: uint32(rows), Channels: uint32(channels), Chunk: uint32(chunk), Function: function, Alpha: a.alpha,
		}
	})
	return dz
}

// mostChunks is the largest number of chunks of so many rows or fewer, since the plan for a partial batch has the same buffers.
func mostChunks(rows, channels int) int {
	least, _, _ := kernels.BiasChunks(1, channels)
	return min((rows+least-1)/least, 512)
}

// softmaxGradient emits the gradient at a softmax' argument; that of the final one comes from the loss.
func (c *compiler) softmaxGradient(i int, y, dy *buffer) *buffer {
	if c.finalSoftmax(i) {
		return dy
	}
	classes := lastOf(c.net.Nodes[i].Out)
	rows := c.elements(i) / classes
	dx := c.buffer(c.nameOf(i)+" softmax gradient", c.elements(i))
	c.kernel(i, "softmax gradient", []*buffer{dy, y, dx}, func() launcher {
		return kernels.SoftmaxBackward{DY: dy.p(), Y: y.p(), DX: dx.p(), Rows: uint32(rows), Classes: uint32(classes)}
	})
	return dx
}

// activationForward emits an Activation layer.
func (c *compiler) activationForward(i int, l model.Activation) {
	x := c.vals[slot(c.net.Nodes[i].Inputs[0])]
	if l.Func == model.Softmax {
		c.shapes[i] = &activated{function: l.Func, y: c.softmax(i, x)}
		return
	}
	if l.Func == model.Linear {
		c.vals[slot(i)] = x
		return
	}
	y := c.value(i)
	a := &activated{function: l.Func, alpha: l.Alpha, y: y}
	if kernels.NeedsInput(int(l.Func)) {
		a.z = x
	}
	c.shapes[i] = a
	n, channels := c.elements(i), lastOf(c.net.Nodes[i].Out)
	c.kernel(i, "forward", []*buffer{x, y}, func() launcher {
		return kernels.ActivationForward{X: x.p(), Y: y.p(), N: uint32(n), Channels: uint32(channels), Function: int32(l.Func), Alpha: l.Alpha}
	})
}

func (c *compiler) activationBackward(i int, l model.Activation) {
	in, dy := c.net.Nodes[i].Inputs[0], c.grads[slot(i)]
	switch {
	case l.Func == model.Linear:
		c.passBack(in, dy)
		return
	case !c.needs[slot(in)]:
		return
	case l.Func == model.Softmax:
		c.passBack(in, c.softmaxGradient(i, c.shapes[i].y, dy))
		return
	}
	a, n := c.shapes[i], c.elements(i)
	c.into(in, func(dx *buffer) {
		c.kernel(i, "gradient", []*buffer{dy, a.y, a.z, dx}, func() launcher {
			return kernels.ActivationBackward{DY: dy.p(), Y: a.y.p(), Z: a.z.p(), DZ: dx.p(), N: uint32(n), Function: int32(a.function), Alpha: a.alpha}
		})
	})
}

func lastOf(s model.Shape) int { return s[len(s)-1] }
