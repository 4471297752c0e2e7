package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// front is a network's first layers where they are a convolution of the input with its pool, and a wide dense layer that reads the
// pooled output. Both are cut at the same positions: a shard is a run of positions of the pooled output in every image of the batch,
// with the dense layer's weights for them. The worker that owns a shard gathers its part of the images and keeps the convolution's
// output, the weights and their gradients in its own cache for the whole of a step; workers exchange sums alone.
type front struct {
	conv, dense *block
	bounds      []int // of the shards, in positions of the pooled output
	pieces      []piece
	first       []int // piece of each shard, and the number of pieces
	v           model.Window
	poolRows    int // of a window
	inRow       int // elements of a row of the input
	channels    int // of the pooled output

	gather *gatherer
	x      *buffer // the input of all groups, as far as the worker has gathered it
	stride int     // floats of x from one group to the next
	state  [][]gathered
	dx     *buffer // the gradient at the pooled output, of a worker's shard
	most   int     // elements of a shard
}

// gathered says which elements of a group a worker has gathered in a step.
type gathered struct{ serial, lo, hi int }

// newFront finds the network's front; it is nil where there is none.
func (c *compiler) newFront(blocks []block) *front {
	if c.purpose.mode != training || c.purpose.unfused || len(blocks) < 3 || c.spec.Training.Augment != (device.Augment{}) {
		return nil
	}
	f := &front{conv: &blocks[0], dense: &blocks[2]}
	first := &c.net.Nodes[f.conv.nodes[0]]
	l, ok := first.Layer.(model.Conv2D)
	if !ok || first.Inputs[0] != model.Input || f.conv.pool(c.net) == nil || c.algorithm(l, first.In[0]) != sumOverTaps {
		return nil
	}
	flat, out := blocks[1].nodes[0], f.conv.last()
	if _, ok := c.net.Nodes[flat].Layer.(model.Flatten); !ok {
		return nil
	}
	dense, ok := c.net.Nodes[f.dense.nodes[0]].Layer.(model.Dense)
	if !ok || c.net.Nodes[out].Out.Size()*dense.Units < frontWeights {
		return nil
	}
	for i, node := range c.net.Nodes {
		for _, in := range node.Inputs {
			if in == model.Input && i != f.conv.nodes[0] || in == out && i != flat || in == flat && i != f.dense.nodes[0] {
				return nil
			}
		}
	}
	pooled := c.net.Nodes[out].Out
	if pooled[0]*pooled[1] < maxSets {
		return nil
	}
	f.channels = pooled[2]
	f.cut(pooled[0], pooled[1], maxSets)
	f.v, _ = l.Windows(first.In[0])
	switch p := f.conv.pool(c.net).(type) {
	case model.MaxPool2D:
		f.poolRows = p.PoolSize.H
	case model.AveragePool2D:
		f.poolRows = p.PoolSize.H
	default: // pool gives no other
	}
	f.inRow = c.net.Input[1] * c.net.Input[2]
	f.gather = c.newGatherer()
	f.stride = (f.gather.size + 5) * kernel.Lanes
	f.x = c.global(model.InputName, f.stride*c.plan.groups, perWorker)
	c.vals[slot(model.Input)] = f.x
	for range c.prog.workers {
		f.state = append(f.state, make([]gathered, c.plan.groups, c.plan.groups+8)) // no two on a cache line
	}
	return f
}

// cut makes shards of so many rows of cols positions. A cut row costs a few more calls of kernels, so that shards begin with a whole
// row where they can; only halves and quarters, which 2 and 4 workers get, are as large as each other to a position.
func (f *front) cut(rows, cols, shards int) {
	for s := range shards + 1 {
		at := rows * cols * s / shards
		if row := (at + cols/2) / cols * cols; s*4%shards != 0 && row > rows*cols*(s-1)/shards && row < rows*cols*(s+1)/shards {
			at = row
		}
		f.bounds = append(f.bounds, at)
	}
	for s := range shards {
		f.first = append(f.first, len(f.pieces))
		f.most = max(f.most, (f.bounds[s+1]-f.bounds[s])*f.channels)
		for at := f.bounds[s]; at < f.bounds[s+1]; {
			row := at / cols
			end := min((row+1)*cols, f.bounds[s+1])
			f.pieces = append(f.pieces, piece{row, at - row*cols, end - row*cols})
			at = end
		}
	}
	f.first = append(f.first, len(f.pieces))
}

