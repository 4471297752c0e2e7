package kernel

import (
	"slices"
	"unsafe"
)

// outputsArgs is what the assembly of Outputs and Depthwise reads; strides are in bytes. The generator knows the offsets.
type outputsArgs struct {
	y, x, w, bias     unsafe.Pointer
	runs              unsafe.Pointer
	runsEnd           uintptr // one past the end is no pointer
	rows, tiles       int
	xrow, xcol, xtile int
	yrow, ycol, ytile int
	wtap              int
	init, relu        int
	mask              unsafe.Pointer // of the last register: a bit for each lane, or a word
	_                 [4]int         // the assembly's own
}

// Rows of w go in stages that stay in the first-level cache while all positions pass. Where they are far apart and the positions many,
// the outputs go in groups, whose weights of a stage are copied side by side; else the rows of a stage are fewer, and sums are stored and
// loaded again more often.
const (
	stageTaps = 96 // rows of a copied stage
	groupOuts = 64 // outputs of a group
	leastTaps = 16 // rows of a stage
)

// packsOutputs reports whether copying, some 25 cycles for a row's 64 outputs, takes less time than the stores and loads of shorter stages, some 30
// cycles for a tile's 24 sums.
func packsOutputs(positions, outs, rows int) bool {
	return outs > groupOuts && 12.5/float64(positions)+2.5/stageTaps < 2.5/float64(rows)
}

// outputsPlan is what a path prepares: for each region its tiles and stages.
type outputsPlan struct {
	o       *Outputs
	lanes   int // of a register
	groups  []outputsGroup
	regions []outputsRegion
	packs   bool // each group's weights of a stage are copied
	stages  int
	rows    int // of w in a stage
	mask    [8]uint32
	bits    uint16
}

// outputsGroup is a range of outputs.
type outputsGroup struct{ first, n int }

// outputsRegion is a region made ready.
type outputsRegion struct {
	*OutputsRegion
	columns []outputsColumns
	stages  []outputsStage // with taps in this region alone, ascending
}

// outputsColumns are so many tiles of p positions, side by side, with the registers of each group.
type outputsColumns struct {
	p, tiles, col int
	blocks        [][]outputsBlock // by group
}

// outputsBlock is a tile's registers of outputs.
type outputsBlock struct {
	id, out int
	masked  bool
}

// outputsStage is a region's taps among some rows of w.
type outputsStage struct {
	number int
	runs   []gemmRun
}

// planOutputs covers regions × outputs with tiles of registers of so many lanes.
func planOutputs(o *Outputs, lanes int, tiles, masked []gemmTile) *outputsPlan {
	p := &outputsPlan{o: o, lanes: lanes, rows: max(leastTaps, min(4*stageTaps, stageTaps*groupOuts/o.Outs))}
	positions, taps := 0, 0
	for i := range o.Regions {
		r := &o.Regions[i]
		positions += r.Rows * r.Cols
		if n := len(r.Taps); n > 0 {
			taps = max(taps, int(r.Taps[n-1].W+r.Taps[n-1].N))
		}
	}
	p.groups = []outputsGroup{{0, o.Outs}}
	if p.packs = packsOutputs(positions, o.Outs, p.rows); p.packs {
		p.rows, p.groups = stageTaps, nil
		for j := 0; j < o.Outs; j += groupOuts {
			p.groups = append(p.groups, outputsGroup{j, min(groupOuts, o.Outs-j)})
		}
	}
	p.stages = (taps + p.rows - 1) / p.rows
	for l := range o.Outs % lanes {
		p.mask[l%8] = ^uint32(0)
		p.bits |= 1 << l
	}
	covers, prices := map[int][][]outputsBlock{}, map[int]float64{} // by positions of a tile
	var widths []gemmTile
	for _, t := range tiles {
		if covers[t.p] == nil {
			covers[t.p], prices[t.p] = p.coverGroups(t.p, tiles, masked)
			widths = append(widths, gemmTile{p: t.p})
		}
	}
	for i := range o.Regions {
		p.regions = append(p.regions, p.region(&o.Regions[i], widths, prices, covers))
	}
	return p
}

// outputsCost is the cycles of a tap for a tile: two multiply-adds and two loads a cycle, four cycles from one sum to the next.
func outputsCost(p, j int) float64 { return max(float64(p*j)/2, float64(p+j)/2, 4) + 0.5 }

