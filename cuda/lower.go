//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"math"

	cudnn "gorgonia.org/cu/dnn"

	"gcnn/device"
	"gcnn/device/backend"
	"gcnn/kernels"
	"gcnn/model"
)

// compiler turns a network into a plan. It runs on the device's thread, since cuDNN is asked for algorithms.
type compiler struct {
	d       *Device
	prog    *program
	net     *model.Network
	spec    device.Plan
	purpose purpose
	plan    *plan
	rows    int
	like    *plan // for a whole batch, which this plan for fewer samples follows; nil for a plan of its own

	vals  []*buffer
	grads backend.Gradients[buffer]

	shapes map[int]*activated // by node: what forward passes leave for backward passes
	convs  map[int]*convState
	pools  map[int]*poolState
	norms  map[int]*normState
	lrns   map[int]*buffer
	logits *buffer // what the final softmax is applied to
	errs   []error
}

// compile makes a plan for so many samples.
func (prog *program) compile(why purpose, rows int, like *plan) (*plan, error) {
	n := len(prog.net.Nodes) + 1
	c := &compiler{
		d: prog.d, prog: prog, net: prog.net, spec: prog.spec, purpose: why, rows: rows, like: like,
		plan:   &plan{purpose: why, rows: rows, algorithms: map[int]*algorithms{}, graphs: map[*source]graph{}},
		vals:   make([]*buffer, n),
		shapes: map[int]*activated{}, convs: map[int]*convState{}, pools: map[int]*poolState{}, norms: map[int]*normState{}, lrns: map[int]*buffer{},
	}
	c.grads = backend.NewGradients(c.net, why.mode == training, why.mode == tracing, c.gradient, c.gradientSum)
	c.emit()
	if len(c.errs) > 0 {
		return nil, errors.Join(fmt.Errorf("compiling %s: %w", c.net.Name, errors.Join(c.errs...)), c.plan.destroy(c.d))
	}
	c.plan.vals, c.plan.grads = c.vals, c.grads
	c.plan.extent = place(c.plan.buffers)
	return c.plan, nil
}

// emit appends all calls of the plan. It stops at the first layer that cannot be compiled.
func (c *compiler) emit() {
	c.gather()
	for i := range c.net.Nodes {
		if c.forward(i); len(c.errs) > 0 {
			return
		}
	}
	c.loss()
	if c.purpose.mode != inference {
		for i := len(c.net.Nodes) - 1; i >= 0; i-- {
			c.backward(i)
		}
	}
	if c.purpose.mode == training {
		c.learn()
	}
	c.end()
}

// forward emits a layer's forward pass.
func (c *compiler) forward(i int) {
	node := &c.net.Nodes[i]
	switch l := node.Layer.(type) {
	case model.Conv2D:
		c.convForward(i, l)
	case model.MaxPool2D:
		c.maxPoolForward(i, l.Windows)
	case model.AveragePool2D:
		c.averagePoolForward(i, l.Windows)
	case model.GlobalMaxPool2D:
		c.maxPoolForward(i, globalWindows)
	case model.GlobalAveragePool2D:
		c.averagePoolForward(i, globalWindows)
	case model.Flatten:
		c.vals[slot(i)] = c.vals[slot(node.Inputs[0])]
	case model.Dense:
		c.denseForward(i, l)
	case model.Activation:
		c.activationForward(i, l)
	case model.BatchNormalization:
		c.batchNormForward(i, l)
	case model.Dropout:
		c.dropoutForward(i, l)
	case model.LocalResponseNormalization:
		c.lrnForward(i, l)
	case model.ZeroPadding2D:
		c.padForward(i, l)
	case model.Add:
		c.addForward(i)
	case model.Concatenate:
		c.concatenateForward(i)
	case model.SeparableConv2D: // two nodes, both Conv2D
	}
}

// backward emits a layer's backward pass.
func (c *compiler) backward(i int) {
	node := &c.net.Nodes[i]
	if !c.grads.Wanted(i) {
		return
	}
	switch l := node.Layer.(type) {
	case model.Conv2D:
		c.convBackward(i, l)
	case model.MaxPool2D, model.GlobalMaxPool2D:
		c.maxPoolBackward(i)
	case model.AveragePool2D, model.GlobalAveragePool2D:
		c.averagePoolBackward(i)
	case model.Flatten:
		c.grads.Pass(node.Inputs[0], c.grads.At(i))
	case model.Dense:
		c.denseBackward(i, l)
	case model.Activation:
		c.activationBackward(i, l)
	case model.BatchNormalization:
		c.batchNormBackward(i, l)
	case model.Dropout:
		c.dropoutBackward(i, l)
	case model.LocalResponseNormalization:
		c.lrnBackward(i, l)
	case model.ZeroPadding2D:
		c.padBackward(i, l)
	case model.Add:
		c.addBackward(i)
	case model.Concatenate:
		c.concatenateBackward(i)
	case model.SeparableConv2D: // two nodes, both Conv2D
	}
}

// buffer makes a buffer of so many 32-bit words.
func (c *compiler) buffer(name string, words int) *buffer {
	if words > math.MaxInt32 {
		c.fail(fmt.Errorf("%w: %s has %d elements for %d samples, at most %d fit", device.ErrArgument, name, words, c.rows, math.MaxInt32))
	}
	b := &buffer{name: name, bytes: 4 * int64(words), first: -1, pins: c.purpose.mode == tracing}
	c.plan.buffers = append(c.plan.buffers, b)
	return b
}

