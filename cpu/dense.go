package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// denseState is what a dense layer's forward pass leaves for its backward pass.
type denseState struct {
	x, z, y *buffer // z is the sum before the activation where it is kept, else nil
}

// fullyConnected is a dense layer, or a convolution that is one: its kernel covers its input exactly, so that its single output
// position reads every element once, in the order of the kernel's rows.
type fullyConnected struct {
	in, out    int
	activation model.ActivationFunc
}

// asDense is the dense layer that a block's convolution amounts to; ok is false where it is none.
func (c *compiler) asDense(b *block, l model.Conv2D) (d fullyConnected, ok bool) {
	node := &c.net.Nodes[b.nodes[0]]
	v, h := l.Windows(node.In[0])
	whole := func(w model.Window) bool {
		return w.Out == 1 && w.Before == 0 && w.After == 0 && w.Extent() == w.In && w.Dilation == 1
	}
	return fullyConnected{node.In[0].Size(), l.Filters, l.Activation}, whole(v) && whole(h) && l.Groups == 1 && len(b.nodes) == 1
}

// denseForward emits y = f(x·kernel + bias). The activation is part of the task in a fused plan. Of the network's final softmax
// the sums alone are made: the loss goes on from there.
func (c *compiler) denseForward(b *block, l fullyConnected) {
	i := b.nodes[0]
	node := &c.net.Nodes[i]
	in, out := l.in, l.out
	kern, bias := c.param(i, model.Kernel), c.param(i, model.Bias)
	s := &denseState{x: c.vals[slot(node.Inputs[0])]}
	c.dense[i] = s
	fused := l.activation == model.ReLU && !c.purpose.unfused
	spec := kernel.GemmSpec{
		Grid: kernel.Grid{Cols: 1, XRow: in, XCol: in, YRow: out, YCol: out},
		Taps: []kernel.Run{{N: int32(in)}}, Outs: out, WTap: out, WOut: 1, ReLU: fused,
	}
	var biases []float32
	if bias != nil {
		spec.Init, biases = kernel.Bias, bias.w
	}
	g, err := c.k.NewGemm(spec)
	if err != nil {
		c.fail(err)
		return
	}
	flops := g.Flops(1) * int64(c.plan.groups)
	keep := l.activation == model.Linear || fused
	final := c.finalSoftmax(i)
	dst := c.value(i)
	s.y = dst
	if shards := c.denseBounds(b, l); shards != nil {
		c.denseForwardShards(b, l, shards)
		return
	}
	if final || !keep && (kernel.NeedsInput(l.activation) || c.purpose.unfused) {
		s.z = c.buffer(node.Name+" sums", out*kernel.Lanes)
		dst = s.z
	}
	inPlace := !c.purpose.unfused && !keep && !final
	y := s.y
	c.task(device.Task{Name: c.title(b.nodes, "forward"), Layers: c.layers(i), Kernel: c.kernelName("gemm"), FLOPs: flops},
		[]*buffer{s.x, dst, y}, func(w *worker, n int) {
			d := dst.at(w, n)
			g.Do(d, s.x.at(w, n), kern.w, biases, 1)
			if inPlace {
				c.activate(l.activation, l.activation.DefaultAlpha(), y.at(w, n), d, out)
			}
		})
	if final || keep || inPlace {
		return
	}
	c.task(device.Task{Name: node.Name + " " + l.activation.String(), Layers: c.layers(i), Kernel: c.kernelName("activation")},
		[]*buffer{dst, y}, func(w *worker, n int) {
			c.activate(l.activation, l.activation.DefaultAlpha(), y.at(w, n), dst.at(w, n), out)
		})
}

// denseBackward emits the gradients at the sums and at the input; the gradients of the parameters wait for the whole batch.
func (c *compiler) denseBackward(b *block, l fullyConnected) {
	i := b.nodes[0]
	node := &c.net.Nodes[i]
	in, out := l.in, l.out
	kern, bias := c.param(i, model.Kernel), c.param(i, model.Bias)
	s := c.dense[i]
	dz := c.grads.At(i)
	if l.activation != model.Linear && !(c.finalSoftmax(i) && c.purpose.labels) {
		dz = c.activationGrad(i, l.activation, l.activation.DefaultAlpha(), dz, s.z, s.y)
	}
	if bias.trains() {
		acc := c.global(node.Name+" bias sums", out*kernel.Lanes, perWorker)
		c.learn(bias, 1, out, 1, int64(out*c.spec.Batch), []*buffer{dz, acc}, func(int) fillFunc {
			return func(w *worker, dst []float32, _ int) {
				a := acc.at(w, 0)
				clear(a)
				c.k.AddPositions(a, dz.mem, out, dz.stride/kernel.Lanes, w.step.groups)
				c.k.ReduceLanes(dst, a, len(dst), 1, 0, kernel.Lanes)
			}
		})
	}
	if bounds := c.denseBounds(b, l); bounds != nil {
		c.denseBackwardShards(b, l, bounds, dz)
		return
	}
	if kern.trains() {
		ld := kernel.Padded(out)
		turned := c.buffer(node.Name+" turned gradient", kernel.Lanes*ld)
		c.task(device.Task{Name: node.Name + " turn", Layers: c.layers(i), Kernel: c.kernelName("transpose")},
			[]*buffer{dz, turned}, func(w *worker, n int) { c.k.ToSamples(turned.at(w, n), dz.at(w, n), out, ld, 1) })
		bounds := shardBounds(in, out, 1)
		c.leave(c.denseLearner(kern, bounds, s.x, turned, l), len(bounds)-1)
	}
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		g, err := c.k.NewGemm(kernel.GemmSpec{
			Grid: kernel.Grid{Cols: 1, XRow: out, XCol: out, YRow: in, YCol: in},
			Taps: []kernel.Run{{N: int32(out)}}, Outs: in, WTap: 1, WOut: out,
		})
		if err != nil {
			c.fail(err)
			return
		}
		c.task(device.Task{
			Name: node.Name + " input gradient", Layers: c.layers(i), Kernel: c.kernelName("gemm"), FLOPs: g.Flops(1) * int64(c.plan.groups),
		}, []*buffer{dz, dx}, func(w *worker, n int) { g.Do(dx.at(w, n), dz.at(w, n), kern.w, nil, 1) })
	})
}