// coverGroups covers each group's registers with tiles of so many positions and returns the cost.
func (p *outputsPlan) coverGroups(positions int, tiles, masked []gemmTile) (all [][]outputsBlock, price float64) {
	cost := func(t gemmTile) float64 { return outputsCost(t.p, t.j) }
	size := func(t gemmTile) int { return t.j }
	var mine, last []gemmTile
	for _, t := range tiles {
		if t.p == positions {
			mine = append(mine, t)
		}
	}
	for _, t := range masked {
		if t.p == positions {
			last = append(last, t)
		}
	}
	for _, g := range p.groups {
		var blocks []outputsBlock
		whole := g.n / p.lanes
		var end gemmTile // with the masked register, where there is one
		if g.n%p.lanes != 0 {
			best := 0.0
			for _, t := range last {
				if t.j-1 > whole {
					continue
				}
				rest := 0.0
				if t.j-1 < whole {
					_, rest = cover(whole-(t.j-1), mine, size, cost)
				}
				if c := rest + cost(t); best == 0 || c < best {
					best, end = c, t
				}
			}
			whole -= end.j - 1
			price += cost(end)
		}
		out := g.first
		if whole > 0 {
			list, c := cover(whole, mine, size, cost)
			price += c
			for _, t := range list {
				blocks = append(blocks, outputsBlock{t.id, out, false})
				out += t.j * p.lanes
			}
		}
		if end.j > 0 {
			blocks = append(blocks, outputsBlock{end.id, out, true})
		}
		all = append(all, blocks)
	}
	return all, price
}

func (p *outputsPlan) region(r *OutputsRegion, widths []gemmTile, prices map[int]float64, covers map[int][][]outputsBlock) outputsRegion {
	out := outputsRegion{OutputsRegion: r}
	if len(r.Taps) == 0 {
		return out
	}
	columns, _ := cover(r.Cols, widths, func(t gemmTile) int { return t.p }, func(t gemmTile) float64 { return prices[t.p] })
	col := 0
	for i := 0; i < len(columns); {
		n, width := 0, columns[i].p
		for ; i < len(columns) && columns[i].p == width; i++ {
			n++
		}
		out.columns = append(out.columns, outputsColumns{width, n, col, covers[width]})
		col += n * width
	}
	for _, t := range r.Taps {
		for at := 0; at < int(t.N); {
			row := int(t.W) + at
			number := row / p.rows
			n := min(int(t.N)-at, (number+1)*p.rows-row)
			w := row * p.o.WTap * 4
			if p.packs {
				w = (row - number*p.rows) * groupOuts * 4
			}
			if k := len(out.stages); k == 0 || out.stages[k-1].number != number {
				out.stages = append(out.stages, outputsStage{number: number})
			}
			s := &out.stages[len(out.stages)-1]
			s.runs = append(s.runs, gemmRun{(int(t.X) + at) * 4, w, n})
			at += n
		}
	}
	return out
}

// run computes all regions, stage by stage for each group of outputs.
func (p *outputsPlan) run(y, x, w, bias []float32) {
	var buffer [stageTaps * groupOuts]float32
	o := p.o
	taps := 0
	if o.WTap > 0 && len(w) > 0 {
		taps = (len(w)-o.Outs)/o.WTap + 1
	}
	a := outputsArgs{wtap: o.WTap * 4}
	if p.packs {
		a.wtap = groupOuts * 4
	}
	a.mask = unsafe.Pointer(&p.mask)
	if p.lanes == Lanes {
		a.mask = unsafe.Pointer(&p.bits)
	}
	px, py, pb := unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(y)), unsafe.Pointer(unsafe.SliceData(bias))
	for i := range p.regions {
		if r := &p.regions[i]; len(r.stages) == 0 {
			o.empty(r.OutputsRegion, y, bias)
		}
	}
	for k := range p.groups {
		g := &p.groups[k]
		for s := range p.stages {
			pw := unsafe.Pointer(unsafe.SliceData(w))
			if p.packs {
				packOutputs(&buffer, w[s*p.rows*o.WTap+g.first:], o.WTap, g.n, min(p.rows, taps-s*p.rows))
				pw = unsafe.Pointer(&buffer)
			}
			for i := range p.regions {
				r := &p.regions[i]
				at, ok := slices.BinarySearchFunc(r.stages, s, func(e outputsStage, n int) int { return e.number - n })
				if !ok {
					continue
				}
				stage := &r.stages[at]
				a.init, a.relu = int(Accumulate), 0
				if at == 0 {
					a.init = int(o.Init)
				}
				if at == len(r.stages)-1 && o.ReLU {
					a.relu = 1
				}
				a.runs = unsafe.Pointer(unsafe.SliceData(stage.runs))
				a.runsEnd = uintptr(a.runs) + uintptr(len(stage.runs))*unsafe.Sizeof(gemmRun{})
				a.xrow, a.xcol, a.yrow, a.ycol = r.XRow*4, r.XCol*4, r.YRow*4, r.YCol*4
				for c := range r.columns {
					q := &r.columns[c]
					a.tiles, a.xtile, a.ytile = q.tiles, q.p*a.xcol, q.p*a.ycol
					for _, b := range q.blocks[k] {
						a.rows = r.Rows // the assembly counts it down
						a.x = unsafe.Add(px, (r.X+q.col*r.XCol)*4)
						a.y = unsafe.Add(py, (r.Y+q.col*r.YCol+b.out)*4)
						a.w = unsafe.Add(pw, b.out*4)
						if p.packs {
							a.w = unsafe.Add(pw, (b.out-g.first)*4)
						}
						if o.Init == Bias {
							a.bias = unsafe.Add(pb, b.out*4)
						}
						outputsCall(b.id, (*byte)(unsafe.Pointer(&a)))
					}
				}
			}
		}
	}
}

