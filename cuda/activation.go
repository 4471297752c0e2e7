//go:build cuda

package cuda

import (
	cudnn "gorgonia.org/cu/dnn"

	"gcnn/kernels"
	"gcnn/model"
)

// activated is what a layer with a bias and an activation function leaves for its backward pass.
type activated struct {
	function model.ActivationFunc
	alpha    float32
	y, z     *buffer // the result, and what the function was applied to where its derivative needs it

	dnn *cudnn.Activation // of an Activation layer; nil: by a kernel
	d   *cudnn.TensorDescriptor
}

// elementwise is the function without softmax, which is computed by a call of its own.
func elementwise(f model.ActivationFunc) int32 {
	if f == model.Softmax {
		return kernels.Linear
	}
	return int32(f)
}

// biasActivation emits y = f(x + bias) in x's place, or nothing where there is nothing to do. applied says that bias and
// function, but for softmax, are in x already.
func (c *compiler) biasActivation(i int, x *buffer, bias *param, f model.ActivationFunc, alpha float32, applied bool) *activated {
	a := &activated{function: f, alpha: alpha, y: x}
	n, channels, function := c.elements(i), lastOf(c.net.Nodes[i].Out), elementwise(f)
	if kernels.NeedsInput(int(function)) && c.purpose.mode != inference {
		a.z = c.buffer(c.net.NameOf(i)+" before activation", n)
	}
	if !applied && (bias != nil || function != kernels.Linear) {
		c.kernel(i, "bias and activation", []*buffer{x, a.z}, func() launcher {
			return kernels.ActivationForward{X: x.p(), Bias: bias.w(), Z: a.z.p(), Y: x.p(), N: uint32(n), Channels: uint32(channels), Function: function, Alpha: alpha}
		})
	}
	if f == model.Softmax {
		a.y = c.softmax(i, x)
	}
	return a
}

// softmax emits the softmax of z over the last axis. A training step has no use for that of a classifier, whose loss is computed
// from z.
func (c *compiler) softmax(i int, z *buffer) *buffer {
	y := c.value(i)
	if c.finalSoftmax(i) {
		c.logits = z
		if c.purpose.mode == training {
			return y
		}
	}
	d := c.output(i)
	c.task(c.net.NameOf(i)+" softmax", c.net.NamesOf(i), "cudnnSoftmaxForward", 0, []*buffer{z, y}, func() error {
		err := c.d.dnn.SoftmaxForward(cudnn.Accurate, cudnn.Channel, 1, d, at(z.p()), 0, d, at(y.p()))
		return c.d.ok("cudnnSoftmaxForward", err, "rows", c.rows, "shape", c.net.Nodes[i].Out)
	})
	return y
}

// softmaxGradient emits the gradient at a softmax' argument; that of the final one comes from the loss.
func (c *compiler) softmaxGradient(i int, y, dy *buffer) *buffer {
	if c.finalSoftmax(i) {
		return dy
	}
	dx, d := c.buffer(c.net.NameOf(i)+" softmax gradient", c.elements(i)), c.output(i)
	c.task(c.net.NameOf(i)+" softmax gradient", c.net.NamesOf(i), "cudnnSoftmaxBackward", 0, []*buffer{dy, y, dx}, func() error {
		err := c.d.dnn.SoftmaxBackward(cudnn.Accurate, cudnn.Channel, 1, d, at(y.p()), d, at(dy.p()), 0, d, at(dx.p()))
		return c.d.ok("cudnnSoftmaxBackward", err, "rows", c.rows, "shape", c.net.Nodes[i].Out)
	})
	return dx
}

