package cpu

import (
	"math"

	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// normState is what batch normalisation's forward pass leaves for its backward pass.
type normState struct {
	kernel.Norm
	x, y    *buffer
	n       int       // channels
	vectors int       // of a position
	batch   bool      // statistics of the batch
	istd    []float32 // 1/√(var+ε)
}

// newNormState is for vectors of a position that hold n channels: one each, or across their lanes.
func newNormState(x *buffer, n, vectors int, relu, across bool) *normState {
	numbers := vectors
	if across {
		numbers *= kernel.Lanes
	}
	floats := func() []float32 { return make([]float32, numbers) }
	return &normState{x: x, n: n, vectors: vectors, istd: floats(), Norm: kernel.Norm{
		Mean: floats(), Scale: floats(), Shift: floats(), Offset: floats(), Slope: floats(), ReLU: relu, Across: across,
	}}
}

// coefficients computes istd, scale and shift from the mean that is there and a variance.
func (s *normState) coefficients(variance []float32, gamma, beta *param, epsilon float64) {
	for ch, v := range variance {
		istd := 1 / math.Sqrt(float64(v)+epsilon)
		scale := istd
		if gamma != nil {
			scale *= float64(gamma.w[ch])
		}
		shift := -float64(s.Mean[ch]) * scale
		if beta != nil {
			shift += float64(beta.w[ch])
		}
		s.istd[ch], s.Scale[ch], s.Shift[ch] = float32(istd), float32(scale), float32(shift)
	}
}

// batchNormForward emits y = γ·(x−mean)·istd + β, and in a fused plan the ReLU of it. With the batch's statistics the chain is cut
// twice: the variance is taken around the mean (Chan, Golub and LeVeque, 1983), which is known only when all groups have been summed.
func (c *compiler) batchNormForward(b *block, l model.BatchNormalization) {
	i := b.nodes[0]
	node := &c.net.Nodes[i]
	x := c.vals[slot(node.Inputs[0])]
	vectors := node.Out[len(node.Out)-1]
	positions := node.Out.Size() / vectors
	s := newNormState(x, node.Params[0].Size(), vectors, len(b.nodes) > 1, c.single)
	s.batch = c.purpose.mode != inference && !c.purpose.infer && !bool(l.Frozen)
	c.norms[i] = s
	gamma, beta := c.param(i, model.Gamma), c.param(i, model.Beta)
	mean, variance := c.param(i, model.MovingMean), c.param(i, model.MovingVariance)
	epsilon := float64(device.Decimal(l.Epsilon))
	coefficients := func(varianceOf []float32) { s.coefficients(varianceOf, gamma, beta, epsilon) }
	if !s.batch {
		c.plan.prologue = append(c.plan.prologue, func() {
			copy(s.Mean, mean.w)
			coefficients(variance.w)
		})
	} else {
		c.batchStatistics(i, l, s, positions, coefficients, mean, variance)
	}
	s.y = c.value(b.last())
	c.task(c.blockTask(b, "forward", "affine"), []*buffer{x, s.y}, func(w *worker, g int) {
		c.k.Affine(s.y.at(w, g), x.at(w, g), &s.Norm, positions)
	})
}

// batchStatistics emits the mean and the biased variance of each channel over the batch, and what the moving statistics
// become.
func (c *compiler) batchStatistics(i int, l model.BatchNormalization, s *normState, positions int, coefficients func([]float32), mean, variance *param) {
	name := c.net.Nodes[i].Name
	n, vectors := s.n, s.vectors
	sums := c.buffer(name+" sums", vectors*kernel.Lanes)
	squares := c.buffer(name+" squares", vectors*kernel.Lanes)
	total, last := make([]float32, n), make([]float32, n)
	batchVariance := make([]float32, n)
	x := s.x
	c.task(c.plainTask(i, "sums", "channel_sums"), []*buffer{x, sums}, func(w *worker, g int) {
		a := sums.at(w, g)
		clear(a)
		c.k.AddPositions(a, x.at(w, g), vectors, vectors, positions)
	})
	c.sync([]work{{
		Task: c.plainTask(i, "mean", "reduce"), uses: []*buffer{sums},
		run: func(w *worker) {
			s.reduce(c, w, total, last, sums)
			inverse := 1 / (float64(w.step.n) * float64(positions))
			for ch := range total {
				s.Mean[ch] = float32(float64(total[ch]) * inverse)
			}
		},
	}})
	c.task(c.plainTask(i, "squares", "channel_sums"), []*buffer{x, squares}, func(w *worker, g int) {
		a := squares.at(w, g)
		clear(a)
		c.k.AddSquares(a, x.at(w, g), &s.Norm, positions)
	})
	momentum, rest := l.Momentum, device.Complement(l.Momentum)
	c.sync([]work{{
		Task: c.plainTask(i, "variance", "reduce"), uses: []*buffer{squares},
		run: func(w *worker) {
			s.reduce(c, w, total, last, squares)
			inverse := 1 / (float64(w.step.n) * float64(positions))
			for ch := range total {
				batchVariance[ch] = float32(float64(total[ch]) * inverse)
			}
			coefficients(batchVariance)
		},
	}})
	if c.purpose.mode == tracing && mean.moved == nil {
		mean.moved, variance.moved = make([]float32, n), make([]float32, n)
	}
	c.later(lateGrads, work{
		Task: c.plainTask(i, "moving statistics", "scalar"),
		run: func(*worker) {
			newMean, newVariance := mean.w, variance.w
			if c.purpose.mode == tracing { // a trace changes nothing
				newMean, newVariance = mean.moved, variance.moved
			}
			for ch := range n {
				newMean[ch] = mean.w[ch]*momentum + s.Mean[ch]*rest
				newVariance[ch] = variance.w[ch]*momentum + batchVariance[ch]*rest
			}
		},
	})
}

// reduce adds the groups' sums of each channel, without the lanes of padding in the last group.
func (s *normState) reduce(c *compiler, w *worker, dst, last []float32, sums *buffer) {
	if s.Across {
		c.k.SumShards(dst, sums.mem, w.step.n, sums.stride)
		return
	}
	n := s.n
	groups := w.step.groups
	stride := sums.stride / kernel.Lanes
	lanes := w.step.lanes(groups - 1)
	if groups == 1 {
		c.k.ReduceLanes(dst, sums.mem, n, 1, stride, lanes)
		return
	}
	c.k.ReduceLanes(last, sums.copy(groups-1), n, 1, stride, lanes)
	c.k.ReduceLanes(dst, sums.mem, n, groups-1, stride, kernel.Lanes)
	for i := range dst {
		dst[i] += last[i]
	}
}

// batchNormBackward emits dβ = Σdy, dγ = Σ dy·x̂ and dx = γ·istd·(dy − dβ/m − x̂·dγ/m), x̂ = (x−mean)·istd; with moving
// statistics dx = γ·istd·dy. Behind a ReLU dy is 0 where it took nothing.
func (c *compiler) batchNormBackward(b *block, l model.BatchNormalization) {
	i := b.nodes[0]
	node := &c.net.Nodes[i]
	s := c.norms[i]
	x, dy := s.x, c.grads.At(b.last())
	n, vectors := s.n, s.vectors
	positions := node.Out.Size() / vectors
	gamma, beta := c.param(i, model.Gamma), c.param(i, model.Beta)
	wantsInput := c.grads.Wanted(node.Inputs[0])
	sums := c.buffer(node.Name+" gradient sums", vectors*kernel.Lanes)
	products := c.buffer(node.Name+" gradient products", vectors*kernel.Lanes)
	dbeta, dgamma := make([]float32, n), make([]float32, n)
	if s.batch && wantsInput || gamma.trains() || beta.trains() {
		c.task(c.blockTask(b, "gradient sums", "channel_sums"), []*buffer{x, dy, sums, products}, func(w *worker, g int) {
			a, b := sums.at(w, g), products.at(w, g)
			clear(a)
			clear(b)
			c.k.NormGrads(a, b, dy.at(w, g), x.at(w, g), &s.Norm, positions)
		})
		last := make([]float32, n)
		c.sync([]work{{
			Task: c.plainTask(i, "parameter gradients", "reduce"), uses: []*buffer{sums, products},
			run: func(w *worker) {
				s.reduce(c, w, dbeta, last, sums)
				s.reduce(c, w, dgamma, last, products)
				m := float64(w.step.n) * float64(positions)
				for ch := range n {
					istd := float64(s.istd[ch])
					d := float64(dgamma[ch]) * istd
					dgamma[ch] = float32(d)
					scale := float64(s.Scale[ch])
					s.Offset[ch] = float32(-scale * float64(dbeta[ch]) / m)
					s.Slope[ch] = float32(scale * (d / m) * istd)
				}
			},
		}})
		for _, p := range []struct {
			p *param
			g []float32
		}{{gamma, dgamma}, {beta, dbeta}} {
			if p.p.trains() {
				c.learn(p.p, 1, n, 1, int64(n), nil, func(int) fillFunc {
					return func(_ *worker, dst []float32, _ int) { copy(dst, p.g) }
				})
			}
		}
	}
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		if !s.batch {
			c.normScale(b, s, dy, dx, positions)
			return
		}
		c.task(c.blockTask(b, "input gradient", "combine"), []*buffer{x, dy, dx}, func(w *worker, g int) {
			d := dx.at(w, g)
			c.k.NormInputGrad(d, dy.at(w, g), x.at(w, g), &s.Norm, positions)
			if !s.Across {
				clearPadding(d, w.step.lanes(g))
			}
		})
	})
}

