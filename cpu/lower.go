package cpu

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/device/backend"
	"gcnn/model"
)

// compile makes a plan of a program's network.
func (prog *program) compile(purpose purpose) (*plan, error) {
	batch := prog.spec.Batch
	if purpose.mode == inference {
		batch = kernel.Lanes // a group at a time
	}
	groups := (batch + kernel.Lanes - 1) / kernel.Lanes
	d := division{groups, min(groups, maxSets)}
	if purpose.few > 0 {
		batch = purpose.few
		d = division{batch, batch}
	}
	c := &compiler{
		k: prog.k, prog: prog, net: prog.net, spec: prog.spec, purpose: purpose,
		plan: &plan{batch: batch, division: d}, division: d,
		vals:  make([]*buffer, len(prog.net.Nodes)+1),
		dense: map[int]*denseState{}, conv: map[int]*convState{}, pools: map[int]*poolState{}, norms: map[int]*normState{},
		masks: map[int]*buffer{}, gemmCache: map[string]*kernel.Gemm{}, windowCache: map[string]*kernel.Window{},
	}
	if purpose.few > 0 {
		return c.channelPlan()
	}
	c.grads = backend.NewGradients(c.net, purpose.mode == training, purpose.mode == tracing, c.gradient, c.gradientSum)
	blocks := fuse(c.net, purpose)
	if !purpose.across {
		c.front = c.newFront(blocks)
	}
	switch {
	case purpose.across:
		c.startAcross()
	case c.front == nil:
		c.gather()
	default:
		c.purpose.spread = false // what is left has no chunks
	}
	for i := range blocks {
		c.forward(&blocks[i])
	}
	if purpose.across {
		c.maps(c.isMap(len(c.net.Nodes) - 1))
	}
	c.loss()
	if purpose.mode != inference {
		for i := len(blocks) - 1; i >= 0; i-- {
			c.backward(&blocks[i])
		}
	}
	c.plan.vals, c.plan.grads, c.plan.packed = c.vals, c.grads, c.wide.packed
	c.plan.output = c.vals[slot(len(c.net.Nodes)-1)]
	if purpose.mode == inference && purpose.spread {
		c.plan.output.pinned = true // it is read when all workers are done
	}
	return c.finish()
}

// spreads reports whether a batch of so many sets of groups leaves too many workers idle unless its plan is spread.
func spreads(sets, workers int) bool {
	rounds := (sets + workers - 1) / workers
	return 10*sets < 7*rounds*workers
}

// forward emits the tasks of a block's forward pass.
func (c *compiler) forward(b *block) {
	if c.purpose.across && c.forwardAcross(b) {
		return
	}
	i := b.nodes[0]
	node := &c.net.Nodes[i]
	switch l := node.Layer.(type) {
	case model.Conv2D:
		if d, ok := c.asDense(b, l); ok {
			c.denseForward(b, d)
		} else {
			c.convForward(b, l)
		}
	case model.MaxPool2D:
		c.maxPoolForward(i, l.PoolSize, l.Windows)
	case model.AveragePool2D:
		c.averagePoolForward(i, l.Windows)
	case model.GlobalMaxPool2D:
		c.maxPoolForward(i, model.Size{H: node.In[0][0], W: node.In[0][1]}, globalWindows)
	case model.GlobalAveragePool2D:
		c.averagePoolForward(i, globalWindows)
	case model.Flatten:
		c.vals[slot(i)] = c.vals[slot(node.Inputs[0])]
	case model.Dense:
		c.denseForward(b, fullyConnected{node.In[0][0], l.Units, l.Activation})
	case model.Activation:
		c.activationForward(i, l)
	case model.BatchNormalization:
		c.batchNormForward(b, l)
	case model.Dropout:
		c.dropoutForward(i, l)
	case model.LocalResponseNormalization:
		c.lrnForward(i, l)
	case model.ZeroPadding2D:
		c.padForward(i, l)
	case model.Add:
		c.addForward(i)
	case model.Concatenate:
		c.concatenateForward(i)
	case model.SeparableConv2D: // two nodes, both Conv2D
	}
}