// constant makes a buffer with a content of its own, which calls may also change.
func (c *compiler) constant(name string, words int, init []float32) *buffer {
	b := c.buffer(name, words)
	b.fixed, b.init = true, init
	return b
}

// tickets makes what kernels count their blocks with: zeros between launches.
func (c *compiler) tickets(name string, n int) *buffer { return c.constant(name+" tickets", n, nil) }

// value makes the buffer of a node's output.
func (c *compiler) value(i int) *buffer {
	b := c.buffer(c.net.Nodes[i].Name, c.rows*c.net.Nodes[i].Out.Size())
	c.vals[slot(i)] = b
	return b
}

// elements is the number of elements of a node's output for all samples.
func (c *compiler) elements(node int) int { return c.rows * c.net.ShapeOf(node).Size() }

// task appends a call, which uses buffers.
func (c *compiler) task(name string, layers []string, kernel string, flops int64, uses []*buffer, run func() error) {
	for _, b := range uses {
		if b == nil {
			continue
		}
		if b.first < 0 {
			b.first = len(c.plan.tasks)
		}
		b.last = len(c.plan.tasks)
	}
	c.plan.tasks = append(c.plan.tasks, task{device.Task{Name: name, Layers: layers, Kernel: kernel, FLOPs: flops}, run})
}

// because says why the last call is computed as it is.
func (c *compiler) because(why string) { c.plan.tasks[len(c.plan.tasks)-1].Why = why }

// launcher is a kernel with its arguments.
type launcher interface{ Launch() kernels.Launch }

// kernel appends the launch of a kernel for a node. Its arguments are made when it is launched, since buffers have no address
// before.
func (c *compiler) kernel(i int, what string, uses []*buffer, make func() launcher) {
	c.kernelOf(c.net.NameOf(i)+" "+what, c.net.NamesOf(i), uses, make)
}

// kernelOf is kernel for what belongs to several layers, or to none.
func (c *compiler) kernelOf(name string, layers []string, uses []*buffer, make func() launcher) {
	d := c.d
	c.task(name, layers, make().Launch().Kernel.Name, 0, uses, func() error { return d.launch(make().Launch()) })
}

// gradient makes the buffer of a gradient at a node's output.
func (c *compiler) gradient(node int) *buffer {
	return c.buffer(c.net.NameOf(node)+" gradient", c.elements(node))
}

// gradientSum emits the sum of two gradients at a node's output.
func (c *compiler) gradientSum(node int, a, b *buffer) *buffer {
	sum := c.buffer(c.net.NameOf(node)+" gradient sum", c.elements(node))
	n := uint32(c.elements(node))
	c.kernel(node, "gradient sum", []*buffer{sum, a, b}, func() launcher {
		return kernels.Add{A: a.p(), B: b.p(), Y: sum.p(), N: n}
	})
	return sum
}

// fail keeps an error for the end.
func (c *compiler) fail(err error) {
	if err != nil {
		c.errs = append(c.errs, err)
	}
}

// param is the parameter of a node with a role, nil where there is none; in inference with its averaged values, where there are any.
func (c *compiler) param(node int, role model.Role) *param {
	for _, p := range c.net.Nodes[node].Params {
		if p.Role != role {
			continue
		}
		q := c.prog.params[p.Name]
		if c.purpose.mode == inference && c.prog.average != nil && q.Trainable {
			averaged := *q
			averaged.averaged = true
			return &averaged
		}
		return q
	}
	return nil
}

// mapOf is a shape as height, width and channels; a flat one is a map of one place.
func mapOf(s model.Shape) (h, w, channels int) {
	if len(s) == 3 {
		return s[0], s[1], s[2]
	}
	return 1, 1, s[0]
}

// tensor makes cuDNN's descriptor of an activation, channels last.
func (c *compiler) tensor(n, h, w, channels int) *cudnn.TensorDescriptor {
	return c.describe(cudnn.NHWC, n, h, w, channels)
}

// vector makes cuDNN's descriptor of a value for each channel, with the strides that cudnnDeriveBNTensorDescriptor gives.
func (c *compiler) vector(channels int) *cudnn.TensorDescriptor {
	return c.describe(cudnn.NCHW, 1, 1, 1, channels)
}

func (c *compiler) describe(format cudnn.TensorFormat, n, h, w, channels int) *cudnn.TensorDescriptor {
	t, err := cudnn.NewTensorDescriptor(format, cudnn.Float, []int{n, channels, h, w}, nil)
	if err != nil {
		c.fail(c.d.ok("cudnnSetTensor4dDescriptor", err, "n", n, "channels", channels, "height", h, "width", w))
		return &cudnn.TensorDescriptor{}
	}
	c.plan.descriptors = append(c.plan.descriptors, tensorDescriptor{t})
	return t
}

// destroy frees what the plan has outside of its memory.
func (p *plan) destroy(d *Device) error {
	var errs []error
	for _, g := range p.graphs {
		errs = append(errs, d.check("cuGraphExecDestroy", g.destroy()))
	}
	clear(p.graphs)
	for i := len(p.descriptors) - 1; i >= 0; i-- {
		errs = append(errs, d.check("destroying a descriptor", p.descriptors[i].destroy()))
	}
	p.descriptors = nil
	for i := range p.own {
		errs = append(errs, d.free(&p.own[i]))
	}
	p.own = nil
	return errors.Join(errs...)
}
