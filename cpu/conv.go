package cpu

import (
	"slices"

	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// bandFloats bounds a band of a convolution's output, in floats: what the next task of a fusion reads while it is in the first
// level of cache.
const bandFloats = 24 << 10 / 4

// convState is what a convolution's forward pass leaves for its backward pass.
type convState struct {
	bank    filterBank
	x, z, y *buffer // z is the sum before the activation where it is kept, y the activated output, nil where it is not kept
	out     *buffer // of the block
	pool    *bandPool
	joined  bool // the average pool activates what it pools, and its gradient goes through the activation in the same pass
	arg     *buffer
	rows    *rowWinograd // what computes the sums, or nil
}

// convForward emits a convolution with its bias; in a fused plan also the activation and the pooling, a band of rows at a time.
func (c *compiler) convForward(b *block, l model.Conv2D) {
	i := b.nodes[0]
	node := &c.net.Nodes[i]
	bank := newFilterBank(l, node.In[0])
	kern, bias := c.param(i, model.Kernel), c.param(i, model.Bias)
	s := &convState{bank: bank, x: c.vals[slot(node.Inputs[0])]}
	c.conv[i] = s
	f, alpha := b.activation(c.net)
	fusedReLU := f == model.ReLU && !c.purpose.unfused
	by := c.algorithm(l, node.In[0])
	spec := convSpec{name: node.Name, bank: &bank, kern: kern, bias: bias, by: by, relu: fusedReLU}
	plain := f == model.Linear || fusedReLU
	inPlace := !plain && !c.purpose.unfused && !kernel.NeedsInput(f)

	pool := b.pool(c.net)
	if pool == nil {
		s.y = c.value(b.last())
		s.out = s.y
		dst := s.y
		if !plain && !inPlace {
			s.z = c.buffer(node.Name+" sums", node.Out.Size()*kernel.Lanes)
			dst = s.z
		}
		q := c.convProduct(spec, bank.v.Out, bank.rowsOf(bandFloats), 1)
		s.rows = q.rows
		bands := q.bands
		rowFloats := bank.outW * bank.filters * kernel.Lanes
		chunks := min(len(bands), maxChunks)
		c.split(c.convTask(b, "forward", q), chunks, append([]*buffer{s.x, dst, s.y}, q.uses...), func(w *worker, n, chunk int) {
			x, z := s.x.at(w, n), dst.at(w, n)
			from, to := chunkOf(len(bands), chunk, chunks)
			for k := from; k < to; k++ {
				w.hint()
				bd := &bands[k]
				rows := z[bd.lo*rowFloats : bd.hi*rowFloats]
				q.band(w, n, k, rows, x)
				if fusedReLU && bd.empty != nil || inPlace {
					c.activate(f, alpha, rows, rows, bank.filters)
				}
			}
		})
		if !plain && !inPlace {
			c.task(device.Task{Name: node.Name + " " + f.String(), Layers: c.layers(b.nodes...), Kernel: c.kernelName("activation")},
				[]*buffer{s.z, s.y}, func(w *worker, n int) { c.activate(f, alpha, s.y.at(w, n), s.z.at(w, n), bank.filters) })
		}
		return
	}

	// A band is the rows of one row of windows, or of as many as a row of tiles needs. Windows of 2×2 maxima store no sums but at a
	// border. Max pooling needs the convolution's output no more; the gradient of average pooling needs it where the activation's
	// gradient does.
	s.out = c.value(b.last())
	s.pool = c.newBandPool(pool, node.Out, f == model.ReLU)
	if s.pool.max {
		s.arg = c.buffer(node.Name+" argmax", c.net.Nodes[b.last()].Out.Size()*kernel.Lanes/4)
	} else if f != model.Linear && c.purpose.mode != inference {
		s.y = c.buffer(node.Name, node.Out.Size()*kernel.Lanes)
	}
	s.joined = !s.pool.max && c.k.PreferAverageOf(f)
	rowFloats := bank.outW * bank.filters * kernel.Lanes
	window := s.pool.v.Kernel
	windows := by == sumOverTaps && !c.purpose.unfused && c.usesWindows(&bank, s.pool, f) // sums are pooled as they arise
	inFront := c.front != nil && c.front.conv == b
	spec.pool, spec.pieces, spec.windows = s.pool, s.pool.rows(), windows
	if inFront {
		spec.pieces = c.front.pieces
	}
	q := c.convProduct(spec, s.pool.v.Out*window, window, window)
	s.rows = q.rows
	bands := q.bands
	var scratch *buffer
	if s.y == nil && slices.ContainsFunc(bands, func(bd convBand) bool { return !windows || bd.sums() }) {
		scratch = c.buffer(node.Name+" band", (bands[0].hi-bands[0].lo)*rowFloats)
	}
	outFloats := s.pool.h.Out * bank.filters * kernel.Lanes
	keepArg := s.arg != nil && c.purpose.mode != inference
	forward := func(w *worker, n, from, to int, x []float32) {
		out := s.out.at(w, n)
		var rows []float32
		var arg []uint8
		if scratch != nil {
			rows = scratch.at(w, n)
		}
		if keepArg {
			arg = bytesOf(s.arg.at(w, n), len(out))
		}
		for k := from; k < to; k++ {
			w.hint()
			bd := &bands[k]
			if windows {
				at := bd.lo / window * outFloats
				var a []uint8
				if keepArg {
					a = arg[at:]
				}
				runWindows(bd.windows, out[at:], a, x, q.w, q.bias)
				if bd.sums() {
					q.band(w, n, k, rows, x)
					if fusedReLU && bd.empty != nil {
						c.activate(f, alpha, rows, rows, bank.filters)
					}
					runPools(bd.pools, out[at:], a, rows)
				}
				continue
			}
			rows := rows[:min(len(rows), (bd.hi-bd.lo)*rowFloats)]
			if scratch == nil {
				rows = s.y.at(w, n)[bd.lo*rowFloats : bd.hi*rowFloats]
			}
			q.band(w, n, k, rows, x)
			activates := s.joined && inPlace
			if fusedReLU && bd.empty != nil || inPlace && !activates {
				bd.pool.eachRow(rows, rowFloats, func(lo, hi int) { c.activate(f, alpha, rows[lo:hi], rows[lo:hi], bank.filters) })
			}
			for r := bd.lo; r < bd.hi; r += window {
				at := r/window*outFloats + bd.pool.y
				var a []uint8
				if keepArg {
					a = arg[at:]
				}
				if activates {
					bd.pool.averageOf(f, out[at:], rows[(r-bd.lo)*rowFloats:])
					continue
				}
				bd.pool.forward(out[at:], a, rows[(r-bd.lo)*rowFloats:])
			}
		}
	}
	task, uses := c.convTask(b, "forward", q), append([]*buffer{s.x, s.y, scratch, s.out, s.arg}, q.uses...)
	if inFront {
		if scratch != nil {
			scratch.scope, scratch.fixed = perWorker, true
		}
		c.front.forward(c, task, uses, forward)
		return
	}
	chunks := min(len(bands), maxChunks)
	c.split(task, chunks, uses, func(w *worker, n, chunk int) {
		from, to := chunkOf(len(bands), chunk, chunks)
		forward(w, n, from, to, s.x.at(w, n))
	})
}

// convBackward emits the gradients of the sums, of the parameters for each set of groups, and of the input.
func (c *compiler) convBackward(b *block, l model.Conv2D) {
	i := b.nodes[0]
	node := &c.net.Nodes[i]
	s := c.conv[i]
	bank := &s.bank
	kern, bias := c.param(i, model.Kernel), c.param(i, model.Bias)
	f, alpha := b.activation(c.net)
	dy := c.grads.At(b.last())
	wantsInput := c.grads.Wanted(node.Inputs[0])
	rowFloats := bank.outW * bank.filters * kernel.Lanes

	by := c.algorithm(l, node.In[0])
	fromPooled := !wantsInput && by == sumOverTaps && c.usesWindowGrads(bank, s.pool, kern)
	// dz is the gradient at the sums: whole where the input's gradient is wanted or nothing is pooled, else a band, or not made at all.
	dz := dy
	whole := true
	switch {
	case fromPooled:
	case s.pool != nil && wantsInput:
		dz = c.buffer(node.Name+" sums gradient", node.Out.Size()*kernel.Lanes)
	case s.pool != nil:
		whole = false
		dz = c.buffer(node.Name+" sums gradient band", 0)
	case f != model.Linear:
		dz = c.activationGrad(i, f, alpha, dy, s.z, s.y)
	}
	height := bank.gradRows()
	rows := bank.v.Out
	if s.pool != nil {
		windows := s.pool.v.Kernel
		height = (height + windows - 1) / windows * windows
		rows = s.pool.v.Out * windows
	}
	inFront := c.front != nil && c.front.conv == b
	align := 1
	if s.pool != nil {
		align = s.pool.v.Kernel
	}
	var pieces []piece
	if fromPooled {
		height = align
	}
	if inFront {
		pieces, height = c.front.pieces, align
		if !fromPooled {
			dz.scope, dz.fixed = perWorker, true
		}
	}
	g := c.newConvGrad(i, bank, kern, bias, by, gradRows{rows, height, align, s.pool, pieces, fromPooled})
	if !whole {
		dz.words = g.mostRows() * rowFloats
	}
	outFloats := 0
	var pooled *buffer
	if s.pool != nil {
		outFloats = s.pool.h.Out * bank.filters * kernel.Lanes
		if s.pool.max && f != model.Linear && f != model.ReLU {
			pooled = c.buffer(node.Name+" pooled gradient", outFloats)
		}
	}
	uses := append([]*buffer{s.x, dy, dz, s.y, s.out, s.arg, pooled}, g.uses...)
	// grads sums the gradients over bands from to to of group n; the gradient at the output is dy, from its first band on.
	grads := func(w *worker, n, from, to int, x, dy []float32) {
		if fromPooled {
			s.pooledGrads(g, w, n, from, to, x, dy, f, alpha, pooled)
			return
		}
		for k := from; k < to; k++ {
			w.hint()
			bd := &g.bands[k]
			grad := dz.at(w, n)[:(bd.hi-bd.lo)*rowFloats]
			if whole {
				grad = dz.at(w, n)[bd.lo*rowFloats : bd.hi*rowFloats]
			}
			if s.pool != nil {
				bandFloats := s.pool.v.Kernel * rowFloats
				start := g.bands[from].lo/s.pool.v.Kernel*outFloats + g.bands[from].pool.y
				var y []float32
				if !s.pool.max && f != model.Linear {
					y = s.y.at(w, n)[bd.lo*rowFloats : bd.hi*rowFloats]
				}
				for r := bd.lo; r < bd.hi; r += s.pool.v.Kernel {
					at := r/s.pool.v.Kernel*outFloats + bd.pool.y
					d, rows := dy[at-start:][:bd.pool.n], grad[(r-bd.lo)*rowFloats:][:bandFloats]
					if s.joined {
						bd.pool.averageGradOf(f, rows, d, y[(r-bd.lo)*rowFloats:][:bandFloats])
						continue
					}
					s.unpool(c, w, n, at, bd.pool, f, alpha, d, pooled, rows)
				}
				if y != nil && !s.joined {
					bd.pool.eachRow(grad, rowFloats, func(lo, hi int) { c.activateGrad(f, alpha, grad[lo:hi], grad[lo:hi], y[lo:hi], bank.filters) })
				}
			}
			g.band(w, n, k, x, grad)
		}
	}
	task := device.Task{
		Name: c.title(b.nodes, "gradient"), Layers: c.layers(b.nodes...), Kernel: c.kernelName(g.kernel), FLOPs: g.flops * int64(c.plan.groups),
	}
	if inFront {
		if pooled != nil {
			pooled.scope, pooled.fixed = perWorker, true
		}
		c.front.backward(c, task, uses, g, grads)
		g.finish(i)
		return
	}
	products := task
	if g.winograd != nil && g.winograd.whole {
		products.Name += " products"
		task.FLOPs = 0
	}
	c.split(task, g.chunks, uses, func(w *worker, n, chunk int) {
		g.begin(w)
		from, to := chunkOf(len(g.bands), chunk, g.chunks)
		var d []float32
		if s.pool != nil && from < to {
			d = dy.at(w, n)[g.bands[from].lo/s.pool.v.Kernel*outFloats:]
		}
		grads(w, n, from, to, s.x.at(w, n), d)
		g.end(w)
		if s.pool != nil && whole && !fromPooled && chunk == 0 {
			clear(dz.at(w, n)[rows*rowFloats : node.Out.Size()*kernel.Lanes])
		}
	})
	if g.winograd != nil && g.winograd.whole {
		g.winograd.multiply(products)
	}
	g.finish(i)
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		chunks := 1
		if c.purpose.spread {
			chunks = min(bank.v.In, maxChunks)
		}
		q := c.convProduct(convSpec{name: node.Name + " input gradient", bank: bank, kern: kern, back: true, by: c.algorithm(l, node.In[0])},
			bank.v.In, (bank.v.In+chunks-1)/chunks, 1)
		rowFloats := bank.inW * bank.channels * kernel.Lanes
		task := device.Task{Name: node.Name + " input gradient", Layers: c.layers(i), Kernel: c.kernelName(q.kernel), FLOPs: q.flops * int64(c.plan.groups)}
		c.split(task, len(q.bands), append([]*buffer{dz, dx}, q.uses...), func(w *worker, n, chunk int) {
			bd := &q.bands[chunk]
			q.band(w, n, chunk, dx.at(w, n)[bd.lo*rowFloats:bd.hi*rowFloats], dz.at(w, n))
		})
	})
}

