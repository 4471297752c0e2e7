package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/internal/philox"
	"gcnn/model"
)

// channelSoftmax emits a softmax over the channels of each position: 16 positions at a time change places with the channels.
func (c *compiler) channelSoftmax(i int, x, y *buffer) {
	out := c.wide.net.Nodes[i].Out
	n := out[len(out)-1]
	positions, pitch := out.Size()/n, kernel.Padded(n)
	turned := c.buffer(c.net.NameOf(i)+" turned", n*kernel.Lanes)
	c.task(c.plainTask(i, "softmax", "softmax"), []*buffer{x, y, turned}, func(w *worker, g int) {
		src, dst, t := x.at(w, g), y.at(w, g), turned.at(w, g)
		for first := 0; first < positions; first += kernel.Lanes {
			lanes := min(kernel.Lanes, positions-first)
			clear(t)
			for l := range lanes {
				for ch, v := range src[(first+l)*pitch:][:n] {
					t[ch*kernel.Lanes+l] = v
				}
			}
			c.k.Softmax(t, t, n, 1)
			for l := range lanes {
				q := dst[(first+l)*pitch:][:n]
				for ch := range q {
					q[ch] = t[ch*kernel.Lanes+l]
				}
			}
		}
	})
}

// channelFlatten emits a copy without the padding of each position, where there is any.
func (c *compiler) channelFlatten(i int) {
	node := &c.wide.net.Nodes[i]
	in := node.In[0]
	n := in[len(in)-1]
	positions, pitch := in.Size()/n, c.pitch(node.Inputs[0])
	x := c.vals[slot(node.Inputs[0])]
	if pitch == n || positions == 1 {
		c.vals[slot(i)] = x
		return
	}
	y := c.value(i)
	c.task(c.plainTask(i, "forward", "copy"), []*buffer{x, y}, func(w *worker, g int) {
		dst, src := y.at(w, g), x.at(w, g)
		for p := range positions {
			copy(dst[p*n:][:n], src[p*pitch:])
		}
	})
}

// channelConcatenate emits the copies that put the inputs' channels side by side.
func (c *compiler) channelConcatenate(i int) {
	node := &c.wide.net.Nodes[i]
	last := len(node.Out) - 1
	positions, row := node.Out.Size()/node.Out[last], kernel.Padded(node.Out[last])
	y := c.value(i)
	uses := []*buffer{y}
	var pitches []int
	for _, in := range node.Inputs {
		uses = append(uses, c.vals[slot(in)])
		pitches = append(pitches, c.pitch(in))
	}
	c.task(c.plainTask(i, "forward", "copy"), uses, func(w *worker, g int) {
		dst := y.at(w, g)
		at := 0
		for k, x := range uses[1:] {
			n, src := node.In[k][last], x.at(w, g)
			for p := range positions {
				copy(dst[p*row+at:][:n], src[p*pitches[k]:])
			}
			at += n
		}
	})
}

// channelNorm emits batch normalisation by the moving statistics, and the ReLU of it: a depthwise convolution of one tap.
func (c *compiler) channelNorm(b *block, l model.BatchNormalization) {
	i := b.nodes[0]
	node := &c.wide.net.Nodes[i]
	n := node.Out[len(node.Out)-1]
	positions, pitch := node.Out.Size()/n, kernel.Padded(n)
	x := c.vals[slot(node.Inputs[0])]
	s := newNormState(x, n, n, len(b.nodes) > 1, false)
	variance := c.param(i, model.MovingVariance)
	mean := c.param(i, model.MovingMean)
	gamma, beta := c.param(i, model.Gamma), c.param(i, model.Beta)
	c.plan.prologue = append(c.plan.prologue, func() {
		copy(s.Mean, mean.w)
		s.coefficients(variance.w, gamma, beta, float64(device.Decimal(l.Epsilon)))
	})
	d, err := c.k.NewDepthwise([]kernel.OutputsRegion{{
		Grid: kernel.Grid{Cols: positions, XCol: pitch, YCol: pitch}, Rows: 1, Taps: []kernel.Run{{N: 1}},
	}}, n, kernel.Bias, s.ReLU)
	if err != nil {
		c.fail(err)
		return
	}
	y := c.value(b.last())
	c.task(c.blockTask(b, "forward", "affine"), []*buffer{x, y}, func(w *worker, g int) {
		d.Do(y.at(w, g), x.at(w, g), s.Scale, s.Shift)
	})
}

// channelConcatenateGrad emits the copies of each input's channels of the gradient.
func (c *compiler) channelConcatenateGrad(i int) {
	node := &c.wide.net.Nodes[i]
	dy := c.grads.At(i)
	last := len(node.Out) - 1
	positions, row := node.Out.Size()/node.Out[last], kernel.Padded(node.Out[last])
	at := 0
	for k, in := range node.Inputs {
		n, from := node.In[k][last], at
		at += n
		pitch := kernel.Padded(n)
		c.grads.Into(in, func(dx *buffer) {
			c.task(c.plainTask(i, "gradient", "copy"), []*buffer{dx, dy}, func(w *worker, g int) {
				dst, src := dx.at(w, g), dy.at(w, g)
				for p := range positions {
					copy(dst[p*pitch:][:n], src[p*row+from:])
				}
			})
		})
	}
}

