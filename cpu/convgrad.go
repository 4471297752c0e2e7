package cpu

import (
	"gcnn/cpu/kernel"
)

// convGrad sums the gradients of a convolution's kernel and bias over bands of rows, for each set of groups.
type convGrad struct {
	c          *compiler
	bank       *filterBank
	kern, bias *param
	winograd   *winogradGrad // nil: as a sum over taps
	rows       *rowGrad      // the same
	lanes      bool          // the lanes of the kernel's sums are samples, else outputs
	acc        *buffer
	biasAcc    *buffer
	sums       *buffer // of acc's lanes, where those are samples
	biasSums   *buffer
	turned     *buffer // dz with samples before filters, where the lanes are outputs
	bands      []gradBand
	chunks     int // of the bands of a group, whose sums are kept apart
	shards     int // of the bands of all groups instead, 0 for none
	uses       []*buffer
	flops      int64 // of a group
	kernel     string
}

// minParts is how many partial sums of a convolution's gradients there are at least, where it has enough rows.
const minParts = 4

// parts is the number of partial sums that a step has made.
func (g *convGrad) parts(w *worker) int {
	if g.shards > 0 {
		return g.shards
	}
	return g.c.plan.activeSets(w.step.groups) * g.chunks
}

// inShards keeps the sums of shards apart instead of those of sets of groups.
func (g *convGrad) inShards(n int) {
	g.shards = n
	for _, b := range []*buffer{g.acc, g.biasAcc, g.sums, g.biasSums} {
		if b != nil {
			b.scope, b.chunks = perShard, n
		}
	}
	if g.turned != nil {
		g.turned.scope, g.turned.fixed = perWorker, true
	}
}

// gradRows says how the rows of the output are cut into bands.
type gradRows struct {
	rows   int
	height int       // of a band, but by Winograd's algorithm, whose bands are
	align  int       // a multiple of so many rows
	pool   *bandPool // of the output, or nil
	pieces []piece   // the bands are those instead, unless nil
	pooled bool      // a band is a row of windows or a piece of it, whose gradient is that behind the pool
}

// gradBand is rows lo to hi of the output, or a piece's columns of them.
type gradBand struct {
	lo, hi int
	pool   *bandPool // of the band's rows or piece, where a pool follows
	lanes  []gradLanesCall
	outer  []gradOuterCall
	pooled []windowGradCall
}

type gradLanesCall struct {
	g         *kernel.GradLanes
	acc, x, y int
	rows      int
}

type gradOuterCall struct {
	g        *kernel.GradOuter
	dw, x, y int
	rows     int
}

// windowGradCall begins at the band's first window. Offsets are in floats, those of the output from the window's.
type windowGradCall struct {
	g               *kernel.WindowGrad
	acc, bias, x, y int
}

