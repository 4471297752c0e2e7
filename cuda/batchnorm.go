//go:build cuda

package cuda

import (
	"math"

	"gorgonia.org/cu"
	cudnn "gorgonia.org/cu/dnn"

	"gcnn/device"
	"gcnn/kernels"
	"gcnn/model"
)

// normState is how a batch normalisation is computed, and what it leaves for its backward pass.
type normState struct {
	batch         bool // statistics of the batch
	epsilon       float64
	channels      int
	xd, pd        *cudnn.TensorDescriptor
	gamma, beta   *param
	ones, zeros   *buffer // in place of parameters that are not there
	mean, inverse *buffer // of the batch: mean and 1/√(variance+ε)
}

func (s *normState) scale() kernels.Pointer {
	if s.gamma != nil {
		return s.gamma.w()
	}
	return s.ones.p()
}

func (s *normState) shift() kernels.Pointer {
	if s.beta != nil {
		return s.beta.w()
	}
	return s.zeros.p()
}

// batchNormForward emits y = γ·(x−mean)/√(variance+ε) + β.
func (c *compiler) batchNormForward(i int, l model.BatchNormalization) {
	node := &c.net.Nodes[i]
	x, y := c.vals[slot(node.Inputs[0])], c.value(i)
	h, w, n := mapOf(node.Out)
	s := &normState{
		batch: c.purpose.mode != inference && !c.purpose.infer && !bool(l.Frozen), epsilon: device.Decimal(l.Epsilon), channels: n,
		xd: c.tensor(c.rows, h, w, n), pd: c.vector(n), gamma: c.param(i, model.Gamma), beta: c.param(i, model.Beta),
	}
	c.norms[i] = s
	one := make([]float32, n)
	for k := range one {
		one[k] = 1
	}
	s.ones, s.zeros = c.constant(node.Name+" ones", n, one), c.constant(node.Name+" zeros", n, nil)
	mean, variance := c.param(i, model.MovingMean), c.param(i, model.MovingVariance)
	if !s.batch {
		c.kernel(i, "forward", []*buffer{x, y}, func() launcher {
			return kernels.Normalize{
				X: x.p(), Mean: mean.w(), Variance: variance.w(), Gamma: s.gamma.w(), Beta: s.beta.w(), Y: y.p(), N: uint32(c.elements(i)), Channels: uint32(n), Epsilon: l.Epsilon,
			}
		})
		return
	}
	// cuDNN's moving statistics take the unbiased variance; Keras' the biased one. So cuDNN writes the batch's own to a buffer,
	// which keeps its content since cuDNN reads it.
	s.mean, s.inverse = c.buffer(node.Name+" mean", n), c.buffer(node.Name+" inverse deviation", n)
	batchMean, unbiased := c.constant(node.Name+" batch mean", n, nil), c.constant(node.Name+" batch variance", n, nil)
	c.task(node.Name+" forward", c.net.NamesOf(i), "cudnnBatchNormalizationForwardTraining", 0, []*buffer{x, y, s.mean, s.inverse, batchMean, unbiased}, func() error {
		err := c.d.dnn.BatchNormalizationForwardTraining(cudnn.Spatial, 1, 0, s.xd, at(x.p()), s.xd, at(y.p()), s.pd, at(s.scale()), at(s.shift()),
			1, at(batchMean.p()), at(unbiased.p()), s.epsilon, at(s.mean.p()), at(s.inverse.p()))
		return c.d.ok("cudnnBatchNormalizationForwardTraining", err, "rows", c.rows, "shape", node.Out)
	})
	m := c.rows * h * w
	biased := unbiased
	if m == 1 { // one value has no unbiased variance, and a variance of 0
		biased = s.zeros
	}
	for _, v := range []struct {
		average *param
		x       *buffer
		factor  float32
	}{{mean, batchMean, 1}, {variance, biased, float32(float64(max(m, 2)-1) / float64(max(m, 2)))}} {
		c.movingAverage(i, v.average, v.x, l.Momentum, v.factor)
	}
}

