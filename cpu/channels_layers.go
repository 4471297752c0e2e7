package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
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
	s := newNormState(x, n, len(b.nodes) > 1)
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

// channelLRN emits y = x·s^−β with s = k + α/size·Σx² over the channels around each.
func (c *compiler) channelLRN(i int, l model.LocalResponseNormalization) {
	node := &c.wide.net.Nodes[i]
	n := node.Out[2]
	width, pitch := node.Out[1], kernel.Padded(n)
	x, y := c.vals[slot(node.Inputs[0])], c.value(i)
	factor := l.Alpha / float32(l.Size)
	rows := cuts(node.Out[0], 1, c.parts(int64(node.Out.Size())*lrnWork))
	c.split(c.plainTask(i, "forward", "lrn"), len(rows)-1, []*buffer{x, y}, func(w *worker, g, chunk int) {
		xs, ys := x.at(w, g), y.at(w, g)
		for p := rows[chunk] * width; p < rows[chunk+1]*width; p++ {
			in, out := xs[p*pitch:][:n], ys[p*pitch:][:n]
			for ch, v := range in {
				lo, hi := around(ch, l.Size, n)
				sum := float32(0)
				for _, u := range in[lo:hi] {
					sum += u * u
				}
				out[ch] = v * inversePower(l.Bias+factor*sum, l.Beta)
			}
		}
	})
}

// lrnWork is what an element of local response normalisation costs, in multiply-adds.
const lrnWork = 64
