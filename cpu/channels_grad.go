package cpu

import (
	"fmt"

	"gcnn/cpu/kernel"
	"gcnn/model"
)

// channelConvBackward emits the gradients of the sums and of the input; those of the parameters are jobs for the end of the step.
func (c *compiler) channelConvBackward(b *block, l model.Conv2D) {
	i := b.nodes[0]
	node := &c.wide.net.Nodes[i]
	s := c.conv[i]
	bank := &s.bank
	kern, bias := c.param(i, model.Kernel), c.param(i, model.Bias)
	f, alpha := b.activation(c.wide.net)
	dz := c.grads.At(b.last())
	if f != model.Linear {
		dz = c.activationGrad(i, f, alpha, dz, s.z, s.y)
	}
	alone := depthwise(l, node.In[0])
	positions, pitch := bank.v.Out*bank.outW, kernel.Padded(bank.filters)
	if bias.trains() {
		acc := c.global(node.Name+" bias sums", pitch, perWorker)
		c.learn(bias, 1, bank.filters, 1, int64(positions*bank.filters)*c.samples(), []*buffer{dz, acc}, func(int) fillFunc {
			return func(w *worker, dst []float32, _ int) {
				a, v := acc.at(w, 0), pitch/kernel.Lanes
				clear(a)
				for n := range w.step.n {
					c.k.AddPositions(a, dz.copy(n), v, v, positions)
				}
				copy(dst, a)
			}
		})
	}
	switch {
	case kern.trains() && alone:
		c.depthwiseGrad(node, s, kern, dz)
	case kern.trains():
		c.channelKernelGrad(node, s, kern, dz)
	}
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		spec := channelSpec{bank: bank, slide: bank.backwardSlide(), rows: bank.v.In, macs: node.MACs, wTap: bank.cg, wGroup: bank.kernelRows * bank.fg}
		spec.slide.xChannels, spec.slide.yChannels = pitch, kernel.Padded(bank.channels)
		var weights []float32
		if alone {
			spec.alone, spec.slide.groups = true, 1
			weights = c.copyReversed(kern, bank)
		} else {
			weights = c.copyKernel(kern, bank, true, false)
		}
		task := c.plainTask(i, "input gradient", "outputs")
		if c.streams(bank) && !alone {
			c.channelJobs(task, spec, dz, dx, weights, nil)
			return
		}
		q := c.channelProduct(spec)
		task.FLOPs = q.flops * c.samples()
		c.split(task, len(q.calls), []*buffer{dz, dx}, func(w *worker, g, chunk int) { q.part(chunk, dx.at(w, g), dz.at(w, g), weights, nil) })
	})
}

// A job computes gradBlockFloats of a kernel's gradient at a time, a band of at least gradPositions of the output after the other.
const (
	gradBlockFloats = 16 << 10
	gradPositions   = 96
)

// positionsCall is the gradient of some rows of a kernel over a region. Offsets are in floats.
type positionsCall struct {
	g        *kernel.GradPositions
	dw, x, y int
	rows     int
}

// channelKernelGrad leaves the jobs of a kernel's gradient.
func (c *compiler) channelKernelGrad(node *model.Node, s *convState, kern *param, dz *buffer) {
	bank := &s.bank
	sl := bank.forwardSlide()
	sl.xChannels, sl.yChannels = c.pitch(node.Inputs[0]), kernel.Padded(bank.filters)
	regions := bank.gradRegions(sl)
	bounds := shardBounds(bank.kernelRows, bank.filters, bank.cg)
	block := max(minBlockRows, gradBlockFloats/bank.filters)
	made := map[string]*kernel.GradPositions{}
	calls := map[[2]int][]positionsCall{} // by the first row and the number of rows
	prepare := func(lo, rows int) {
		var all []positionsCall
		for _, r := range regions {
			g, err := c.gradOf(made, r, lo, rows, bank)
			if err != nil {
				c.fail(err)
				return
			}
			if g != nil {
				all = append(all, positionsCall{g, r.group * bank.fg, r.x, r.y, r.rows})
			}
		}
		calls[[2]int{lo, rows}] = all
	}
	// In one go where the gradient is kept, else a block at a time.
	for k := range len(bounds) - 1 {
		lo, hi := bounds[k], bounds[k+1]
		if c.keepsGradients() {
			prepare(lo, hi-lo)
			continue
		}
		for at := lo; at < hi; at += block {
			prepare(at, min(block, hi-at))
		}
	}
	macs := sl.flops() / (2 * kernel.Lanes) * c.samples()
	x := s.x
	c.learnShards(kern, bounds, block, bank.filters, 2*macs, []*buffer{x, dz}, func(rows int) fillFunc {
		return func(w *worker, dst []float32, lo int) {
			clear(dst)
			all := calls[[2]int{lo, rows}]
			for n := range w.step.n {
				xs, ds := x.mem[n*x.stride:], dz.mem[n*dz.stride:]
				for k := range all {
					q := &all[k]
					q.g.Do(dst[q.dw:], xs[q.x:], ds[q.y:], q.rows)
				}
			}
		}
	})
}