// elements are the bounds of a shard in the elements of a flat output.
func (f *front) elements() []int {
	var all []int
	for _, at := range f.bounds {
		all = append(all, at*f.channels)
	}
	return all
}

// needs is which elements of the input a shard reads, in whole groups of pixels.
func (f *front) needs(shard, channels int) (lo, hi int) {
	unit := 8 * channels
	top, bottom := f.pieces[f.first[shard]].row, f.pieces[f.first[shard+1]-1].row+1
	first := top*f.poolRows*f.v.Stride - f.v.Before
	last := (bottom*f.poolRows-1)*f.v.Stride - f.v.Before + f.v.Extent()
	lo = max(0, first) * f.inRow / unit * unit
	hi = (min(f.v.In, last)*f.inRow + unit - 1) / unit * unit
	return lo, min(hi, f.gather.size)
}

// input is group g's input, whose elements lo to hi are there. Neighbouring shards share elements: what the worker has gathered in
// this step already is kept.
func (f *front) input(w *worker, g, lo, hi int) []float32 {
	x := f.x.at(w, 0)[g*f.stride:][:f.gather.size*kernel.Lanes]
	have := &f.state[w.id][g]
	if have.serial != w.step.serial {
		if g == 0 && f.gather.prefetches && have.hi > have.lo && w.step.set.Pixels != nil {
			w.expectPart(have.lo, have.hi)
		}
		*have = gathered{serial: w.step.serial}
	}
	if lo > have.hi || hi < have.lo || have.lo == have.hi {
		have.lo, have.hi = lo, lo
	}
	if hi > have.hi {
		f.gather.part(w, g, have.hi, hi, x[have.hi*kernel.Lanes:hi*kernel.Lanes])
		have.hi = hi
	}
	if lo < have.lo {
		f.gather.part(w, g, lo, have.lo, x[lo*kernel.Lanes:have.lo*kernel.Lanes])
		have.lo = lo
	}
	return x
}

// eachGroup calls do for every group of a shard with its pieces and the group's input.
func (f *front) eachGroup(w *worker, shard, lo, hi int, do func(w *worker, g, from, to int, x []float32)) {
	w.set, w.chunk = 0, shard
	for g := range w.step.groups {
		do(w, g, f.first[shard], f.first[shard+1], f.input(w, g, lo, hi))
	}
}

// forward emits the convolution, whose bands are the pieces.
func (f *front) forward(c *compiler, task device.Task, uses []*buffer, bands func(w *worker, g, from, to int, x []float32)) {
	task.Name = c.gatherName(nil) + "+" + task.Name
	channels := c.net.Input[2]
	c.shard(shardTask{task, uses, func(w *worker, s int) {
		lo, hi := f.needs(s, channels)
		f.eachGroup(w, s, lo, hi, bands)
	}})
}

// backward emits the convolution's gradients.
func (f *front) backward(c *compiler, task device.Task, uses []*buffer, g *convGrad, bands func(w *worker, n, from, to int, x, dy []float32)) {
	g.inShards(len(f.bounds) - 1)
	channels := c.net.Input[2]
	c.shard(shardTask{task, append(uses, f.dx), func(w *worker, s int) {
		lo, hi := f.needs(s, channels)
		w.first = true
		w.chunk = s
		g.begin(w)
		dx := f.dx.at(w, 0)
		f.eachGroup(w, s, lo, hi, func(w *worker, n, from, to int, x []float32) {
			bands(w, n, from, to, x, dx[n*f.most*kernel.Lanes:][:f.most*kernel.Lanes])
		})
		w.last = true
		g.end(w)
	}})
	c.endShards(len(f.bounds) - 1)
}