// biasGradient emits the gradient at the layer's sum x + bias, and the bias' own. It returns the former.
func (c *compiler) biasGradient(i int, a *activated, dy *buffer, bias *param, wanted bool) *buffer {
	if a.function == model.Softmax {
		dy = c.softmaxGradient(i, a.y, dy)
	}
	n, channels, function := c.elements(i), lastOf(c.net.Nodes[i].Out), elementwise(a.function)
	dz := dy
	if function != kernels.Linear && (wanted || bias.trains()) {
		dz = c.buffer(c.net.NameOf(i)+" sum gradient", n)
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
	partials := c.buffer(c.net.NameOf(i)+" bias partial sums", mostChunks(rows, channels)*channels)
	tickets := c.tickets(c.net.NameOf(i)+" bias", groups)
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

// activationModes are the functions that cuDNN knows; others are computed by a kernel.
var activationModes = map[model.ActivationFunc]cudnn.ActivationMode{
	model.ReLU: cudnn.ReLU, model.Tanh: cudnn.Tanh, model.Sigmoid: cudnn.Sigmoid, model.ELU: cudnn.Elu,
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
	c.shapes[i] = a
	if mode, ok := activationModes[l.Func]; ok {
		// cuDNN's derivatives of the others follow from y, which it takes for x too, as after an activation in place: x need not
		// be kept.
		if a.z = y; l.Func == model.ELU {
			a.z = x
		}
		a.dnn, a.d = c.activation(mode, cudnn.PropagateNan, l.Alpha), c.output(i)
		c.task(c.net.NameOf(i)+" forward", c.net.NamesOf(i), "cudnnActivationForward", 0, []*buffer{x, y}, func() error {
			err := c.d.dnn.ActivationForward(a.dnn, 1, a.d, at(x.p()), 0, a.d, at(y.p()))
			return c.d.ok("cudnnActivationForward", err, "rows", c.rows, "shape", c.net.Nodes[i].Out, "function", l.Func)
		})
		return
	}
	if kernels.NeedsInput(int(l.Func)) {
		a.z = x
	}
	n, channels := c.elements(i), lastOf(c.net.Nodes[i].Out)
	c.kernel(i, "forward", []*buffer{x, y}, func() launcher {
		return kernels.ActivationForward{X: x.p(), Y: y.p(), N: uint32(n), Channels: uint32(channels), Function: int32(l.Func), Alpha: l.Alpha}
	})
	c.because(notDNN)
}

// notDNN is why a kernel computes gelu and the like.
const notDNN = "not one of cuDNN's"

func (c *compiler) activationBackward(i int, l model.Activation) {
	in, dy := c.net.Nodes[i].Inputs[0], c.grads.At(i)
	switch {
	case l.Func == model.Linear:
		c.grads.Pass(in, dy)
		return
	case !c.grads.Wanted(in):
		return
	case l.Func == model.Softmax:
		c.grads.Pass(in, c.softmaxGradient(i, c.shapes[i].y, dy))
		return
	}
	a, n := c.shapes[i], c.elements(i)
	c.grads.Into(in, func(dx *buffer) {
		if a.dnn != nil {
			c.task(c.net.NameOf(i)+" gradient", c.net.NamesOf(i), "cudnnActivationBackward", 0, []*buffer{dy, a.y, a.z, dx}, func() error {
				err := c.d.dnn.ActivationBackward(a.dnn, 1, a.d, at(a.y.p()), a.d, at(dy.p()), a.d, at(a.z.p()), 0, a.d, at(dx.p()))
				return c.d.ok("cudnnActivationBackward", err, "rows", c.rows, "shape", c.net.Nodes[i].Out, "function", l.Func)
			})
			return
		}
		c.kernel(i, "gradient", []*buffer{dy, a.y, a.z, dx}, func() launcher {
			return kernels.ActivationBackward{DY: dy.p(), Y: a.y.p(), Z: a.z.p(), DZ: dx.p(), N: uint32(n), Function: int32(a.function), Alpha: a.alpha}
		})
		c.because(notDNN)
	})
}

// activation makes cuDNN's descriptor of an activation function.
func (c *compiler) activation(mode cudnn.ActivationMode, nan cudnn.NanPropagation, alpha float32) *cudnn.Activation {
	a, err := cudnn.NewActivation(mode, nan, float64(alpha))
	if err != nil {
		c.fail(c.d.ok("cudnnSetActivationDescriptor", err, "mode", mode))
		return &cudnn.Activation{}
	}
	c.plan.descriptors = append(c.plan.descriptors, activationDescriptor{a})
	return a
}

// output makes cuDNN's descriptor of a node's output.
func (c *compiler) output(i int) *cudnn.TensorDescriptor {
	h, w, channels := mapOf(c.net.Nodes[i].Out)
	return c.tensor(c.rows, h, w, channels)
}

func lastOf(s model.Shape) int { return s[len(s)-1] }
