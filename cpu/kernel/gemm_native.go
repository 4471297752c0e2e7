//go:build amd64 || arm64

package kernel

import (
	"slices"
	"unsafe"
)

// gemmArgs is what the assembly of Gemm reads; strides are in bytes. The generator knows the offsets.
type gemmArgs struct {
	y, x, w, bias    unsafe.Pointer
	runs             unsafe.Pointer
	runsEnd          uintptr // one past the end is no pointer
	rows, tiles      int
	xrow, xcol       int
	xtile            int
	yrow, ycol, yout int
	ytile            int
	wtap, wout       int
	init, relu       int    // relu is 0 or, in all bits, 1
	_                [5]int // the assembly's own
	right, down      int    // of a window
	argmax           unsafe.Pointer
	wtile, biasTile  int    // of a single row whose tiles follow each other along the outputs, else 0
	_                [2]int // the assembly's own
}

// gemmTile is a register tile: positions × outputs.
type gemmTile struct{ p, j, id int }

// gemmRun is a Run in bytes.
type gemmRun struct{ x, w, n int }

// gemmBlock is a part of a row's positions × outputs: so many tiles side by side.
type gemmBlock struct {
	id    int // of the tile
	p     int
	tiles int
	col   int
	out   int
	outs  int
	alike int // blocks from here on that differ in their outputs alone and can be one call, where there are several
}

// gemmStage is a part of the taps, in order; one stage adds to what the last one left in y.
type gemmStage struct {
	runs   []gemmRun
	packed map[int][]gemmRun // the same runs where w is packed to rows of so many floats
	taps   int
}

// gemmPlan is what a path prepares for a Gemm.
type gemmPlan struct {
	blocks []gemmBlock
	rows   int // at once, so that their x stays in the second-level cache while all outputs pass
	whole  []gemmStage
	// Where the rows of w are many and far apart, they share few cache sets and each lies on its own page. Then the taps go in stages: with
	// many positions of so many taps that a tile's weights, copied side by side, stay in the first-level cache; with few positions of so few
	// taps that all outputs pass while the rows are still cached.
	packed, thin []gemmStage
	dense        []gemmStage // of weights that are packed already
	groups       []gemmGroup
}

// gemmGroup is so many blocks of the same positions whose weights are packed together, outs floats a row.
type gemmGroup struct{ first, n, outs int }

const (
	chunkBytes  = 512 << 10 // of x, for all outputs
	packTaps    = 256       // of a packed stage, at most
	packOuts    = 28        // outputs of a group, at most: of one tile, or of several up to 16
	thinTaps    = 32
	manyWeights = 96 << 10 // bytes of w from which it is worth it
	farApart    = 1 << 10  // bytes between rows
	manyOutputs = 16       // positions
	apartTaps   = 96       // of a stage of packed weights where positions share no inputs, so that a tile's stay in the first-level cache
)

// stages splits the taps into parts of at most so many, evenly.
func (g *Gemm) stages(limit int, outs []int) []gemmStage {
	taps := 0
	for _, t := range g.Taps {
		taps += int(t.N)
	}
	count := (taps + limit - 1) / limit
	each := (taps + count - 1) / count
	var all []gemmStage
	for i, at := 0, 0; i < len(g.Taps); {
		s := gemmStage{packed: map[int][]gemmRun{}}
		for s.taps < each && i < len(g.Taps) {
			t := g.Taps[i]
			n := min(int(t.N)-at, each-s.taps)
			x := (int(t.X) + at) * 64
			s.runs = append(s.runs, gemmRun{x, (int(t.W) + at) * g.WTap * 4, n})
			for _, j := range outs {
				s.packed[j] = append(s.packed[j], gemmRun{x, s.taps * j * 4, n})
			}
			s.taps += n
			if at += n; at == int(t.N) {
				i, at = i+1, 0
			}
		}
		all = append(all, s)
	}
	return all
}

