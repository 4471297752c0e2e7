package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// planes is the number of products of a tile in Winograd's algorithm.
const planes = kernel.WinogradPatch * kernel.WinogradPatch

// fewTiles is about how many tiles of 4×4 positions are transformed together. Where a plane's weights are few, the tiles are what
// has to stay in the second level of cache; where they are many, each is read from memory once for all tiles.
func fewTiles(ci, co int) int {
	if ci*co <= 128*128 {
		return 2
	}
	return 4
}

// tiling covers a map with tiles of 4×4 positions and their patches of 6×6 of the operand around them.
type tiling struct {
	c            *compiler
	before       [2]int // how far the first patch reaches over the operand's first row and column
	inH, inW, ci int    // the operand
	outH, outW   int
	rows, cols   int // tiles of the map
	high, wide   int // tiles of a block
	zeros        []float32
	lines        *buffer
}

// spaced is the vectors from one plane or line of n vectors to the next: six of them are read and written at the same time, and
// the core mistakes a load for one that depends on an earlier store when the low 12 bits of their addresses agree.
func spaced(n int) int {
	const page, shift = 64, 11
	return (n+page-1-shift)/page*page + shift
}

// newTiling covers a map of outH×outW positions, whose patches are read from inH×inW positions of ci channels; co are the result's.
func (c *compiler) newTiling(name string, before [2]int, inH, inW, ci, outH, outW, co int) tiling {
	const side = kernel.WinogradTile
	t := tiling{c: c, before: before, inH: inH, inW: inW, ci: ci, outH: outH, outW: outW, rows: (outH + side - 1) / side, cols: (outW + side - 1) / side}
	few := fewTiles(ci, co)
	blocks := (t.cols + few - 1) / few
	t.wide = (t.cols + blocks - 1) / blocks
	t.high = min(t.rows, (few+t.wide-1)/t.wide)
	t.zeros = c.zeros((t.wide*side + 2) * ci * kernel.Lanes)
	t.lines = c.buffer(name+" lines", kernel.WinogradPatch*spaced((t.wide*side+2)*ci)*kernel.Lanes)
	return t
}

// most is the number of tiles of the largest block.
func (t *tiling) most() int { return t.high * t.wide }

// tiling is the tiles of a convolution's output, or with back of its input.
func (b *filterBank) tiling(c *compiler, name string, back bool) tiling {
	if back {
		return c.newTiling(name, [2]int{2 - b.v.Before, 2 - b.h.Before}, b.v.Out, b.outW, b.filters, b.v.In, b.inW, b.channels)
	}
	return c.newTiling(name, [2]int{b.v.Before, b.h.Before}, b.v.In, b.inW, b.channels, b.v.Out, b.outW, b.filters)
}

// bandOf is the least common multiple of a number of rows and of those of a block.
func (t *tiling) bandOf(rows int) int {
	block := t.high * kernel.WinogradTile
	a, b := rows, block
	for b > 0 {
		a, b = b, a%b
	}
	return rows / a * block
}

// tileBlock is tiles side by side in rows of tiles.
type tileBlock struct{ row, high, col, wide int }

func (b tileBlock) tiles() int { return b.high * b.wide }

// blocks covers rows lo to hi of the map; lo is a multiple of a tile's.
func (t *tiling) blocks(lo, hi int) []tileBlock {
	const side = kernel.WinogradTile
	var all []tileBlock
	end := (hi + side - 1) / side
	for r := lo / side; r < end; r += t.high {
		for col := 0; col < t.cols; col += t.wide {
			all = append(all, tileBlock{r, min(t.high, end-r), col, min(t.wide, t.cols-col)})
		}
	}
	return all
}

// input transforms a block's patches of x to v, planes of [tiles][channels] that are so many vectors apart.
func (t *tiling) input(w *worker, b tileBlock, v, x []float32, plane int) {
	const side, patch, lanes = kernel.WinogradTile, kernel.WinogradPatch, kernel.Lanes
	k, ci := t.c.k, t.ci
	lines := t.lines.at(w, 0)
	width := b.wide*side + 2
	first := b.col*side - t.before[1]
	lo, hi := max(first, 0), min(first+width, t.inW)
	line := spaced(width * ci)
	for r := range b.high {
		top := (b.row+r)*side - t.before[0]
		l := kernel.Lines{Out: lines[(lo-first)*ci*lanes:], OutStride: line, N: (hi - lo) * ci, Outer: 1}
		for j := range patch {
			l.In[j] = t.zeros
			if row := top + j; row >= 0 && row < t.inH {
				l.In[j] = x[(row*t.inW+lo)*ci*lanes:]
			}
		}
		k.Winograd(kernel.WinogradInput, l)
		for i := range patch {
			in := lines[i*line*lanes:][:width*ci*lanes]
			clear(in[:(lo-first)*ci*lanes])
			clear(in[(hi-first)*ci*lanes:])
			l := kernel.Lines{
				Out: v[(i*patch*plane+r*b.wide*ci)*lanes:], OutStride: plane,
				N: ci, Outer: b.wide, InOuter: side * ci, OutOuter: ci,
			}
			for j := range patch {
				l.In[j] = in[j*ci*lanes:]
			}
			k.Winograd(kernel.WinogradInput, l)
		}
	}
}