// normScale emits dx = γ·istd·dy, of moving statistics.
func (c *compiler) normScale(b *block, s *normState, dy, dx *buffer, positions int) {
	n := s.vectors
	scale := kernel.Norm{Scale: s.Scale, Shift: make([]float32, len(s.Scale)), Across: s.Across}
	uses := []*buffer{dy, dx}
	if s.ReLU {
		uses = append(uses, s.y)
	}
	step := max(1, bandFloats/(n*kernel.Lanes)) // positions whose gradients stay in the first level of cache
	c.task(c.blockTask(b, "input gradient", "affine"), uses, func(w *worker, g int) {
		d, src := dx.at(w, g), dy.at(w, g)
		if !s.ReLU {
			c.k.Affine(d, src, &scale, positions)
			return
		}
		y := s.y.at(w, g)
		for p := 0; p < positions; p += step {
			m := min(step, positions-p)
			from, to := p*n*kernel.Lanes, (p+m)*n*kernel.Lanes
			c.k.ActivateGrad(model.ReLU, 0, d[from:to], src[from:to], y[from:to])
			c.k.Affine(d[from:to], d[from:to], &scale, m)
		}
	})
}

// clearPadding zeroes the lanes from n on.
func clearPadding(v []float32, n int) {
	if n == kernel.Lanes {
		return
	}
	for i := 0; i < len(v); i += kernel.Lanes {
		clear(v[i+n : i+kernel.Lanes])
	}
}