// planGemm covers a row's positions × outputs with the tiles that cost least; cost is the cycles of a tile of so many taps.
func planGemm(g *Gemm, tiles []gemmTile, cost func(taps, p, j int) float64) gemmPlan {
	var plan gemmPlan
	taps := 0
	for _, t := range g.Taps {
		taps += int(t.N)
	}
	total := func(t gemmTile) float64 { return cost(taps, t.p, t.j) }
	// outs[p] are the tiles that cover the outputs for p positions, at the least cost; then the same over positions.
	outs, price := map[int][]gemmTile{}, map[int]float64{}
	var widths []gemmTile
	for p := 1; p <= 8; p++ {
		var mine []gemmTile
		for _, t := range tiles {
			if t.p == p {
				mine = append(mine, t)
			}
		}
		if len(mine) > 0 {
			widths = append(widths, gemmTile{p: p})
			outs[p], price[p] = cover(g.Outs, mine, func(t gemmTile) int { return t.j }, total)
		}
	}
	columns, _ := cover(g.Cols, widths, func(t gemmTile) int { return t.p }, func(t gemmTile) float64 { return price[t.p] })
	together := Lanes
	if g.Packed > 0 {
		together = PackedOuts
	}
	col := 0
	for i := 0; i < len(columns); {
		p, n := columns[i].p, 0
		for ; i < len(columns) && columns[i].p == p; i++ {
			n++
		}
		out := 0
		for _, t := range outs[p] {
			if k := len(plan.groups) - 1; k >= 0 && out > 0 && plan.groups[k].outs+t.j <= together {
				plan.groups[k].n++
				plan.groups[k].outs += t.j
			} else {
				plan.groups = append(plan.groups, gemmGroup{len(plan.blocks), 1, t.j})
			}
			plan.blocks = append(plan.blocks, gemmBlock{id: t.id, p: p, tiles: n, col: col, out: out, outs: t.j})
			out += t.j
		}
		col += n * p
	}
	plan.rows = max(1, chunkBytes/64/max(1, g.XRow))
	if g.Packed > 0 {
		limit := packTaps
		if g.apart() {
			limit = apartTaps
		}
		plan.dense = g.stages(limit, nil)
		return plan
	}
	plan.whole = g.stages(taps, nil)
	if row := g.WTap * 4; g.WOut == 1 && row >= 128 && row*taps >= manyWeights {
		var widths []int
		for _, k := range plan.groups {
			widths = append(widths, k.outs)
		}
		slices.Sort(widths)
		plan.packed = g.stages(packTaps, slices.Compact(widths))
		if row >= farApart {
			plan.thin = g.stages(thinTaps, nil)
		}
	}
	return plan
}

// join finds the blocks that can be one call.
func (p *gemmPlan) join() {
	for i := len(p.blocks) - 1; i >= 0; i-- {
		b := &p.blocks[i]
		if b.alike = 1; b.tiles == 1 && i+1 < len(p.blocks) {
			if next := &p.blocks[i+1]; next.tiles == 1 && next.id == b.id && next.col == b.col {
				b.alike += next.alike
			}
		}
	}
}

// apart reports whether neighbouring positions of a row read different inputs.
func (g *Gemm) apart() bool {
	for _, t := range g.Taps {
		if int(t.N) > g.XCol {
			return false
		}
	}
	return g.Cols > 1
}

// cover splits n into the sizes of parts at the least total price; larger parts come first.
func cover(n int, parts []gemmTile, size func(gemmTile) int, price func(gemmTile) float64) ([]gemmTile, float64) {
	best := make([]float64, n+1)
	pick := make([]int, n+1)
	for m := 1; m <= n; m++ {
		pick[m] = -1
		for i, t := range parts {
			if s := size(t); s <= m && (s == m || pick[m-s] >= 0) {
				c := best[m-s] + price(t)
				if pick[m] < 0 || c < best[m] || (c == best[m] && s > size(parts[pick[m]])) {
					best[m], pick[m] = c, i
				}
			}
		}
	}
	var out []gemmTile
	for m := n; m > 0; m -= size(parts[pick[m]]) {
		out = append(out, parts[pick[m]])
	}
	// stable order by size, larger first
	for i := 1; i < len(out); i++ {
		for k := i; k > 0 && size(out[k]) > size(out[k-1]); k-- {
			out[k], out[k-1] = out[k-1], out[k]
		}
	}
	return out, best[n]
}