// unpool sends the gradient d of the pooled output from float at on to the rows that pool has pooled.
func (s *convState) unpool(c *compiler, w *worker, n, at int, pool *bandPool, f model.ActivationFunc, alpha float32, d []float32, pooled *buffer, grad []float32) {
	if !pool.max {
		pool.averageGrad(grad, d)
		return
	}
	arg := bytesOf(s.arg.at(w, n), len(s.out.at(w, n)))[at:][:len(d)]
	if pooled != nil { // the winner's slope follows from the pooled value, so that it is computed once for each window
		p := pooled.at(w, n)[:len(d)]
		c.activateGrad(f, alpha, p, d, s.out.at(w, n)[at:][:len(d)], s.bank.filters)
		d = p
	}
	pool.maxGrad(grad, d, arg)
}

// pooledGrads sums the gradients over bands from to to of group n from that at the pooled output, dy, from its first band on.
func (s *convState) pooledGrads(g *convGrad, w *worker, n, from, to int, x, dy []float32, f model.ActivationFunc, alpha float32, pooled *buffer) {
	y := s.out.at(w, n)
	arg := bytesOf(s.arg.at(w, n), len(y))
	outFloats := s.pool.h.Out * s.bank.filters * kernel.Lanes
	place := func(k int) int { return g.bands[k].lo/windowSide*outFloats + g.bands[k].pool.y }
	var rows int
	for k := from; k < to; k += rows {
		at := place(k)
		for rows = 1; pooled == nil && g.bands[k].pool.whole && k+rows < to && g.bands[k+rows].pool.whole; rows++ {
			w.hint()
		}
		w.hint()
		d := dy[at-place(from):]
		if pooled != nil {
			d = d[:g.bands[k].pool.n]
			p := pooled.at(w, n)[:len(d)]
			g.c.activateGrad(f, alpha, p, d, y[at:][:len(d)], s.bank.filters)
			d = p
		}
		g.pooledRows(w, k, x, d, arg[at:], rows)
	}
}

// convTask describes the forward task of a block.
func (c *compiler) convTask(b *block, what string, q *product) device.Task {
	return device.Task{
		Name: c.title(b.nodes, what), Layers: c.layers(b.nodes...), Kernel: c.kernelName(q.kernel), FLOPs: q.flops * int64(c.plan.groups),
	}
}

// gradRows is how many rows of the output make a band of the kernel's gradient. Where its lanes are outputs, the kernel's sums
// are read and written once a band, which needs a number of positions to be worth it.
func (b *filterBank) gradRows() int {
	rows := b.rowsOf(bandFloats)
	if !kernel.PreferLanes(b.fg) {
		const positions = 32
		rows = max(rows, (positions+b.outW-1)/b.outW)
	}
	return min(rows, b.v.Out)
}

// rowsOf is how many rows of the output make a band of so many floats.
func (b *filterBank) rowsOf(floats int) int {
	return min(b.v.Out, max(1, floats/(b.outW*b.filters*kernel.Lanes)))
}