// winograd is a convolution, or an input gradient, by Winograd's algorithm.
type winograd struct {
	tiling
	co      int
	weights *transformed
	gemms   map[int]*kernel.Gemm // by tiles
	v, m    *buffer
	sums    *buffer // 6×4 lines of a row of tiles, and 4×4
	bands   [][]tileBlock
	height  int // rows of a band
	relu    bool
	bias    []float32
}

// newWinograd prepares rows rows of the map, in bands of whole blocks that are a multiple of align rows.
func (c *compiler) newWinograd(name string, t tiling, co int, weights *transformed, rows, align int) *winograd {
	g := &winograd{tiling: t, co: co, weights: weights, gemms: map[int]*kernel.Gemm{}, height: t.bandOf(align)}
	height := g.height
	const side, lanes = kernel.WinogradTile, kernel.Lanes
	g.v = c.buffer(name+" patches", planes*spaced(t.most()*t.ci)*lanes)
	g.m = c.buffer(name+" products", planes*spaced(t.most()*co)*lanes)
	g.sums = c.buffer(name+" tiles", (kernel.WinogradPatch+side)*spaced(t.wide*side*co)*lanes)
	for lo := 0; lo < rows; lo += height {
		blocks := t.blocks(lo, min(lo+height, rows))
		for _, b := range blocks {
			if g.gemms[b.tiles()] == nil {
				p, err := c.gemm(kernel.GemmSpec{
					Grid: kernel.Grid{Cols: b.tiles(), XCol: t.ci, YCol: co}, Taps: []kernel.Run{{N: int32(t.ci)}}, Outs: co, Packed: t.ci,
				})
				if err != nil {
					c.fail(err)
					return g
				}
				g.gemms[b.tiles()] = p
			}
		}
		g.bands = append(g.bands, blocks)
	}
	return g
}

// uses are the buffers that a task needs.
func (g *winograd) uses() []*buffer { return []*buffer{g.lines, g.v, g.m, g.sums} }

// band computes rows of the map from row lo on into y, which has as many rows.
func (g *winograd) band(w *worker, k, lo int, y, x []float32) {
	v, m := g.v.at(w, 0), g.m.at(w, 0)
	for _, b := range g.bands[k] {
		n := b.tiles()
		from, to := spaced(n*g.ci), spaced(n*g.co)
		g.input(w, b, v, x, from)
		p := g.gemms[n]
		for i := range planes {
			p.Do(m[i*to*kernel.Lanes:], v[i*from*kernel.Lanes:], g.weights.floats[i*g.ci*g.co:], nil, 1)
		}
		g.output(w, b, lo, y, m)
	}
}

// output transforms a block's products to rows of the map.
func (g *winograd) output(w *worker, b tileBlock, lo int, y, m []float32) {
	const side, patch, lanes = kernel.WinogradTile, kernel.WinogradPatch, kernel.Lanes
	k, co, n := g.c.k, g.co, b.tiles()
	sums := g.sums.at(w, 0)
	width := b.wide * side
	plane, line := spaced(n*co), spaced(width*co)
	last := sums[patch*line*lanes:]
	cols := min(width, g.outW-b.col*side)
	for r := range b.high {
		for i := range patch {
			l := kernel.Lines{Out: sums[i*line*lanes:], OutStride: co, N: co, Outer: b.wide, InOuter: co, OutOuter: side * co}
			for j := range patch {
				l.In[j] = m[((i*patch+j)*plane+r*b.wide*co)*lanes:]
			}
			k.Winograd(kernel.WinogradOutput, l)
		}
		row := (b.row + r) * side
		at := ((row-lo)*g.outW + b.col*side) * co * lanes
		l := kernel.Lines{N: co, Outer: cols, InOuter: co, OutOuter: co, Bias: g.bias, ReLU: g.relu}
		for i := range patch {
			l.In[i] = sums[i*line*lanes:]
		}
		rows := min(side, len(y)/(g.outW*co*lanes)-(row-lo))
		if rows == side {
			l.Out, l.OutStride = y[at:], g.outW*co
			k.Winograd(kernel.WinogradOutput, l)
			continue
		}
		l.Out, l.OutStride = last, line
		k.Winograd(kernel.WinogradOutput, l)
		for i := range rows {
			copy(y[at+i*g.outW*co*lanes:][:cols*co*lanes], last[i*line*lanes:])
		}
	}
}