// gemmNative runs a Gemm's plan.
func gemmNative(g *Gemm, y, x, w, bias []float32, rows int) {
	switch many := g.Cols*rows >= manyOutputs; {
	case g.aux.dense != nil:
		gemmDense(g, y, x, w, bias, rows)
	case many && g.aux.packed != nil:
		gemmPacked(g, y, x, w, bias, rows)
	case !many && g.aux.thin != nil:
		gemmStages(g, g.aux.thin, y, x, w, bias, rows)
	default:
		gemmStages(g, g.aux.whole, y, x, w, bias, rows)
	}
}

// gemmCaller fills the arguments of a Gemm's calls.
type gemmCaller struct {
	g          *Gemm
	a          gemmArgs
	x, y, w, b unsafe.Pointer
}

func newGemmCaller(g *Gemm, y, x, w, bias []float32) gemmCaller {
	return gemmCaller{
		g: g,
		a: gemmArgs{
			xrow: g.XRow * 64, xcol: g.XCol * 64, yrow: g.YRow * 64, ycol: g.YCol * 64, yout: g.YOut * 64,
			wtap: g.WTap * 4, wout: g.WOut * 4,
		},
		x: unsafe.Pointer(unsafe.SliceData(x)), y: unsafe.Pointer(unsafe.SliceData(y)),
		w: unsafe.Pointer(unsafe.SliceData(w)), b: unsafe.Pointer(unsafe.SliceData(bias)),
	}
}

// stage sets how the sums of a stage begin and end, and its taps.
func (c *gemmCaller) stage(first, last bool, runs []gemmRun) {
	c.a.init, c.a.relu = int(Accumulate), 0
	if first {
		c.a.init = int(c.g.Init)
	}
	if last && c.g.ReLU {
		c.a.relu = -1
	}
	c.a.runs = unsafe.Pointer(unsafe.SliceData(runs))
	c.a.runsEnd = uintptr(c.a.runs) + uintptr(len(runs))*unsafe.Sizeof(gemmRun{})
}

// callAlike computes row r of a block and of those alike.
func (c *gemmCaller) callAlike(b *gemmBlock, r int) {
	g := c.g
	c.a.x = unsafe.Add(c.x, (r*g.XRow+b.col*g.XCol)*64)
	c.a.y = unsafe.Add(c.y, (r*g.YRow+b.col*g.YCol+b.out*g.YOut)*64)
	c.a.w = unsafe.Add(c.w, b.out*g.WOut*4)
	if c.a.init == int(Bias) {
		c.a.bias = unsafe.Add(c.b, b.out*4)
	}
	c.a.rows, c.a.tiles = 1, b.alike
	c.a.xtile, c.a.ytile, c.a.wtile, c.a.biasTile = 0, b.outs*c.a.yout, b.outs*c.a.wout, b.outs*4
	gemmCall(b.id, (*byte)(unsafe.Pointer(&c.a)))
	c.a.wtile, c.a.biasTile = 0, 0
}

// call computes rows rows from row r on and tiles tiles of a block from tile t on, with its weights at w.
func (c *gemmCaller) call(b *gemmBlock, r, rows, t, tiles int, w unsafe.Pointer) {
	g := c.g
	col := b.col + t*b.p
	c.a.x = unsafe.Add(c.x, (r*g.XRow+col*g.XCol)*64)
	c.a.y = unsafe.Add(c.y, (r*g.YRow+col*g.YCol+b.out*g.YOut)*64)
	c.a.w = w
	if c.a.init == int(Bias) {
		c.a.bias = unsafe.Add(c.b, b.out*4)
	}
	c.a.rows, c.a.tiles = rows, tiles
	c.a.xtile, c.a.ytile = b.p*c.a.xcol, b.p*c.a.ycol
	gemmCall(b.id, (*byte)(unsafe.Pointer(&c.a)))
}