// channelDropout emits y = x/(1−rate) for the elements that device.Keeps names, as dropoutForward does. The mask has a byte for each float.
func (c *compiler) channelDropout(i int, l model.Dropout, x, y *buffer) {
	shape := c.wide.net.Nodes[i].Out
	size, n := shape.Size(), shape[2]
	inPitch, pitch := c.pitch(c.net.Nodes[i].Inputs[0]), kernel.Padded(n)
	mask := c.buffer(c.net.NameOf(i)+" mask", (size+3)/4)
	c.masks[i] = mask
	seed := uint64(0)
	if c.spec.Training != nil {
		seed = c.spec.Training.Seed
	}
	least, scale := leastKept(l.Rate), dropoutScale(l.Rate)
	c.task(c.plainTask(i, "forward", "dropout"), []*buffer{x, y, mask}, func(w *worker, g int) {
		m := bytesOf(mask.at(w, g), size)
		drawBytes(m, seed, w.step.number, i, g, least)
		applyBytes(y.at(w, g), x.at(w, g), m, n, pitch, inPitch, scale)
	})
}

// channelDropoutGrad emits the same of the gradient.
func (c *compiler) channelDropoutGrad(i int, l model.Dropout) {
	shape := c.wide.net.Nodes[i].Out
	size, n := shape.Size(), shape[2]
	pitch := kernel.Padded(n)
	mask, dy := c.masks[i], c.grads.At(i)
	scale := dropoutScale(l.Rate)
	c.grads.Into(c.net.Nodes[i].Inputs[0], func(dx *buffer) {
		c.task(c.plainTask(i, "gradient", "dropout"), []*buffer{dx, dy, mask}, func(w *worker, g int) {
			applyBytes(dx.at(w, g), dy.at(w, g), bytesOf(mask.at(w, g), size), n, pitch, pitch, scale)
		})
	})
}

// drawBytes sets mask[e] to 1 where element e of a sample is kept and to 0 elsewhere, drawn as drawMask does.
func drawBytes(mask []uint8, seed uint64, step int64, layer, sample int, least uint32) {
	first := sample * len(mask)
	for at := first &^ 3; at < first+len(mask); at += 4 {
		words := philox.Words(seed, philox.Dropout, uint32(at/4), uint32(step), uint32(layer))
		for k, word := range words {
			if e := at + k - first; e >= 0 && e < len(mask) {
				mask[e] = 0
				if word>>8 >= least {
					mask[e] = 1
				}
			}
		}
	}
}

// applyBytes scales the kept elements and zeroes the others, of positions of n channels that lie so many floats apart.
func applyBytes(y, x []float32, mask []uint8, n, yPitch, xPitch int, scale float32) {
	for p := range len(mask) / n {
		v, u := y[p*yPitch:][:n], x[p*xPitch:][:n]
		for ch, m := range mask[p*n:][:n] {
			v[ch] = 0
			if m != 0 {
				v[ch] = u[ch] * scale
			}
		}
	}
}

// channelLRN emits what lrnForward does.
func (c *compiler) channelLRN(i int, l model.LocalResponseNormalization) {
	node := &c.wide.net.Nodes[i]
	x, y := c.vals[slot(node.Inputs[0])], c.value(i)
	n := lrnOf(l, node.Out[2], true)
	scratch := c.global(node.Name+" squares", n.Scratch(), perWorker)
	rows, row := c.lrnRows(node)
	c.split(c.plainTask(i, "forward", "lrn"), len(rows)-1, []*buffer{x, y, scratch}, func(w *worker, g, chunk int) {
		lo, hi := rows[chunk], rows[chunk+1]
		c.k.LRN(y.at(w, g)[lo*row:], x.at(w, g)[lo*row:], scratch.at(w, g), n, (hi-lo)*node.Out[1])
	})
}

// channelLRNGrad emits the gradient that lrnBackward does.
func (c *compiler) channelLRNGrad(i int, l model.LocalResponseNormalization) {
	node := &c.wide.net.Nodes[i]
	x, dy := c.vals[slot(node.Inputs[0])], c.grads.At(i)
	n := lrnOf(l, node.Out[2], true)
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		scratch := c.global(node.Name+" ratios", n.Scratch(), perWorker)
		rows, row := c.lrnRows(node)
		c.split(c.plainTask(i, "gradient", "lrn"), len(rows)-1, []*buffer{x, dy, dx, scratch}, func(w *worker, g, chunk int) {
			lo, hi := rows[chunk], rows[chunk+1]
			c.k.LRNGrad(dx.at(w, g)[lo*row:], dy.at(w, g)[lo*row:], x.at(w, g)[lo*row:], scratch.at(w, g), n, (hi-lo)*node.Out[1])
		})
	})
}

// lrnRows cuts the rows of a map to parts; row is the floats of one. Every position is padded to whole vectors: see channelGather.
func (c *compiler) lrnRows(node *model.Node) (rows []int, row int) {
	return cuts(node.Out[0], 1, c.parts(int64(node.Out.Size())*lrnWork)), node.Out[1] * kernel.Padded(node.Out[2])
}

// lrnWork is what an element of local response normalisation costs, in multiply-adds.
const lrnWork = 48