// transformed is a kernel by G·g·Gᵀ: 36 planes of packed weights.
type transformed struct {
	p       *param
	floats  []float32
	in, out int  // channels of the operand and of the result
	back    bool // for the input's gradient: both axes reversed, filters before channels
	trained bool // a training step reads it
}

// transform makes the copy of a kernel for one direction, or finds it.
func (c *compiler) transform(p *param, b *filterBank, back bool) *transformed {
	for _, t := range p.transforms {
		if t.back == back {
			t.trained = t.trained || c.purpose.mode == training
			return t
		}
	}
	t := &transformed{p: p, in: b.channels, out: b.filters, back: back, trained: c.purpose.mode == training}
	if back {
		t.in, t.out = t.out, t.in
	}
	p.copied += planes * b.weightCount / 9
	t.floats = c.prog.floats(planes * b.weightCount / 9)
	p.transforms = append(p.transforms, t)
	return t
}

// unit is how many rows of a plane are made at a time, so that a whole cache line of a packed block or more is written.
const transformUnit = 8

// scratch is the floats that renew needs.
func (t *transformed) scratch() int { return (9*16 + 18 + planes*transformUnit) * t.out }

// renew computes rows lo to hi of every plane; lo is a multiple of 16 and hi too, or the end.
func (t *transformed) renew(k *kernel.Kernels, lo, hi int, scratch []float32) {
	const patch, taps, group = kernel.WinogradPatch, 9, 16
	flipped, scratch := scratch[:taps*group*t.out], scratch[taps*group*t.out:]
	half, whole := scratch[:18*t.out], scratch[18*t.out:]
	n := t.out / kernel.Lanes
	for r0 := lo; r0 < hi; r0 += group {
		src, tap := t.p.w[r0*t.out:], t.in*t.out
		if t.back {
			k.FlipKernel(flipped, t.p.w[r0:], taps, t.out, group, t.in)
			src, tap = flipped, group*t.out
		}
		for r1 := 0; r1 < group; r1 += transformUnit {
			for r := range transformUnit {
				l := kernel.Lines{Out: half, OutStride: 3 * n, N: n, Outer: 3, InOuter: tap / kernel.Lanes, OutOuter: n}
				for ky := range 3 {
					l.In[ky] = src[3*ky*tap+(r1+r)*t.out:]
				}
				k.Winograd(kernel.WinogradKernel, l)
				l = kernel.Lines{Out: whole[r*planes*t.out:], OutStride: n, N: n, Outer: patch, InOuter: 3 * n, OutOuter: patch * n}
				for kx := range 3 {
					l.In[kx] = half[kx*t.out:]
				}
				k.Winograd(kernel.WinogradKernel, l)
			}
			for i := range planes {
				kernel.PackWeights(t.floats[i*t.in*t.out:][:t.in*t.out], whole[i*t.out:], t.out, planes*t.out, r0+r1, transformUnit, t.in)
			}
		}
	}
}

// renewTransforms leaves the jobs that bring a kernel's transforms up to date after its update.
func (c *compiler) renewTransforms(p *param) {
	for _, t := range p.transforms {
		if !t.trained {
			continue
		}
		scratch := c.global(p.Name+" transform", t.scratch(), perWorker)
		shards := min(t.in/16, maxShards)
		for s := range shards {
			lo, hi := chunkOf(t.in/16, s, shards)
			c.later(lateCopies, work{
				Task: device.Task{Name: p.Name + " transform", Layers: c.layersOf(p), Kernel: c.kernelName("winograd")}, uses: []*buffer{scratch},
				run: func(w *worker) { t.renew(c.k, lo*16, hi*16, scratch.at(w, 0)) },
			})
		}
	}
}

// algorithm is how a convolution is computed.
type algorithm uint8

const (
	sumOverTaps   algorithm = iota
	winogradTiles           // Winograd's algorithm in tiles of 4×4
	winogradRows            // the same along rows
)

// algorithmOf is what a node goes by with samples in the lanes.
func algorithmOf(node *model.Node, exact bool) algorithm {
	l, ok := node.Layer.(model.Conv2D)
	if !ok {
		return sumOverTaps
	}
	return convAlgorithm(l, node.In[0], exact)
}

// algorithm is how a convolution of the plan is computed.
func (c *compiler) algorithm(l model.Conv2D, in model.Shape) algorithm {
	return convAlgorithm(l, in, c.spec.Exact)
}

// convAlgorithm chooses by shape.
func convAlgorithm(l model.Conv2D, in model.Shape, exact bool) algorithm {
	switch {
	case exact:
		return sumOverTaps
	case device.Winograd(l, in):
		return winogradTiles
	case device.WinogradRows(l, in):
		return winogradRows
	default:
		return sumOverTaps
	}
}