// newConvGrad prepares the sums over bands of rows of the output. kern and bias are nil or frozen where no gradient of theirs is wanted.
func (c *compiler) newConvGrad(node int, b *filterBank, kern, bias *param, by algorithm, r gradRows) *convGrad {
	name := c.net.Nodes[node].Name
	g := &convGrad{c: c, bank: b, kern: kern, bias: bias, lanes: kernel.PreferLanes(b.fg), kernel: "unpool"}
	ld := kernel.Padded(b.fg)
	if bias.trains() {
		g.biasAcc = c.global(name+" bias vectors", b.filters*kernel.Lanes, perSet)
		g.biasSums = c.global(name+" bias sums", b.filters, perSet)
		g.uses = append(g.uses, g.biasAcc, g.biasSums)
	}
	whole := b.forwardSlide()
	switch {
	case kern.trains() && by == winogradTiles:
		g.kernel = "winograd"
		g.winograd, r.height = c.newWinogradGrad(name, b, r.rows, r.align)
		g.uses = append(g.uses, g.winograd.uses()...)
		g.flops = whole.flops()
		if !g.winograd.whole {
			g.acc = g.winograd.acc
		}
	case kern.trains() && by == winogradRows:
		g.kernel = "winograd"
		g.rows, r.height = c.newRowGrad(name, b, r.rows, r.align, c.conv[node].rows)
		g.uses = append(g.uses, g.rows.uses()...)
		g.flops = whole.flops()
		g.acc = g.rows.acc
	case kern.trains():
		g.kernel = "grad_outer"
		if g.lanes {
			g.kernel = "grad_lanes"
			if r.pooled {
				g.kernel = "grad_windows"
			}
			g.acc = c.global(name+" kernel vectors", b.weightCount*kernel.Lanes, perSet)
			g.sums = c.global(name+" kernel sums", b.weightCount, perSet)
		} else {
			g.acc = c.global(name+" kernel sums", b.weightCount, perSet)
			g.turned = c.buffer(name+" turned band", min(r.height, r.rows)*b.outW*b.groups*ld*kernel.Lanes)
		}
		g.uses = append(g.uses, g.acc, g.sums, g.turned)
	}
	band := func(lo, hi int, pool *bandPool, part slide) {
		bd := gradBand{lo: lo, hi: hi, pool: pool}
		switch {
		case r.pooled:
			bd.pooled = c.windowGrads(b, pool, lo, part)
			for _, q := range bd.pooled {
				g.flops += q.g.Flops(1)
			}
		case kern.trains() && g.winograd == nil && g.rows == nil:
			for _, r := range part.regions(lo, hi) {
				if len(r.taps) > 0 {
					g.call(&bd, r, ld)
				}
			}
		}
		g.bands = append(g.bands, bd)
	}
	if r.pieces == nil {
		for lo := 0; lo < r.rows; lo += r.height {
			band(lo, min(lo+r.height, r.rows), r.pool, whole)
		}
	}
	for _, p := range r.pieces {
		band(p.row*r.pool.v.Kernel, (p.row+1)*r.pool.v.Kernel, r.pool.piece(c, p.from, p.to), whole.columns(r.pool.columns(p.from, p.to)))
	}
	// With few groups, several chunks of rows make parts that workers can share. Their number depends on the batch alone.
	g.chunks = max(1, min(len(g.bands), minParts/c.plan.sets))
	for _, b := range []*buffer{g.acc, g.biasAcc, g.sums, g.biasSums} {
		if b != nil {
			b.chunks = g.chunks
		}
	}
	return g
}

// call makes the kernel of a region.
func (g *convGrad) call(bd *gradBand, r region, ld int) {
	b := g.bank
	spec := kernel.GradSpec{Grid: r.grid, Taps: r.taps, Outs: b.fg}
	g.flops += spec.Flops(r.rows)
	if g.lanes {
		k, err := g.c.k.NewGradLanes(spec)
		if err != nil {
			g.c.fail(err)
			return
		}
		bd.lanes = append(bd.lanes, gradLanesCall{
			k, r.group * b.kernelRows * b.fg * kernel.Lanes, r.x * kernel.Lanes, r.y * kernel.Lanes, r.rows,
		})
		return
	}
	// Turned, a position has ld vectors, and the groups follow each other.
	spec.YRow, spec.YCol = spec.YRow/b.filters*ld, spec.YCol/b.filters*ld
	k, err := g.c.k.NewGradOuter(spec, b.filters)
	if err != nil {
		g.c.fail(err)
		return
	}
	position := (r.y - r.group*b.fg) / b.filters
	y := (r.group*(bd.hi-bd.lo)*b.outW + position) * ld * kernel.Lanes
	bd.outer = append(bd.outer, gradOuterCall{k, r.group * b.fg, r.x * kernel.Lanes, y, r.rows})
}

// mostRows is the rows of the largest band.
func (g *convGrad) mostRows() int {
	rows := 0
	for i := range g.bands {
		rows = max(rows, g.bands[i].hi-g.bands[i].lo)
	}
	return rows
}

// begin zeroes the sums at the first group of a set.
func (g *convGrad) begin(w *worker) {
	if !w.first {
		return
	}
	if g.acc != nil {
		clear(g.acc.at(w, 0))
	}
	if g.biasAcc != nil {
		clear(g.biasAcc.at(w, 0))
	}
}

// end adds the lanes after the last group of a set, so that workers exchange few numbers.
func (g *convGrad) end(w *worker) {
	if !w.last {
		return
	}
	if g.sums != nil {
		g.c.k.ReduceLanes(g.sums.at(w, 0), g.acc.at(w, 0), g.bank.weightCount, 1, 0, kernel.Lanes)
	}
	if g.biasSums != nil {
		g.c.k.ReduceLanes(g.biasSums.at(w, 0), g.biasAcc.at(w, 0), g.bank.filters, 1, 0, kernel.Lanes)
	}
}

