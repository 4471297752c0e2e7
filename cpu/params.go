package cpu

import (
	"math"

	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// param is a parameter in a program: its values in Keras' layout, and what goes with them.
type param struct {
	model.Param
	slots []string // the optimiser's, of trainable parameters
	w     []float32
	s     [2][]float32 // values of the slots

	averages bool      // EMA
	average  []float32 // of w
	grad     []float32 // where plans keep the whole gradient: in traces and with clipping
	moved    []float32 // what a trace would make of a moving statistic

	copies     []*kernelCopy  // of a convolution's kernel, for products
	transforms []*transformed // the same, for Winograd's algorithm
	rows       *rowKernel     // the same, along rows; nil where there is none
	copied     int            // floats of grad and of all copies
}

// trains reports whether a gradient is wanted of a parameter, which may be nil.
func (p *param) trains() bool { return p != nil && p.Trainable }

func newParam(p model.Param, spec device.Plan) *param {
	q := &param{Param: p}
	if spec.Training != nil && p.Trainable {
		q.slots, q.averages = spec.Training.Optimizer.Slots(), spec.Training.EMA.Momentum > 0
	}
	return q
}

// kept is the number of arrays that go with the parameter from step to step: slots and the average.
func (p *param) kept() int {
	if p.averages {
		return len(p.slots) + 1
	}
	return len(p.slots)
}

// bytes is what the parameter's own values, its slots and its gradients take.
func (p *param) bytes() (values, slots, grads int64) {
	n := 4 * int64(p.Size())
	copied := p.copied
	if p.rows != nil {
		for i := range p.rows.planes {
			copied += p.rows.planes[i].copied
		}
	}
	return n, n * int64(p.kept()), 4 * int64(copied)
}

// param is the parameter of a node with a role, nil where there is none.
func (c *compiler) param(node int, role model.Role) *param {
	for _, p := range c.net.Nodes[node].Params {
		if p.Role == role {
			return c.prog.params[p.Name]
		}
	}
	return nil
}

// fillFunc computes rows of a parameter's gradient from row lo on into dst.
type fillFunc func(w *worker, dst []float32, lo int)

// fusedFunc computes the same into g, which has kernel.UpdateSlack floats more, and updates the rows' parameters wt and slots.
type fusedFunc func(w *worker, wt, g, s1, s2 []float32, lo int)

// Shards of a parameter's gradient and update are as many as its size asks for, whatever the number of workers; a block of
// rows goes from its sums to its update while it is in the first level of cache.
const (
	shardFloats = 4 << 10
	maxShards   = 16
	blockFloats = 2 << 10

	minBlockRows = 8 // of a block: as many rows share what is loaded of the gradient at the outputs
)

// learn leaves the jobs that compute the gradient of a parameter of rows × width elements, and update it. Shards begin at
// multiples of unit rows. fill makes the function that computes so many rows.
func (c *compiler) learn(p *param, rows, width, unit int, flops int64, uses []*buffer, fill func(rows int) fillFunc) {
	c.learnShards(p, shardBounds(rows, width, unit), 0, width, flops, uses, fill)
}

// shardBounds are where the shards of rows × width elements begin and end, at multiples of unit rows.
func shardBounds(rows, width, unit int) []int {
	units := rows / unit
	shards := max(1, min(rows*width/shardFloats, maxShards, units))
	bounds := make([]int, shards+1)
	for s := range bounds {
		bounds[s] = units * s / shards * unit
	}
	return bounds
}

// learnShards is learn with given shards, and blocks of so many rows where block is not 0.
func (c *compiler) learnShards(p *param, bounds []int, block, width int, flops int64, uses []*buffer, fill func(rows int) fillFunc) {
	c.leave(c.learner(p, bounds, block, width, flops, uses, fill, nil), len(bounds)-1)
}

// leave leaves a learner's shards as jobs for the end of the step.
func (c *compiler) leave(t shardTask, shards int) {
	t.FLOPs /= int64(shards)
	for s := range shards {
		c.later(lateGrads, work{Task: t.Task, uses: t.uses, run: func(w *worker) { t.run(w, s) }})
	}
}

// learner is the task that computes the gradient of a parameter's rows from bounds[s] to bounds[s+1] in shard s, and updates them.
// Where updates need all gradients, they are left as jobs for the end of the step.
//
// block is the rows of a block, 0 for what the first level of cache holds. fuse, which may be nil, does what fill does with the update in one go.
func (c *compiler) learner(p *param, bounds []int, block, width int, flops int64, uses []*buffer, fill func(rows int) fillFunc, fuse func(rows int) fusedFunc) shardTask {
	made := map[int]fillFunc{}
	fillOf := func(n int) fillFunc {
		if made[n] == nil {
			made[n] = fill(n)
		}
		return made[n]
	}
	task := device.Task{Name: p.Name + " gradient", Layers: c.layersOf(p), Kernel: c.kernelName("gradient"), FLOPs: flops}
	rows := bounds[len(bounds)-1]
	if c.keepsGradients() {
		if p.grad == nil {
			p.grad = c.prog.floats(rows * width)
			p.copied += rows * width
		}
		fills, first := make([]fillFunc, len(bounds)-1), len(c.plan.norms)
		for s := range fills {
			lo, hi := bounds[s], bounds[s+1]
			fills[s] = fillOf(hi - lo)
			c.plan.norms = append(c.plan.norms, 0)
			if c.purpose.mode == training {
				c.later(lateUpdates, work{Task: device.Task{Name: p.Name + " update", Layers: task.Layers, Kernel: c.kernelName("update")}, run: func(w *worker) {
					w.clipped = w.step.update
					w.clipped.Scale = c.plan.clip(c.spec.Training.ClipNorm)
					c.update(w, &w.clipped, p, lo, hi, width, p.grad[lo*width:hi*width])
					p.renewed(lo, hi)
				}})
			}
		}
		return shardTask{task, uses, func(w *worker, s int) {
			g := p.grad[bounds[s]*width : bounds[s+1]*width]
			fills[s](w, g, bounds[s])
			c.plan.norms[first+s] = c.k.SumSquares(g)
		}}
	}

	task.Name = p.Name + " gradient and update"
	most := 0
	for s := range len(bounds) - 1 {
		most = max(most, bounds[s+1]-bounds[s])
	}
	if block == 0 {
		block = max(minBlockRows, blockFloats/width)
	}
	block = min(most, block)
	if fuse == nil { // first the one, then the other
		fuse = func(rows int) fusedFunc {
			fill := fillOf(rows)
			return func(w *worker, wt, g, s1, s2 []float32, lo int) {
				fill(w, g[:len(wt)], lo)
				c.k.Update(&w.step.update, wt, g[:len(wt)], s1, s2)
			}
		}
	} else { // larger ones, since what is updated lags behind
		block = min(most, max(kernel.UpdateRows, 3*blockFloats/width/kernel.UpdateRows*kernel.UpdateRows))
	}
	blocks, tails := make([]fusedFunc, len(bounds)-1), make([]fusedFunc, len(bounds)-1)
	ready := map[int]fusedFunc{}
	fuseOf := func(n int) fusedFunc {
		if ready[n] == nil {
			ready[n] = fuse(n)
		}
		return ready[n]
	}
	for s := range blocks {
		n := bounds[s+1] - bounds[s]
		if n >= block {
			blocks[s] = fuseOf(block)
		}
		if n%block != 0 {
			tails[s] = fuseOf(n % block)
		}
	}
	scratch := c.global(p.Name+" block", block*width+kernel.UpdateSlack, perWorker)
	return shardTask{task, append([]*buffer{scratch}, uses...), func(w *worker, s int) {
		lo, hi := bounds[s], bounds[s+1]
		for a := lo; a < hi; a += block {
			n, f := block, blocks[s]
			if a+n > hi {
				n, f = hi-a, tails[s]
			}
			s1, s2 := p.slotRows(a, a+n, width)
			f(w, p.w[a*width:(a+n)*width], scratch.at(w, 0)[:n*width+kernel.UpdateSlack], s1, s2, a)
			c.average(w, p, a, a+n, width)
		}
		p.renewed(lo, hi)
	}}
}

// keepsGradients reports whether gradients are there as a whole: in a trace, and where updates need all of them.
func (c *compiler) keepsGradients() bool {
	return c.purpose.mode == tracing || c.spec.Training.ClipNorm > 0
}

// update applies an optimiser's step to rows lo to hi, and takes them into their average.
func (c *compiler) update(w *worker, u *kernel.Update, p *param, lo, hi, width int, g []float32) {
	s1, s2 := p.slotRows(lo, hi, width)
	c.k.Update(u, p.w[lo*width:hi*width], g, s1, s2)
	c.average(w, p, lo, hi, width)
}

// average takes rows lo to hi into their average.
func (c *compiler) average(w *worker, p *param, lo, hi, width int) {
	if p.averages && c.spec.Training.EMA.Due(w.step.number) {
		c.k.Update(&c.prog.averaging, p.average[lo*width:hi*width], p.w[lo*width:hi*width], nil, nil)
	}
}

// slotRows are rows lo to hi of the slots; nil where there are none.
func (p *param) slotRows(lo, hi, width int) (s1, s2 []float32) {
	if p.s[0] != nil {
		s1 = p.s[0][lo*width : hi*width]
	}
	if p.s[1] != nil {
		s2 = p.s[1][lo*width : hi*width]
	}
	return s1, s2
}

// averaging is average −= rest·average; average += rest·w as a step of gradient descent: average = momentum·average + rest·w.
func averaging(e device.EMA) kernel.Update {
	rest := device.Complement(e.Momentum)
	return kernel.Update{Rule: kernel.SGD, Rate: -rest, Decay: rest, Scale: 1}
}

// useAverage puts the averaged weights, where there are any, in the place of the weights, and returns what puts them back. It
// moves values: plans know the addresses.
func (p *program) useAverage() (restore func()) {
	swap := func() {
		for _, q := range p.params {
			for i, v := range q.average {
				q.average[i], q.w[i] = q.w[i], v
			}
			if q.average != nil {
				q.renewAll(p.k)
			}
		}
	}
	swap()
	return swap
}

// renewed brings the copies of rows lo to hi up to date that training steps read; the others wait for a pass that does.
func (p *param) renewed(lo, hi int) {
	for _, k := range p.copies {
		if k.trained {
			k.renew(lo, hi)
		}
	}
}

// clip is the factor that brings the global norm of the gradients down to limit: limit/max(norm, limit).
func (p *plan) clip(limit float32) float32 {
	sum := 0.0
	for _, n := range p.norms {
		sum += n
	}
	return float32(float64(limit) / math.Max(math.Sqrt(sum), float64(limit)))
}

// level says when a job of the step's end is done: a barrier lies between two.
type level int

const (
	lateSums    level = iota // sums that a gradient is made of
	lateGrads                // gradients, with their updates where nothing else is needed
	lateUpdates              // updates that need all gradients
	lateCopies               // copies that need a whole parameter
	levels
)

// later leaves a job for the end of the step.
func (c *compiler) later(level level, wk work) { c.late[level] = append(c.late[level], wk) }

func (c *compiler) layersOf(p *param) []string {
	for _, node := range c.net.Nodes {
		for _, q := range node.Params {
			if q.Name == p.Name {
				return []string{node.Name}
			}
		}
	}
	return nil
}

// rule is an optimiser's formula, with what does not change from step to step.
func rule(o device.Optimizer) kernel.Update {
	u := kernel.Update{Scale: 1}
	switch o := o.(type) {
	case device.SGD:
		u.Rule, u.Mu = kernel.SGD, o.Momentum
		if o.Momentum != 0 {
			u.Rule = kernel.Momentum
		}
		if o.Nesterov {
			u.Rule = kernel.Nesterov
		}
	case device.Adam:
		u.Rule, u.C1, u.C2, u.Epsilon = kernel.Adam, device.Complement(o.Beta1), device.Complement(o.Beta2), o.Epsilon
	case device.RMSprop:
		u.Rule, u.Rho, u.C2, u.Mu, u.Epsilon = kernel.RMSprop, o.Rho, device.Complement(o.Rho), o.Momentum, o.Epsilon
		if o.Momentum != 0 {
			u.Rule = kernel.RMSpropMomentum
		}
	}
	return u
}

// stepUpdate is the update of a step with a learning rate, when so many steps have been taken.
func stepUpdate(base kernel.Update, t *device.Training, rate float32, taken int64) kernel.Update {
	base.Rate = rate
	if adam, ok := t.Optimizer.(device.Adam); ok {
		base.Rate = adam.StepFactor(rate, taken+1)
	}
	if t.WeightDecay != 0 {
		base.Decay = rate * t.WeightDecay
	}
	return base
}