// backward emits the tasks of a block's backward pass, and leaves the jobs of its parameters for the end of the step.
func (c *compiler) backward(b *block) {
	i := b.nodes[0]
	node := &c.net.Nodes[i]
	if !c.grads.Wanted(i) || c.purpose.across && c.backwardAcross(b) {
		return
	}
	switch l := node.Layer.(type) {
	case model.Conv2D:
		if d, ok := c.asDense(b, l); ok {
			c.denseBackward(b, d)
		} else {
			c.convBackward(b, l)
		}
	case model.MaxPool2D:
		c.maxPoolBackward(i, l.PoolSize, l.Windows)
	case model.AveragePool2D:
		c.averagePoolBackward(i, l.Windows)
	case model.GlobalMaxPool2D:
		c.maxPoolBackward(i, model.Size{H: node.In[0][0], W: node.In[0][1]}, globalWindows)
	case model.GlobalAveragePool2D:
		c.averagePoolBackward(i, globalWindows)
	case model.Flatten:
		c.grads.Pass(node.Inputs[0], c.grads.At(i))
	case model.Dense:
		c.denseBackward(b, fullyConnected{node.In[0][0], l.Units, l.Activation})
	case model.Activation:
		c.activationBackward(i, l)
	case model.BatchNormalization:
		c.batchNormBackward(b, l)
	case model.Dropout:
		c.dropoutBackward(i, l)
	case model.LocalResponseNormalization:
		c.lrnBackward(i, l)
	case model.ZeroPadding2D:
		c.padBackward(i, l)
	case model.Add:
		c.addBackward(i)
	case model.Concatenate:
		c.concatenateBackward(i)
	case model.SeparableConv2D: // two nodes, both Conv2D
	}
}

// buffer makes a buffer of so many floats for each group, or for each worker where one phase alone uses it.
func (c *compiler) buffer(name string, floats int) *buffer {
	b := &buffer{name: name, words: floats, first: -1, division: c.division, single: c.single}
	c.plan.buffers = append(c.plan.buffers, b)
	return b
}

// zeros is memory that stays zero, of at least so many floats.
func (c *compiler) zeros(n int) []float32 {
	if len(c.prog.zeros) < n {
		c.prog.zeros = aligned[float32](n)
	}
	return c.prog.zeros
}

// value makes the buffer of a node's output.
func (c *compiler) value(node int) *buffer {
	b := c.buffer(c.net.Nodes[node].Name, c.net.Nodes[node].Out.Size()*kernel.Lanes)
	b.pinned = c.purpose.mode == tracing
	c.vals[slot(node)] = b
	return b
}

// global makes a buffer with one copy, or with one for each set of groups.
func (c *compiler) global(name string, floats int, s scope) *buffer {
	b := c.buffer(name, floats)
	b.scope, b.fixed = s, true
	return b
}

// task appends a task of each group to the chain.
func (c *compiler) task(t device.Task, uses []*buffer, run func(w *worker, g int)) {
	c.split(t, 1, uses, func(w *worker, g, _ int) { run(w, g) })
}

// split appends a task of each group that can be done in chunks.
func (c *compiler) split(t device.Task, chunks int, uses []*buffer, run func(w *worker, g, chunk int)) {
	index := len(c.plan.tasks)
	c.plan.tasks = append(c.plan.tasks, t)
	c.touch(index, uses)
	c.chain = append(c.chain, chainTask{index, chunks, run})
	if c.purpose.spread {
		c.flush()
	}
}

// maxChunks bounds the chunks of a task. Their number depends on the layer alone.
const maxChunks = 16

// chunkOf is the range of n that chunk k of chunks takes.
func chunkOf(n, k, chunks int) (lo, hi int) { return n * k / chunks, n * (k + 1) / chunks }