// pooledRows adds rows rows of windows from band k on. The pooled gradient dy and argmax begin at the band, x with the image.
func (g *convGrad) pooledRows(w *worker, k int, x, dy []float32, arg []uint8, rows int) {
	acc := g.acc.at(w, 0)
	for i := range g.bands[k].pooled {
		q := &g.bands[k].pooled[i]
		var bias []float32
		if g.biasAcc != nil {
			bias = g.biasAcc.at(w, 0)[q.bias:]
		}
		q.g.Do(acc[q.acc:], bias, x[q.x:], dy[q.y:], arg[q.y:], rows)
	}
}

// band adds band k of group n of the gradient at the sums, grad, which meets the whole input x.
func (g *convGrad) band(w *worker, n, k int, x, grad []float32) {
	b, bd := g.bank, &g.bands[k]
	positions := (bd.hi - bd.lo) * b.outW
	if g.biasAcc != nil {
		acc := g.biasAcc.at(w, 0)
		add := func(lo, hi int) {
			g.c.k.AddPositions(acc, grad[lo:hi], b.filters, b.filters, (hi-lo)/(b.filters*kernel.Lanes))
		}
		if bd.pool == nil {
			add(0, len(grad))
		} else {
			bd.pool.eachRow(grad, b.outW*b.filters*kernel.Lanes, add)
		}
	}
	if g.winograd != nil {
		g.winograd.band(w, n, k, bd.lo, x, grad)
		return
	}
	if g.rows != nil {
		g.rows.band(w, n, k, x, grad)
		return
	}
	if g.acc == nil {
		return
	}
	acc := g.acc.at(w, 0)
	if g.lanes {
		for i := range bd.lanes {
			q := &bd.lanes[i]
			q.g.Do(acc[q.acc:], x[q.x:], grad[q.y:], q.rows)
		}
		return
	}
	turned := g.turned.at(w, 0)
	ld := kernel.Padded(b.fg)
	if b.groups == 1 {
		g.c.k.ToSamples(turned, grad, b.fg, ld, positions)
	} else {
		for grp := range b.groups {
			for p := range positions {
				g.c.k.ToSamples(turned[(grp*positions+p)*ld*kernel.Lanes:], grad[(p*b.filters+grp*b.fg)*kernel.Lanes:], b.fg, ld, 1)
			}
		}
	}
	for i := range bd.outer {
		q := &bd.outer[i]
		q.g.Do(acc[q.dw:], x[q.x:], turned[q.y:], q.rows, true)
	}
}

// finish leaves the jobs that add the sets and update the parameters.
func (g *convGrad) finish(node int) {
	c, b := g.c, g.bank
	name := c.net.Nodes[node].Name
	if g.biasAcc != nil {
		c.learn(g.bias, 1, b.filters, 1, int64(b.filters*c.plan.sets*g.chunks), []*buffer{g.biasSums}, func(int) fillFunc {
			return func(w *worker, dst []float32, _ int) {
				c.k.SumShards(dst, g.biasSums.mem, g.parts(w), g.biasSums.stride)
			}
		})
	}
	if g.winograd != nil || g.rows != nil {
		finish := func() ([]*buffer, func(int) fillFunc) { return g.rows.finish(g.parts, c.layers(node)) }
		if g.winograd != nil {
			finish = func() ([]*buffer, func(int) fillFunc) { return g.winograd.finish(g.parts, c.layers(node)) }
		}
		uses, fill := finish()
		c.learn(g.kern, b.kernelRows, b.filters, b.cg, int64(b.weightCount), uses, fill)
		return
	}
	if g.acc == nil {
		return
	}
	sums := g.acc
	if g.lanes {
		sums = g.sums
	}
	uses := []*buffer{sums}
	var part *buffer
	if g.lanes && b.groups > 1 {
		part = c.global(name+" group sums", b.kernelRows*b.fg, perWorker)
		uses = append(uses, part)
	}
	c.learn(g.kern, b.kernelRows, b.filters, b.cg, int64(b.weightCount*c.plan.sets*g.chunks), uses, func(rows int) fillFunc {
		return func(w *worker, dst []float32, lo int) {
			parts := g.parts(w)
			if part == nil {
				c.k.SumShards(dst, sums.mem[lo*b.filters:], parts, sums.stride)
				return
			}
			for grp := range b.groups { // whose sums lie one group after the other
				sum := part.at(w, 0)[:rows*b.fg]
				c.k.SumShards(sum, sums.mem[(grp*b.kernelRows+lo)*b.fg:], parts, sums.stride)
				for r := range rows {
					copy(dst[r*b.filters+grp*b.fg:][:b.fg], sum[r*b.fg:])
				}
			}
		}
	})
}
