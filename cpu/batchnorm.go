package cpu

import (
	"math"

	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// normState is what batch normalisation's forward pass leaves for its backward pass.
type normState struct {
	x     *buffer
	batch bool // statistics of the batch
	mean  []float32
	istd  []float32 // 1/√(var+ε)
	scale []float32 // γ·istd
	shift []float32
}

func newNormState(x *buffer, n int) *normState {
	return &normState{x: x, mean: make([]float32, n), istd: make([]float32, n), scale: make([]float32, n), shift: make([]float32, n)}
}

// coefficients computes istd, scale and shift from the mean that is there and a variance.
func (s *normState) coefficients(variance []float32, gamma, beta *param, epsilon float64) {
	for ch, v := range variance {
		istd := 1 / math.Sqrt(float64(v)+epsilon)
		scale := istd
		if gamma != nil {
			scale *= float64(gamma.w[ch])
		}
		shift := -float64(s.mean[ch]) * scale
		if beta != nil {
			shift += float64(beta.w[ch])
		}
		s.istd[ch], s.scale[ch], s.shift[ch] = float32(istd), float32(scale), float32(shift)
	}
}

// batchNormForward emits y = γ·(x−mean)·istd + β. With the batch's statistics the chain is cut twice: the variance is taken
// around the mean (Chan, Golub and LeVeque, 1983), which is known only when all groups have been summed.
func (c *compiler) batchNormForward(i int, l model.BatchNormalization) {
	node := &c.net.Nodes[i]
	x := c.vals[slot(node.Inputs[0])]
	n := node.Out[len(node.Out)-1]
	positions := node.Out.Size() / n
	s := newNormState(x, n)
	s.batch = c.purpose.mode != inference && !c.purpose.infer && !bool(l.Frozen)
	c.norms[i] = s
	gamma, beta := c.param(i, model.Gamma), c.param(i, model.Beta)
	mean, variance := c.param(i, model.MovingMean), c.param(i, model.MovingVariance)
	epsilon := float64(device.Decimal(l.Epsilon))
	coefficients := func(varianceOf []float32) { s.coefficients(varianceOf, gamma, beta, epsilon) }
	if !s.batch {
		c.plan.prologue = append(c.plan.prologue, func() {
			copy(s.mean, mean.w)
			coefficients(variance.w)
		})
	} else {
		c.batchStatistics(i, l, s, n, positions, coefficients, mean, variance)
	}
	y := c.value(i)
	c.task(c.plainTask(i, "forward", "affine"), []*buffer{x, y}, func(w *worker, g int) {
		c.k.Affine(y.at(w, g), x.at(w, g), s.scale, s.shift, positions)
	})
}

// batchStatistics emits the mean and the biased variance of each channel over the batch, and what the moving statistics
// become.
func (c *compiler) batchStatistics(i int, l model.BatchNormalization, s *normState, n, positions int, coefficients func([]float32), mean, variance *param) {
	name := c.net.Nodes[i].Name
	sums := c.buffer(name+" sums", n*kernel.Lanes)
	squares := c.buffer(name+" squares", n*kernel.Lanes)
	total, last := make([]float32, n), make([]float32, n)
	batchVariance := make([]float32, n)
	x := s.x
	c.task(c.plainTask(i, "sums", "channel_sums"), []*buffer{x, sums}, func(w *worker, g int) {
		a := sums.at(w, g)
		clear(a)
		c.k.AddPositions(a, x.at(w, g), n, n, positions)
	})
	c.sync([]work{{
		Task: c.plainTask(i, "mean", "reduce"), uses: []*buffer{sums},
		run: func(w *worker) {
			c.reduceGroups(w, total, last, sums, n)
			inverse := 1 / (float64(w.step.n) * float64(positions))
			for ch := range total {
				s.mean[ch] = float32(float64(total[ch]) * inverse)
			}
		},
	}})
	c.task(c.plainTask(i, "squares", "channel_sums"), []*buffer{x, squares}, func(w *worker, g int) {
		a := squares.at(w, g)
		clear(a)
		c.k.AddSquares(a, x.at(w, g), s.mean, positions)
	})
	momentum, rest := l.Momentum, device.Complement(l.Momentum)
	c.sync([]work{{
		Task: c.plainTask(i, "variance", "reduce"), uses: []*buffer{squares},
		run: func(w *worker) {
			c.reduceGroups(w, total, last, squares, n)
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
				newMean[ch] = mean.w[ch]*momentum + s.mean[ch]*rest
				newVariance[ch] = variance.w[ch]*momentum + batchVariance[ch]*rest
			}
		},
	})
}

// reduceGroups adds the groups' sums of each channel, without the lanes of padding in the last group.
func (c *compiler) reduceGroups(w *worker, dst, last []float32, sums *buffer, n int) {
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
// statistics dx = γ·istd·dy.
func (c *compiler) batchNormBackward(i int, l model.BatchNormalization) {
	node := &c.net.Nodes[i]
	s := c.norms[i]
	x, dy := s.x, c.grads[slot(i)]
	n := node.Out[len(node.Out)-1]
	positions := node.Out.Size() / n
	gamma, beta := c.param(i, model.Gamma), c.param(i, model.Beta)
	wantsInput := c.needs[slot(node.Inputs[0])]
	sums := c.buffer(node.Name+" gradient sums", n*kernel.Lanes)
	products := c.buffer(node.Name+" gradient products", n*kernel.Lanes)
	dbeta, dgamma := make([]float32, n), make([]float32, n)
	meanTerm, slope, none := make([]float32, n), make([]float32, n), make([]float32, n) // of the gradient at the input; zeros
	if s.batch && wantsInput || gamma.trains() || beta.trains() {
		c.task(c.plainTask(i, "gradient sums", "channel_sums"), []*buffer{x, dy, sums, products}, func(w *worker, g int) {
			a, b := sums.at(w, g), products.at(w, g)
			clear(a)
			clear(b)
			c.k.AddPositions(a, dy.at(w, g), n, n, positions)
			c.k.AddProducts(b, dy.at(w, g), x.at(w, g), s.mean, positions)
		})
		last := make([]float32, n)
		c.sync([]work{{
			Task: c.plainTask(i, "parameter gradients", "reduce"), uses: []*buffer{sums, products},
			run: func(w *worker) {
				c.reduceGroups(w, dbeta, last, sums, n)
				c.reduceGroups(w, dgamma, last, products, n)
				m := float64(w.step.n) * float64(positions)
				for ch := range n {
					istd := float64(s.istd[ch])
					d := float64(dgamma[ch]) * istd
					dgamma[ch] = float32(d)
					scale := float64(s.scale[ch])
					meanTerm[ch] = float32(-scale * float64(dbeta[ch]) / m)
					slope[ch] = float32(scale * (d / m) * istd)
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
	c.into(node.Inputs[0], func(dx *buffer) {
		c.task(c.plainTask(i, "input gradient", "combine"), []*buffer{x, dy, dx}, func(w *worker, g int) {
			d, up := dx.at(w, g), dy.at(w, g)
			if !s.batch {
				c.k.Affine(d, up, s.scale, none, positions)
				return
			}
			// Some positions at a time: they are still in the first level of cache when the deviations are subtracted.
			in, step := x.at(w, g), max(1, bandFloats/(n*kernel.Lanes))
			for p := 0; p < positions; p += step {
				m, at := min(step, positions-p), p*n*kernel.Lanes
				c.k.Affine(d[at:], up[at:], s.scale, meanTerm, m)
				c.k.SubtractDeviations(d[at:], in[at:], s.mean, slope, m)
			}
			clearPadding(d, w.step.lanes(g))
		})
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
