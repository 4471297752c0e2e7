package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// A training step of samples that leave lanes empty has channels in the lanes of its feature maps, as a forward pass of few samples has,
// and samples in those of its flat activations: there the weights are read once for all samples. Flatten and global pools, which lie
// between the two, turn what passes. In a phase of the former a group is a single sample. The gradients of a convolution's weights are
// jobs of some rows of its kernel that see the whole batch, whose sums have one order for any number of workers.

// mapsView is a network whose feature maps have their channels counted in vectors.
func mapsView(net *model.Network) *model.Network {
	view := channelView(net)
	restore := func(s *model.Shape, real model.Shape) {
		if len(real) == 1 {
			*s = real
		}
	}
	for i := range view.Nodes {
		node := &view.Nodes[i]
		restore(&node.Out, net.Nodes[i].Out)
		for k := range node.In {
			restore(&node.In[k], net.Nodes[i].In[k])
		}
	}
	return view
}

// The time of a training step with channels in the lanes of feature maps beside one without, as far as they differ, in multiply-adds of the
// forward pass: what an element costs in all of its passes, the phases that are added to a step, and what must be gained.
const (
	trainElement = 16
	acrossPhases = 2.5e6
	acrossGain   = 1.1
)

// trainsAcross reports whether a step of n samples takes less time with channels in the lanes of feature maps.
func trainsAcross(net *model.Network, n int, exact bool, path kernel.Path) bool {
	if !hasChannelForm(net) {
		return false
	}
	var samples, channels float64
	for i := range net.Nodes {
		node := &net.Nodes[i]
		if len(node.Out) != 3 {
			continue
		}
		outs, groups := outsOf(node)
		macs, elements := float64(node.MACs), float64(trainElement*node.Out.Size())
		batched := macs
		switch algorithmOf(node, exact) {
		case winogradTiles:
			batched *= trainingShare(node.Out)
		case winogradRows:
			batched *= rowShare
		case sumOverTaps:
		}
		if _, ok := node.Layer.(model.LocalResponseNormalization); ok {
			elements = float64(lrnWork * node.Out.Size())
		}
		samples += float64(kernel.Padded(n)) * (batched + elements)
		if outs <= kernel.Lanes {
			macs *= narrow
		}
		channels += float64(n) * (macs + elements/float64(groups)) * float64(kernel.Padded(outs)) / float64(outs)
	}
	channels += acrossPhases
	if path == kernel.NEON { // whose kernels for this mapping are the portable ones
		channels *= portableCost
	}
	return acrossGain*channels < samples
}

// trainingShare is winogradShare in training, where small maps have few tiles for the transforms of weights, which each step makes.
func trainingShare(out model.Shape) float64 {
	const few = 4 * kernel.WinogradTile * kernel.WinogradTile // positions
	if out[0]*out[1] < few {
		return 1.5 * winogradShare
	}
	return winogradShare
}

// hasChannelForm reports whether feature maps can have channels in their lanes in training: there are some, and none ends in softmax, which
// would have to add over lanes.
func hasChannelForm(net *model.Network) bool {
	maps := false
	for _, node := range net.Nodes {
		if len(node.Out) == 3 && model.OutputActivation(node.Layer) == model.Softmax {
			return false
		}
		maps = maps || len(node.Out) == 3
	}
	return maps
}

// startAcross emits the first task of a plan with channels in the lanes of feature maps.
func (c *compiler) startAcross() {
	c.wide = channels{net: c.net, target: 1, spread: spreads(min(c.plan.batch, maxSets), c.prog.workers)}
	if c.wide.spread {
		c.wide.target = 2 * c.prog.workers
	}
	c.net = mapsView(c.net)
	c.maps(true)
	c.channelGather()
}

// maps says whether what is emitted next is of feature maps.
func (c *compiler) maps(yes bool) {
	if yes == c.single {
		return
	}
	c.flush()
	c.single, c.division = yes, c.plan.division
	if yes {
		c.division = division{c.plan.batch, min(c.plan.batch, maxSets)}
	}
	c.purpose.spread = yes && c.wide.spread
}

// samples is how many samples a task of the plan works on, where the lanes are channels.
func (c *compiler) samples() int64 {
	if c.purpose.across {
		return int64(c.plan.batch)
	}
	return 1
}

// isMap reports whether a node's output, or the network's input, is a feature map.
func (c *compiler) isMap(node int) bool { return len(c.net.ShapeOf(node)) == 3 }

// forwardAcross emits a block's forward pass where the mapping changes it; ok is false where it does not.
func (c *compiler) forwardAcross(b *block) (ok bool) {
	i := b.nodes[0]
	node := &c.net.Nodes[i]
	if len(node.In[0]) == 1 {
		c.maps(false)
		return false
	}
	c.maps(true)
	switch l := node.Layer.(type) {
	case model.Conv2D:
		c.channelConv(b, l)
	case model.LocalResponseNormalization:
		c.channelLRN(i, l)
	case model.Concatenate:
		c.channelConcatenate(i)
	case model.Flatten:
		c.turn(i, c.vals[slot(node.Inputs[0])], c.wide.net.Nodes[i].In[0], c.pitch(node.Inputs[0]))
	case model.GlobalMaxPool2D:
		c.globalPoolAcross(i, func() { c.maxPoolForward(i, model.Size{H: node.In[0][0], W: node.In[0][1]}, globalWindows) })
	case model.GlobalAveragePool2D:
		c.globalPoolAcross(i, func() { c.averagePoolForward(i, globalWindows) })
	case model.MaxPool2D, model.AveragePool2D, model.Activation, model.BatchNormalization, model.Dropout, model.ZeroPadding2D, model.Add:
		return false // the same tasks, of vectors of channels
	case model.Dense, model.SeparableConv2D: // of flat activations, and two nodes
	}
	return true
}