// touch notes that a task of the current phase uses buffers.
func (c *compiler) touch(index int, uses []*buffer) {
	for _, b := range uses {
		if b == nil {
			continue
		}
		if b.first < 0 {
			b.first, b.phase = index, len(c.plan.phases)
		}
		b.last, b.lastPhase = index, len(c.plan.phases)
	}
}

// flush ends the chain: what comes next sees all groups.
func (c *compiler) flush() {
	if len(c.chain) > 0 {
		ph := &phase{chain: c.chain, chunks: 1, division: c.division, single: c.single}
		if c.purpose.spread {
			ph.chunks = c.chain[0].chunks
		}
		for _, t := range c.chain {
			ph.cost += c.plan.tasks[t.index].FLOPs / int64(ph.sets*ph.chunks)
		}
		c.plan.phases = append(c.plan.phases, ph)
		c.chain = nil
	}
}

// work is a job in the making.
type work struct {
	device.Task
	uses []*buffer
	run  func(w *worker)
}

// sync ends the chain and runs jobs on the whole batch before the next one.
func (c *compiler) sync(works []work) {
	c.flush()
	if len(works) == 0 {
		return
	}
	ph := &phase{chunks: 1}
	for _, job := range works {
		ph.jobs = append(ph.jobs, c.job(job))
	}
	c.plan.phases = append(c.plan.phases, ph)
}

func (c *compiler) job(wk work) job {
	index := len(c.plan.tasks)
	if index > 0 && c.plan.tasks[index-1].Name == wk.Name { // a shard of the same task
		index--
		c.plan.tasks[index].FLOPs += wk.FLOPs
	} else {
		c.plan.tasks = append(c.plan.tasks, wk.Task)
	}
	c.touch(index, wk.uses)
	return job{parts: []part{{index, wk.run}}, cost: wk.FLOPs}
}

// shardTask is a task that is cut into shards, each of which sees the whole batch.
type shardTask struct {
	device.Task
	uses []*buffer
	run  func(w *worker, shard int)
}

// shard appends a task to those that each shard passes through.
func (c *compiler) shard(t shardTask) { c.shards = append(c.shards, t) }

// endShards ends the chain, and runs the tasks of so many shards before the next one. Jobs that wait for the end of the step, and
// could start now, fill the gaps.
func (c *compiler) endShards(shards int) {
	c.flush()
	ph := &phase{chunks: 1}
	for k := range shards {
		ph.jobs = append(ph.jobs, job{shard: k, of: shards})
	}
	// A worker may run them between two shards: what shards keep there must be in use before and after, in the order of the tasks.
	early := lateSums
	if len(c.late[early]) == 0 {
		early = lateGrads
	}
	for _, wk := range c.late[early] {
		ph.jobs = append(ph.jobs, c.job(wk))
	}
	for _, t := range c.shards {
		index := len(c.plan.tasks)
		c.plan.tasks = append(c.plan.tasks, t.Task)
		c.touch(index, t.uses)
		for k := range shards {
			j := &ph.jobs[k]
			j.parts = append(j.parts, part{index, func(w *worker) { t.run(w, k) }})
			j.cost += t.FLOPs / int64(shards)
		}
	}
	c.late[early], c.shards = nil, nil
	c.plan.phases = append(c.plan.phases, ph)
}

// gradient makes the buffer of a gradient at a node's output.
func (c *compiler) gradient(node int) *buffer {
	b := c.buffer(c.net.NameOf(node)+" gradient", c.net.ShapeOf(node).Size()*kernel.Lanes)
	b.pinned = c.purpose.mode == tracing
	return b
}

// gradientSum emits the sum of two gradients at a node's output.
func (c *compiler) gradientSum(node int, a, b *buffer) *buffer {
	sum := c.gradient(node)
	c.task(device.Task{Name: c.net.NameOf(node) + " gradient sum", Layers: c.layers(node), Kernel: c.kernelName("add")},
		[]*buffer{sum, a, b}, func(w *worker, i int) { c.k.Add(sum.at(w, i), a.at(w, i), b.at(w, i)) })
	return sum
}