// empty fills a region without taps.
func (o *Outputs) empty(r *OutputsRegion, y, bias []float32) {
	for row := range r.Rows {
		for col := range r.Cols {
			q := y[r.Y+row*r.YRow+col*r.YCol:][:o.Outs]
			switch o.Init {
			case Zero:
				clear(q)
			case Bias:
				copy(q, bias)
			case Accumulate:
			}
			if o.ReLU {
				for j, v := range q {
					q[j] = relu(v)
				}
			}
		}
	}
}

// packOutputs copies n outputs of some rows of w to rows of groupOuts.
func packOutputs(dst *[stageTaps * groupOuts]float32, w []float32, ld, n, rows int) {
	for t := range rows {
		d, s := dst[t*groupOuts:][:groupOuts], w[t*ld:]
		copy(d[:n], s)
	}
}

// depthwisePlan runs a depthwise convolution, a register of channels at a time.
type depthwisePlan struct {
	d       *Depthwise
	lanes   int
	regions []depthwiseRegion
	mask    [2][8]uint32 // of whole registers, of the last one
	bits    [2]uint16
}

type depthwiseRegion struct {
	*OutputsRegion
	columns []gemmBlock
	runs    []gemmRun
}

func planDepthwise(d *Depthwise, lanes int, tiles []gemmTile) *depthwisePlan {
	p := &depthwisePlan{d: d, lanes: lanes}
	for l := range lanes {
		p.mask[0][l%8] = ^uint32(0)
		p.bits[0] |= 1 << l
		if l < (d.Outs-1)%lanes+1 {
			p.mask[1][l%8] = ^uint32(0)
			p.bits[1] |= 1 << l
		}
	}
	for i := range d.Regions {
		r := depthwiseRegion{OutputsRegion: &d.Regions[i]}
		list, _ := cover(r.Cols, tiles, func(t gemmTile) int { return t.p }, func(t gemmTile) float64 { return max(float64(t.p)/2, 4) + 1 })
		col := 0
		for _, t := range list {
			if k := len(r.columns) - 1; k >= 0 && r.columns[k].p == t.p {
				r.columns[k].tiles++
			} else {
				r.columns = append(r.columns, gemmBlock{id: t.id, p: t.p, tiles: 1, col: col})
			}
			col += t.p
		}
		for _, t := range r.Taps {
			r.runs = append(r.runs, gemmRun{int(t.X) * 4, int(t.W) * d.Outs * 4, 1})
		}
		p.regions = append(p.regions, r)
	}
	return p
}

func (p *depthwisePlan) run(y, x, w, bias []float32) {
	d := p.d
	var a outputsArgs
	px, py := unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(y))
	pw, pb := unsafe.Pointer(unsafe.SliceData(w)), unsafe.Pointer(unsafe.SliceData(bias))
	a.init = int(d.Init)
	if d.ReLU {
		a.relu = 1
	}
	for i := range p.regions {
		r := &p.regions[i]
		if len(r.runs) == 0 {
			d.empty(r.OutputsRegion, y, bias)
			continue
		}
		a.runs = unsafe.Pointer(unsafe.SliceData(r.runs))
		a.runsEnd = uintptr(a.runs) + uintptr(len(r.runs))*unsafe.Sizeof(gemmRun{})
		a.xrow, a.xcol, a.yrow, a.ycol = r.XRow*4, r.XCol*4, r.YRow*4, r.YCol*4
		for c := range r.columns {
			q := &r.columns[c]
			a.tiles, a.xtile, a.ytile = q.tiles, q.p*a.xcol, q.p*a.ycol
			for ch := 0; ch < d.Outs; ch += p.lanes {
				a.rows = r.Rows // the assembly counts it down
				last := 0
				if ch+p.lanes > d.Outs {
					last = 1
				}
				if a.mask = unsafe.Pointer(&p.mask[last]); p.lanes == Lanes {
					a.mask = unsafe.Pointer(&p.bits[last])
				}
				a.x = unsafe.Add(px, (r.X+q.col*r.XCol+ch)*4)
				a.y = unsafe.Add(py, (r.Y+q.col*r.YCol+ch)*4)
				a.w = unsafe.Add(pw, ch*4)
				if d.Init == Bias {
					a.bias = unsafe.Add(pb, ch*4)
				}
				outputsCall(q.id, (*byte)(unsafe.Pointer(&a)))
			}
		}
	}
}