// wideWeights is how many weights make a dense layer wide: with what the optimiser keeps they fill a good part of a core's cache.
// In a front, where its shards cost nothing more, a layer is wide from frontWeights on.
const (
	wideWeights  = 128 << 10
	frontWeights = 16 << 10
)

// denseBounds are the bounds of the shards of a wide dense layer in its inputs, the rows of its kernel; they follow from its shape
// alone. A shard computes its part of the sums, and later the gradients at its inputs and of its weights, for the whole batch at
// once: weights are read once a step in each direction, by the worker that updates them.
func (c *compiler) denseBounds(b *block, l fullyConnected) []int {
	if c.front != nil && c.front.dense == b {
		return c.front.elements()
	}
	n := min(l.in, maxShards)
	if l.in*l.out < wideWeights || c.purpose.mode != training || c.purpose.unfused {
		return nil
	}
	bounds := make([]int, n+1)
	for s := range bounds {
		bounds[s] = l.in * s / n
	}
	return bounds
}

// denseForwardShards emits the shards' parts of the sums, and then for each group the sum of the parts and the activation. The
// first part starts from the bias.
func (c *compiler) denseForwardShards(b *block, l fullyConnected, bounds []int) {
	i := b.nodes[0]
	node := &c.net.Nodes[i]
	s, kern, bias := c.dense[i], c.param(i, model.Kernel), c.param(i, model.Bias)
	shards, groups, out := len(bounds)-1, c.plan.groups, l.out
	parts := c.global(node.Name+" parts", shards*groups*out*kernel.Lanes, single)
	gemms := make([]*kernel.Gemm, shards)
	c.placed = append(c.placed, func() error {
		for k := range gemms {
			spec := kernel.GemmSpec{
				Grid: kernel.Grid{Cols: groups, XCol: s.x.stride / kernel.Lanes, YCol: out},
				Taps: []kernel.Run{{N: int32(bounds[k+1] - bounds[k])}}, Outs: out, WTap: out, WOut: 1,
			}
			if k == 0 && bias != nil {
				spec.Init = kernel.Bias
			}
			var err error
			if gemms[k], err = c.gemm(spec); err != nil {
				return err
			}
		}
		return nil
	})
	c.shard(shardTask{device.Task{
		Name: c.title(b.nodes, "forward"), Layers: c.layers(i), Kernel: c.kernelName("gemm"), FLOPs: l.flops(c.plan),
	}, []*buffer{s.x, parts}, func(_ *worker, k int) {
		var biases []float32
		if bias != nil {
			biases = bias.w
		}
		lo, hi := bounds[k], bounds[k+1]
		gemms[k].Do(parts.mem[k*groups*out*kernel.Lanes:], s.x.mem[lo*kernel.Lanes:], kern.w[lo*out:hi*out], biases, 1)
	}})
	c.endShards(shards)
	final := c.finalSoftmax(i)
	if final || kernel.NeedsInput(l.activation) {
		s.z = c.buffer(node.Name+" sums", out*kernel.Lanes)
	}
	c.task(device.Task{Name: node.Name + " sum", Layers: c.layers(i), Kernel: c.kernelName("activation")}, []*buffer{parts, s.z, s.y}, func(w *worker, n int) {
		y := s.y.at(w, n)
		z := y
		if s.z != nil {
			z = s.z.at(w, n)
		}
		c.k.SumShards(z[:out*kernel.Lanes], parts.mem[n*out*kernel.Lanes:], shards, groups*out*kernel.Lanes)
		if l.activation != model.Linear && !final {
			c.activate(l.activation, l.activation.DefaultAlpha(), y[:out*kernel.Lanes], z[:out*kernel.Lanes], out)
		}
	})
}

// flops is the arithmetic of one direction of a batch.
func (l fullyConnected) flops(p *plan) int64 {
	return 2 * int64(l.in) * int64(l.out) * int64(p.groups*kernel.Lanes)
}