func (c *compiler) layers(nodes ...int) []string { return c.net.NamesOf(nodes...) }

// title names a block's task: "conv2d+relu+max_pooling2d forward". A name that says the activation already is enough.
func (c *compiler) title(nodes []int, what string) string {
	var parts []string
	for _, n := range nodes {
		name := c.net.Nodes[n].Name
		parts = append(parts, name)
		if f := model.OutputActivation(c.net.Nodes[n].Layer); f != model.Linear && !strings.Contains(name, f.String()) {
			parts = append(parts, f.String())
		}
	}
	return strings.Join(parts, "+") + " " + what
}

// blockTask is a task of all of a block's layers.
func (c *compiler) blockTask(b *block, what, kern string) device.Task {
	return device.Task{Name: c.title(b.nodes, what), Layers: c.layers(b.nodes...), Kernel: c.kernelName(kern)}
}

func (c *compiler) kernelName(name string) string { return name + " " + string(c.k.Path()) }

// fail keeps an error for finish.
func (c *compiler) fail(err error) {
	if err != nil {
		c.errs = append(c.errs, err)
	}
}

// finish ends the last chain, appends the late jobs, places the buffers and deals the items out to the workers.
func (c *compiler) finish() (*plan, error) {
	if len(c.errs) > 0 {
		return nil, fmt.Errorf("compiling %s: %w", c.net.Name, errors.Join(c.errs...))
	}
	c.flush()
	if c.purpose.mode == training {
		for _, q := range c.net.Params() {
			if q.Trainable {
				c.renewTransforms(c.prog.params[q.Name])
				c.renewRows(c.prog.params[q.Name])
			}
		}
	}
	for _, works := range c.late {
		c.sync(works)
	}
	if c.purpose.mode == training && len(c.plan.phases) == 1 {
		c.plan.phases = append(c.plan.phases, &phase{chunks: 1}) // nothing is learnt, but the step's end must come after all losses
	}
	p := c.plan
	for _, b := range p.buffers {
		if b.first < 0 { // no task uses it
			b.words, b.first, b.phase = 0, 0, 0
		}
		if !b.fixed && b.phase == b.lastPhase && !b.pinned && p.phases[b.phase].chain != nil {
			b.scope = perWorker
		}
	}
	p.losses = make([]kernel.Scores, p.groups)
	p.words = place(p.buffers, c.prog.workers)
	for _, f := range c.placed {
		if err := f(); err != nil {
			return nil, fmt.Errorf("compiling %s: %w", c.net.Name, err)
		}
	}
	for _, ph := range p.phases {
		ph.deal(c.prog.workers)
	}
	return p, nil
}

// deal gives each item of a phase an owner, the same in every step, so that what a worker wrote is in its own cache when it
// reads it again: sets of groups in turn, shards in order, other jobs by cost to whoever has least to do.
func (ph *phase) deal(workers int) {
	if ph.chain != nil {
		ph.owners, ph.claims = make([]int, ph.sets*ph.chunks), make([]claim, ph.sets*ph.chunks)
		for i := range ph.owners {
			ph.owners[i] = i % workers
		}
		return
	}
	ph.owners, ph.claims = make([]int, len(ph.jobs)), make([]claim, len(ph.jobs))
	order := make([]int, len(ph.jobs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(ph.jobs[b].cost, ph.jobs[a].cost) })
	load := make([]int64, workers)
	for i, j := range ph.jobs {
		if j.of > 0 {
			ph.owners[i] = j.shard * workers / j.of
			load[ph.owners[i]] += j.cost + 1
		}
	}
	for _, i := range order {
		if ph.jobs[i].of > 0 {
			continue
		}
		least := 0
		for w := range load {
			if load[w] < load[least] {
				least = w
			}
		}
		ph.owners[i] = least
		load[least] += ph.jobs[i].cost + 1
	}
}
