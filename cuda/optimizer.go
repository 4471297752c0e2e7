//go:build cuda

package cuda

import (
	"gcnn/device"
	"gcnn/kernels"
	"gcnn/model"
)

// learn emits the update of all trainable parameters, which lie one after another, in one call.
func (c *compiler) learn() {
	prog, t, p := c.prog, c.spec.Training, c.plan
	n := prog.trainable
	if n == 0 {
		return
	}
	var layers []string
	for i, node := range c.net.Nodes {
		for _, q := range node.Params {
			if q.Trainable {
				layers = append(layers, c.net.NamesOf(i)...)
				break
			}
		}
	}
	var factor *buffer
	if t.ClipNorm > 0 {
		blocks := kernels.ReductionBlocks(n)
		partials, ticket := c.buffer("squares of gradients", 2*blocks), c.tickets("clipping", 1)
		factor = c.buffer("clipping factor", 1)
		clip := func() launcher {
			return kernels.ClipFactor{G: prog.grads.p(), Partials: partials.p(), Ticket: ticket.p(), Factor: factor.p(), N: uint32(n), Limit: t.ClipNorm}
		}
		c.kernelOf("norm of the gradients", layers, []*buffer{partials, ticket, factor}, clip)
	}
	update := func() launcher {
		w, g, io := prog.weights.p(), prog.grads.p(), &p.io
		switch o := t.Optimizer.(type) {
		case device.SGD:
			nesterov := int32(0)
			if o.Nesterov {
				nesterov = 1
			}
			return kernels.SGD{
				W: w, G: g, Velocity: prog.slots[0].p(), Rates: io.rates, Decays: io.decays, Cursor: io.cursor, Clip: factor.p(), N: uint32(n),
				Momentum: o.Momentum, Nesterov: nesterov,
			}
		case device.Adam:
			return kernels.Adam{
				W: w, G: g, Momentum: prog.slots[0].p(), Velocity: prog.slots[1].p(), Rates: io.rates, Decays: io.decays, Cursor: io.cursor, Clip: factor.p(), N: uint32(n),
				Rest1: device.Complement(o.Beta1), Rest2: device.Complement(o.Beta2), Epsilon: o.Epsilon,
			}
		case device.RMSprop:
			return kernels.RMSprop{
				W: w, G: g, Velocity: prog.slots[0].p(), Momentum: prog.slots[1].p(), Rates: io.rates, Decays: io.decays, Cursor: io.cursor, Clip: factor.p(), N: uint32(n),
				Rho: o.Rho, Rest: device.Complement(o.Rho), Mu: o.Momentum, Epsilon: o.Epsilon,
			}
		}
		return nil // the set of optimisers is closed
	}
	c.kernelOf("update of all weights", layers, []*buffer{factor}, update)
	if e := t.EMA; e.Momentum > 0 {
		c.kernelOf("average of all weights", layers, nil, func() launcher {
			return kernels.EMA{
				Average: prog.average.p(), W: prog.weights.p(), Cursor: p.io.cursor, N: uint32(n), Every: uint32(max(e.Every, 1)),
				Momentum: e.Momentum, Rest: device.Complement(e.Momentum),
			}
		})
	}
}

// rates are what the optimiser's kernel multiplies by in each step: the learning rate, and with Adam its bias correction; and
// the share of the weights that decays, nil without.
func rates(t *device.Training, given []float32, taken int64) (steps, decays []float32) {
	steps = append(steps, given...)
	if adam, ok := t.Optimizer.(device.Adam); ok {
		for k, r := range given {
			steps[k] = adam.StepFactor(r, taken+int64(k)+1)
		}
	}
	if t.WeightDecay != 0 {
		for _, r := range given {
			decays = append(decays, r*t.WeightDecay)
		}
	}
	return steps, decays
}

// param is a parameter in a program: where its values lie among the weights.
type param struct {
	model.Param
	prog      *program
	depthwise bool
	offset    int // in floats, in the weights; of a trainable one in gradients and slots too
	slots     []string
	averaged  bool // its values are those of the average
}

// trains reports whether a gradient is wanted of a parameter, which may be nil.
func (p *param) trains() bool { return p != nil && p.Trainable }

// w is the address of the values, 0 without a parameter.
func (p *param) w() kernels.Pointer {
	if p == nil {
		return 0
	}
	if p.averaged {
		return p.prog.average.at(p.offset)
	}
	return p.prog.weights.at(p.offset)
}

// g is the address of the gradient.
func (p *param) g() kernels.Pointer { return p.prog.grads.at(p.offset) }