// gradRegions cuts a kernel's gradient into bands of regions with the same taps, or with channels enough to fill a tile by themselves into those
// where one tap is valid, which are larger. sl is the forward slide.
func (b *filterBank) gradRegions(sl slide) (all []region) {
	height := max(1, gradPositions/b.outW)
	row := b.outW * sl.yChannels
	var slides []slide
	if b.cg < leastTapChannels {
		slides = append(slides, sl)
	} else {
		for ky := range b.v.Kernel {
			for kx := range b.h.Kernel {
				one := sl
				one.rows, one.cols = tapAxis(b.v, ky), tapAxis(b.h, kx)
				slides = append(slides, one)
			}
		}
	}
	for lo := 0; lo < b.v.Out; lo += height {
		for _, s := range slides {
			for _, r := range s.regions(lo, min(lo+height, b.v.Out)) {
				if len(r.taps) > 0 {
					r.y += lo * row
					all = append(all, r)
				}
			}
		}
	}
	return all
}

// tapAxis is the outputs of a window for which element k alone lies on the input; nil where there are none.
func tapAxis(w model.Window, k int) []segment {
	at := k*w.Dilation - w.Before // of output 0
	first := max(0, (-at+w.Stride-1)/w.Stride)
	end := min(w.Out, (w.In-1-at+w.Stride)/w.Stride)
	if at >= w.In || first >= end {
		return nil
	}
	return []segment{{first: first, step: 1, n: end - first, advance: w.Stride, taps: []tap{{k, at + first*w.Stride}}}}
}

// leastTapChannels is how many channels fill a tile of the gradient's rows.
const leastTapChannels = 8

// gradOf is the gradient over a region of rows lo to lo+rows of the kernel, nil where none of them has a tap there.
func (c *compiler) gradOf(made map[string]*kernel.GradPositions, r region, lo, rows int, bank *filterBank) (*kernel.GradPositions, error) {
	spec := kernel.GradSpec{Grid: r.grid, Outs: bank.fg}
	for _, t := range r.taps {
		from, to := max(int(t.W), lo), min(int(t.W+t.N), lo+rows)
		if from < to {
			spec.Taps = append(spec.Taps, kernel.Run{X: t.X + int32(from) - t.W, W: int32(from - lo), N: int32(to - from)})
		}
	}
	if len(spec.Taps) == 0 {
		return nil, nil
	}
	key := fmt.Sprint(spec)
	if g := made[key]; g != nil {
		return g, nil
	}
	g, err := c.k.NewGradPositions(spec, bank.filters)
	made[key] = g
	return g, err
}

// depthwiseGrad leaves the jobs of a depthwise kernel's gradient: products of vectors of channels.
func (c *compiler) depthwiseGrad(node *model.Node, s *convState, kern *param, dz *buffer) {
	bank := &s.bank
	sl := bank.forwardSlide()
	pitch := kernel.Padded(bank.filters)
	sl.groups, sl.xChannels, sl.yChannels = 1, pitch/kernel.Lanes, pitch/kernel.Lanes // in vectors
	type call struct {
		g          *kernel.GradLanes
		x, y, rows int
	}
	var calls []call
	for _, r := range sl.regions(0, bank.v.Out) {
		if len(r.taps) == 0 {
			continue
		}
		g, err := c.k.NewGradLanes(kernel.GradSpec{Grid: r.grid, Taps: r.taps, Outs: 1})
		if err != nil {
			c.fail(err)
			return
		}
		calls = append(calls, call{g, r.x * kernel.Lanes, r.y * kernel.Lanes, r.rows})
	}
	taps := bank.v.Kernel * bank.h.Kernel
	acc := c.global(node.Name+" kernel sums", taps*kernel.Lanes, perWorker)
	x := s.x
	flops := sl.flops() / kernel.Lanes * int64(bank.filters) * c.samples()
	c.learnShards(kern, []int{0, taps}, taps, bank.filters, flops, []*buffer{x, dz, acc}, func(int) fillFunc {
		return func(w *worker, dst []float32, _ int) {
			a := acc.at(w, 0)
			for ch := 0; ch < bank.filters; ch += kernel.Lanes {
				clear(a)
				for n := range w.step.n {
					xs, ds := x.mem[n*x.stride+ch:], dz.mem[n*dz.stride+ch:]
					for k := range calls {
						q := &calls[k]
						q.g.Do(a, xs[q.x:], ds[q.y:], q.rows)
					}
				}
				for t := range taps {
					copy(dst[t*bank.filters+ch:][:min(kernel.Lanes, bank.filters-ch)], a[t*kernel.Lanes:])
				}
			}
		}
	})
}

// copyReversed makes a copy of a depthwise kernel with both axes reversed, or finds it.
func (c *compiler) copyReversed(p *param, b *filterBank) []float32 {
	for _, k := range p.copies {
		if k.reversed {
			k.trained = k.trained || c.purpose.mode == training
			return k.floats
		}
	}
	taps := b.kernelRows
	k := &kernelCopy{back: true, reversed: true, trained: c.purpose.mode == training, floats: c.prog.floats(b.weightCount), rows: taps}
	k.renew = func(lo, hi int) {
		if k.floats == nil { // of an outline
			return
		}
		for t := lo; t < hi; t++ {
			copy(k.floats[(taps-1-t)*b.filters:][:b.filters], p.w[t*b.filters:])
		}
	}
	p.copied += b.weightCount
	p.copies = append(p.copies, k)
	k.renew(0, taps)
	return k.floats
}