// backwardAcross is the same for the backward pass.
func (c *compiler) backwardAcross(b *block) (ok bool) {
	i := b.nodes[0]
	node := &c.net.Nodes[i]
	if len(node.In[0]) == 1 {
		c.maps(false)
		return false
	}
	c.maps(true)
	switch l := node.Layer.(type) {
	case model.Conv2D:
		c.channelConvBackward(b, l)
	case model.LocalResponseNormalization:
		c.channelLRNGrad(i, l)
	case model.Concatenate:
		c.channelConcatenateGrad(i)
	case model.Flatten:
		c.grads.Into(node.Inputs[0], func(dx *buffer) { c.turnBack(i, c.grads.At(i), dx, c.wide.net.Nodes[i].In[0]) })
	case model.GlobalMaxPool2D:
		c.globalPoolBackAcross(i, func() { c.maxPoolBackward(i, model.Size{}, globalWindows) })
	case model.GlobalAveragePool2D:
		c.globalPoolBackAcross(i, func() { c.averagePoolBackward(i, globalWindows) })
	case model.MaxPool2D, model.AveragePool2D, model.Activation, model.BatchNormalization, model.Dropout, model.ZeroPadding2D, model.Add:
		return false
	case model.Dense, model.SeparableConv2D:
	}
	return true
}

// vectorsOf is the shape of so many channels in vectors.
func vectorsOf(channels int) model.Shape { return model.Shape{kernel.Padded(channels) / kernel.Lanes} }

// globalPoolAcross emits a global pool, whose output is turned.
func (c *compiler) globalPoolAcross(i int, pool func()) {
	node := &c.net.Nodes[i]
	flat := node.Out
	node.Out = vectorsOf(flat[0])
	pool()
	node.Out = flat
	c.turn(i, c.vals[slot(i)], flat, kernel.Padded(flat[0]))
}

// globalPoolBackAcross emits the gradient of a global pool from that of the turned output.
func (c *compiler) globalPoolBackAcross(i int, pool func()) {
	node := &c.net.Nodes[i]
	flat, grad := node.Out, c.grads.At(i)
	node.Out = vectorsOf(flat[0])
	d := c.buffer(node.Name+" pooled gradient", node.Out.Size()*kernel.Lanes)
	c.turnBack(i, grad, d, flat)
	c.grads.Put(i, d)
	pool()
	c.grads.Put(i, grad)
	node.Out = flat
}

// turn emits the flat output of node i, samples in the lanes, of x with channels in the lanes: positions of the last dimension's channels, pitch
// floats apart.
func (c *compiler) turn(i int, x *buffer, shape model.Shape, pitch int) {
	c.maps(false)
	n := shape[len(shape)-1]
	size := shape.Size()
	y := c.value(i)
	c.task(c.plainTask(i, "turn", "gather"), []*buffer{x, y}, func(w *worker, g int) {
		lanes := w.step.lanes(g)
		dst, src := y.at(w, g), x.mem[g*kernel.Lanes*x.stride:]
		if lanes < kernel.Lanes {
			clear(dst)
		}
		if pitch == n {
			c.k.Transpose(dst, src, lanes, size, kernel.Lanes, x.stride)
			return
		}
		for p := range size / n {
			c.k.Transpose(dst[p*n*kernel.Lanes:], src[p*pitch:], lanes, n, kernel.Lanes, x.stride)
		}
	})
}

// turnBack emits dx with channels in the lanes of a gradient d with samples in them.
func (c *compiler) turnBack(i int, d, dx *buffer, shape model.Shape) {
	n := shape[len(shape)-1]
	pitch, positions := kernel.Padded(n), shape.Size()/n
	c.task(c.plainTask(i, "turn gradient", "copy"), []*buffer{d, dx}, func(w *worker, g int) {
		src, dst := d.copy(g / kernel.Lanes)[g%kernel.Lanes:], dx.at(w, g)
		for p := range positions {
			to, from := dst[p*pitch:][:n], src[p*n*kernel.Lanes:]
			for ch := range to {
				to[ch] = from[ch*kernel.Lanes]
			}
		}
	})
}

// channelDY emits the gradient at an output that is a feature map, as the caller of a trace gave it.
func (c *compiler) channelDY(dz *buffer) {
	shape := c.wide.net.Output()
	size, n := shape.Size(), shape[len(shape)-1]
	pitch := kernel.Padded(n)
	c.task(device.Task{Name: "gather dy", Kernel: "copy"}, []*buffer{dz}, func(w *worker, g int) {
		dst, src := dz.at(w, g), w.step.dy[g*size:][:size]
		for at := 0; at < size; at += n {
			copy(dst[at/n*pitch:], src[at:at+n])
		}
	})
}

// unpad writes a sample without the padding of its positions.
func unpad(dst, src []float32, shape model.Shape, pitch int) {
	n := shape[len(shape)-1]
	for at := 0; at < shape.Size(); at += n {
		copy(dst[at:][:n], src[at/n*pitch:])
	}
}