// movingAverage emits average = average·momentum + x·factor·(1−momentum); a trace changes a copy.
func (c *compiler) movingAverage(i int, average *param, x *buffer, momentum, factor float32) {
	n := average.Size()
	var moved *buffer
	if c.purpose.mode == tracing {
		moved = c.buffer(average.Name+" as it would be", n)
		c.plan.averages = append(c.plan.averages, movingStatistic{average.Name, moved})
		c.task(average.Name+" copy", c.net.NamesOf(i), "cuMemcpyDtoD", 0, []*buffer{moved}, func() error {
			return c.d.ok("cuMemcpyDtoDAsync", cu.MemcpyDtoDAsync(cu.DevicePtr(moved.p()), cu.DevicePtr(average.w()), 4*int64(n), c.d.stream))
		})
	}
	c.kernel(i, "moving statistics", []*buffer{x, moved}, func() launcher {
		to := moved.p()
		if moved == nil {
			to = average.w()
		}
		return kernels.MovingAverage{Average: to, X: x.p(), N: uint32(n), Keep: momentum, Rest: device.Complement(momentum), Factor: factor, Cursor: c.plan.io.cursor}
	})
}

// batchNormBackward emits dβ = Σdy, dγ = Σ dy·x̂ and dx = γ·(dy − dβ/m − x̂·dγ/m)/√(variance+ε); with moving statistics
// dx = γ·dy/√(variance+ε).
func (c *compiler) batchNormBackward(i int, l model.BatchNormalization) {
	node := &c.net.Nodes[i]
	s := c.norms[i]
	x, dy, n := c.vals[slot(node.Inputs[0])], c.grads.At(i), c.elements(i)
	wantsInput := c.grads.Wanted(node.Inputs[0])
	trains := s.gamma.trains() || s.beta.trains()
	mean, variance := c.param(i, model.MovingMean), c.param(i, model.MovingVariance)
	if trains || s.batch && wantsInput {
		// cuDNN computes all three gradients; those that nobody asked for go to buffers that nobody reads.
		dx := c.buffer(node.Name+" input gradient", n)
		spare := c.buffer(node.Name+" unused gradients", 2*((s.channels+3)/4*4))
		inverse := s.inverse
		if !s.batch {
			inverse = c.constant(node.Name+" inverse moving deviation", s.channels, nil)
			c.plan.prologue = append(c.plan.prologue, func() error { return c.invert(s, variance, inverse) })
		}
		c.task(node.Name+" gradient", c.net.NamesOf(i), "cudnnBatchNormalizationBackward", 0, []*buffer{x, dy, dx, spare, s.mean, inverse}, func() error {
			dgamma, dbeta := spare.p(), spare.at((s.channels+3)/4*4)
			if s.gamma.trains() {
				dgamma = s.gamma.g()
			}
			if s.beta.trains() {
				dbeta = s.beta.g()
			}
			means := mean.w()
			if s.batch {
				means = s.mean.p()
			}
			err := c.d.dnn.BatchNormalizationBackward(cudnn.Spatial, 1, 0, 1, 0, s.xd, at(x.p()), s.xd, at(dy.p()), s.xd, at(dx.p()),
				s.pd, at(s.scale()), at(dgamma), at(dbeta), s.epsilon, at(means), at(inverse.p()))
			return c.d.ok("cudnnBatchNormalizationBackward", err, "rows", c.rows, "shape", node.Out)
		})
		if s.batch {
			c.grads.Pass(node.Inputs[0], dx)
			return
		}
	}
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		c.kernel(i, "input gradient", []*buffer{dy, dx}, func() launcher {
			return kernels.Normalize{X: dy.p(), Variance: variance.w(), Gamma: s.gamma.w(), Y: dx.p(), N: uint32(n), Channels: uint32(s.channels), Epsilon: l.Epsilon}
		})
	})
}

// invert makes 1/√(variance+ε) of a moving variance, for the gradient of γ in inference mode, which only a trace asks for.
func (c *compiler) invert(s *normState, variance *param, to *buffer) error {
	v := make([]float32, s.channels)
	if err := download(c.d, v, cu.DevicePtr(variance.w())); err != nil {
		return err
	}
	for k := range v {
		v[k] = float32(1 / math.Sqrt(float64(v[k])+s.epsilon))
	}
	return upload(c.d, cu.DevicePtr(to.p()), v)
}