// denseBackwardShards emits for each shard the gradient at its inputs, and the gradient and update of its weights.
func (c *compiler) denseBackwardShards(b *block, l fullyConnected, bounds []int, dz *buffer) {
	i := b.nodes[0]
	node := &c.net.Nodes[i]
	s, kern := c.dense[i], c.param(i, model.Kernel)
	shards, groups, out := len(bounds)-1, c.plan.groups, l.out
	inFront := c.front != nil && c.front.dense == b
	var turned *buffer
	if kern.trains() {
		ld := kernel.Padded(out)
		turned = c.buffer(node.Name+" turned gradient", kernel.Lanes*ld)
		c.task(device.Task{Name: node.Name + " turn", Layers: c.layers(i), Kernel: c.kernelName("transpose")},
			[]*buffer{dz, turned}, func(w *worker, n int) { c.k.ToSamples(turned.at(w, n), dz.at(w, n), out, ld, 1) })
	}
	inputGradient := func(dx *buffer) {
		gemms := make([]*kernel.Gemm, shards)
		c.placed = append(c.placed, func() error {
			spec := kernel.GemmSpec{Grid: kernel.Grid{Cols: groups, XCol: dz.stride / kernel.Lanes, YCol: dx.stride / kernel.Lanes},
				Taps: []kernel.Run{{N: int32(out)}}, WTap: 1, WOut: out}
			if inFront {
				spec.YCol = c.front.most
			}
			for k := range gemms {
				spec.Outs = bounds[k+1] - bounds[k]
				var err error
				if gemms[k], err = c.gemm(spec); err != nil {
					return err
				}
			}
			return nil
		})
		c.shard(shardTask{device.Task{
			Name: node.Name + " input gradient", Layers: c.layers(i), Kernel: c.kernelName("gemm"), FLOPs: l.flops(c.plan),
		}, []*buffer{dz, dx}, func(w *worker, k int) {
			lo, hi := bounds[k], bounds[k+1]
			var y []float32
			if inFront {
				y = dx.at(w, 0)
			} else {
				y = dx.mem[lo*kernel.Lanes:]
			}
			gemms[k].Do(y, dz.mem, kern.w[lo*out:hi*out], nil, 1)
		}})
	}
	learn := func() {
		if kern.trains() {
			c.shard(c.denseLearner(kern, bounds, s.x, turned, l))
		}
	}
	before := node.Inputs[0]
	switch {
	case inFront && c.grads.Wanted(before):
		c.front.dx = c.global(c.net.NameOf(before)+" gradient", groups*c.front.most*kernel.Lanes, perWorker)
		inputGradient(c.front.dx)
		c.grads.Pass(before, c.front.dx)
		learn()
		return // the convolution's backward pass ends the shards
	case c.grads.Wanted(before):
		c.grads.Into(before, func(dx *buffer) {
			inputGradient(dx)
			learn()
			c.endShards(shards)
		})
	default:
		if learn(); len(c.shards) > 0 {
			c.endShards(shards)
		}
	}
}

// denseLearner is the learner of the kernel from the layer's input and the turned gradient at its sums.
func (c *compiler) denseLearner(kern *param, bounds []int, x, turned *buffer, l fullyConnected) shardTask {
	return c.learner(kern, bounds, 0, l.out, l.flops(c.plan), []*buffer{turned, x}, func(rows int) fillFunc {
		return c.denseKernelGrad(x, turned, rows, l.out).fill
	}, func(rows int) fusedFunc {
		return c.denseKernelGrad(x, turned, rows, l.out).fused
	})
}

// denseGrad computes so many rows of the kernel's gradient: Σ over the samples of x·dz, in the order of the batch.
type denseGrad struct {
	x, turned *buffer
	g         []*kernel.GradOuter // by groups of the step, less one: a batch may be partial
}

func (c *compiler) denseKernelGrad(x, turned *buffer, rows, out int) *denseGrad {
	d := &denseGrad{x: x, turned: turned}
	// The strides are known once the buffers have their places.
	c.placed = append(c.placed, func() error {
		for groups := 1; groups <= c.plan.groups; groups++ {
			g, err := c.k.NewGradOuter(kernel.GradSpec{
				Grid: kernel.Grid{Cols: groups, XCol: x.stride / kernel.Lanes, YCol: turned.stride / kernel.Lanes},
				Taps: []kernel.Run{{N: int32(rows)}}, Outs: out,
			}, out)
			if err != nil {
				return err
			}
			d.g = append(d.g, g)
		}
		return nil
	})
	return d
}

func (d *denseGrad) fill(w *worker, dst []float32, lo int) {
	d.g[w.step.groups-1].Do(dst, d.x.mem[lo*kernel.Lanes:], d.turned.mem, 1, false)
}

func (d *denseGrad) fused(w *worker, wt, g, s1, s2 []float32, lo int) {
	d.g[w.step.groups-1].Update(&w.step.update, wt, g, s1, s2, d.x.mem[lo*kernel.Lanes:], d.turned.mem, 1)
}