// gemmStages runs rows, stages and blocks.
func gemmStages(g *Gemm, stages []gemmStage, y, x, w, bias []float32, rows int) {
	c := newGemmCaller(g, y, x, w, bias)
	for r := 0; r < rows; r += g.aux.rows {
		n := min(g.aux.rows, rows-r)
		for s := range stages {
			c.stage(s == 0, s+1 == len(stages), stages[s].runs)
			for i := 0; i < len(g.aux.blocks); i++ {
				b := &g.aux.blocks[i]
				if n == 1 && b.alike > 1 {
					c.callAlike(b, r)
					i += b.alike - 1
					continue
				}
				c.call(b, r, n, 0, b.tiles, unsafe.Add(c.w, b.out*g.WOut*4))
			}
		}
	}
}

// gemmDense runs rows, stages, positions and the tiles of all outputs, whose weights lie together.
func gemmDense(g *Gemm, y, x, w, bias []float32, rows int) {
	c := newGemmCaller(g, y, x, w, bias)
	for r := 0; r < rows; r += g.aux.rows {
		end := min(r+g.aux.rows, rows)
		for s := range g.aux.dense {
			c.stage(s == 0, s+1 == len(g.aux.dense), g.aux.dense[s].runs)
			for k := range g.aux.groups {
				group := &g.aux.groups[k]
				blocks := g.aux.blocks[group.first:][:group.n]
				for q := r; q < end; q++ {
					for t := range blocks[0].tiles {
						for i := range blocks {
							b := &blocks[i]
							c.call(b, q, 1, t, 1, unsafe.Add(c.w, b.out*4))
						}
					}
				}
			}
		}
	}
}

// gemmPacked runs rows, stages and groups of blocks; a tile's x is still in the first-level cache when the group's next block reads it.
func gemmPacked(g *Gemm, y, x, w, bias []float32, rows int) {
	var buffer [packTaps * packOuts]float32
	c := newGemmCaller(g, y, x, w, bias)
	for r := 0; r < rows; r += g.aux.rows {
		end := min(r+g.aux.rows, rows)
		for s := range g.aux.packed {
			stage := &g.aux.packed[s]
			for k := range g.aux.groups {
				group := &g.aux.groups[k]
				blocks := g.aux.blocks[group.first:][:group.n]
				pack(&buffer, unsafe.Add(c.w, blocks[0].out*4), stage.runs, g.WTap*4, group.outs)
				c.stage(s == 0, s+1 == len(g.aux.packed), stage.packed[group.outs])
				c.a.wtap = group.outs * 4
				for q := r; q < end; q++ {
					for t := range blocks[0].tiles {
						for i := range blocks {
							b := &blocks[i]
							c.call(b, q, 1, t, 1, unsafe.Pointer(&buffer[b.out-blocks[0].out]))
						}
					}
				}
			}
		}
	}
}

// pack copies outs weights of each tap of the runs, ld bytes apart, side by side.
func pack(buffer *[packTaps * packOuts]float32, w unsafe.Pointer, runs []gemmRun, ld, outs int) {
	to := 0
	for _, r := range runs {
		for t := range r.n {
			s, d, i := unsafe.Add(w, r.w+t*ld), unsafe.Pointer(&buffer[to]), 0
			to += outs
			for ; i+4 <= outs; i += 4 {
				*(*[4]float32)(unsafe.Add(d, i*4)) = *(*[4]float32)(unsafe.Add(s, i*4))
			}
			for ; i < outs; i++ {
				*(*float32)(unsafe.Add(d, i*4)) = *(*float32)(unsafe.Add(s, i*4))
			}
		}
	}
}
