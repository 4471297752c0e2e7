package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// rowBytes is about what the planes of a band take, so that the second level of cache keeps them.
const rowBytes = 1 << 20

// partBytes is about what the planes of a part of a band take: of products, or of the gradient beside them.
const partBytes = 128 << 10

// rowBank is a convolution by Winograd's algorithm along its rows: on each of six planes it is one with a kernel of a single column, whose maps
// have a tile where the convolution's output has two positions.
type rowBank struct {
	*filterBank
	plane filterBank
}

func newRowBank(b *filterBank) rowBank {
	tiles := (b.outW + kernel.WinogradRowTile - 1) / kernel.WinogradRowTile
	p := *b
	p.h = model.Window{In: tiles, Out: tiles, Kernel: 1, Stride: 1, Dilation: 1}
	p.inW, p.outW, p.dense = tiles, tiles, true
	p.kernelRows = b.v.Kernel * b.cg
	p.weightCount = p.kernelRows * b.filters
	return rowBank{b, p}
}

// height is how many rows make a band, a multiple of align: as many as rowBytes hold, but enough that few rows of the operand meet two bands.
// Where workers share the rows of a group, those are all.
func (b *rowBank) height(rows, align int, spread bool) int {
	least := max(align, b.v.Extent()-1)
	if !spread {
		row := kernel.WinogradPatch * b.plane.outW * (b.channels + b.filters) * 4 * kernel.Lanes
		least = max(least, rowBytes/row-(b.v.Extent()-1))
	}
	return min((least+align-1)/align*align, (rows+align-1)/align*align)
}

// partOf is how many rows of a band of so many of rows are multiplied at a time, where a row takes so many bytes: a part of each band, all of
// which have as many but the last.
func partOf(height, rows, bytes int) int {
	part := min(height, max(1, partBytes/bytes))
	for height < rows && height%part != 0 {
		part--
	}
	return part
}

// operandRows is which rows of the input, or with back of the output, rows lo to hi of the result meet.
func (b *rowBank) operandRows(lo, hi int, back bool) (from, to int) {
	v := b.v
	if !back {
		from, to = max(0, lo*v.Stride-v.Before), min(v.In, (hi-1)*v.Stride-v.Before+v.Extent())
	} else {
		from, to = max(0, (lo+v.Before-v.Extent()+v.Stride)/v.Stride), min(v.Out, (hi-1+v.Before)/v.Stride+1)
	}
	return from, max(from, to)
}

// rowBand is a band and what it meets.
type rowBand struct{ lo, hi, from, to int }

// rowBands cuts rows rows of the result into bands.
func (b *rowBank) rowBands(rows, height int, back bool) (bands []rowBand, most int) {
	for lo := 0; lo < rows; lo += height {
		bd := rowBand{lo: lo, hi: min(lo+height, rows)}
		bd.from, bd.to = b.operandRows(bd.lo, bd.hi, back)
		bands = append(bands, bd)
		most = max(most, bd.to-bd.from)
	}
	return bands, most
}

// width is the positions that a row of tiles reaches over.
func (b *rowBank) width() int {
	return b.plane.outW*kernel.WinogradRowTile + kernel.WinogradRowTaps - 1
}

// fits reports whether a row of tiles reaches over the positions of the input and no others.
func (b *rowBank) fits() bool { return b.h.Before == 0 && b.width() <= b.inW }

// input transforms rows from to to of x to v, planes of [rows][tiles][channels] that are so many vectors apart.
func (b *rowBank) input(k *kernel.Kernels, v, x, line []float32, from, to, plane int) {
	const lanes = kernel.Lanes
	c, tiles := b.channels, b.plane.outW
	before, cols := b.h.Before*c*lanes, min(b.inW, b.width()-b.h.Before)*c*lanes
	if !b.fits() {
		clear(line[:before])
		clear(line[before+cols : b.width()*c*lanes])
	}
	for r := from; r < to; r++ {
		row := x[r*b.inW*c*lanes:]
		if !b.fits() {
			copy(line[before:], row[:cols])
			row = line
		}
		l := kernel.Lines{
			Out: v[(r-from)*tiles*c*lanes:], OutStride: plane,
			N: c, Outer: tiles, InOuter: kernel.WinogradRowTile * c, OutOuter: c,
		}
		for j := range l.In {
			l.In[j] = row[j*c*lanes:]
		}
		k.Winograd(kernel.WinogradInput, l)
	}
}

// gradient transforms rows of the gradient dy, of so many vectors a position, to d, planes of [rows][tiles][outs].
func (b *rowBank) gradient(k *kernel.Kernels, d, dy, zeros []float32, outs, rows, plane int) {
	if rows == 0 {
		return
	}
	const lanes = kernel.Lanes
	tiles := b.plane.outW
	l := kernel.Lines{
		Out: d, OutStride: plane, N: outs, Outer: rows * tiles, InOuter: kernel.WinogradRowTile * outs, OutOuter: outs,
	}
	if b.outW%kernel.WinogradRowTile == 0 {
		l.In[0], l.In[1] = dy, dy[outs*lanes:]
		k.Winograd(kernel.WinogradRowGradient, l)
		return
	}
	for r := range rows { // whose last tile has one position
		row := dy[r*b.outW*outs*lanes:]
		l.Out, l.Outer = d[r*tiles*outs*lanes:], tiles-1
		l.In[0] = row
		if l.Outer > 0 {
			l.In[1] = row[outs*lanes:]
			k.Winograd(kernel.WinogradRowGradient, l)
		}
		l.In[0], l.In[1] = row[(b.outW-1)*outs*lanes:], zeros
		l.Out, l.Outer = d[(r+1)*tiles*outs*lanes-outs*lanes:], 1
		k.Winograd(kernel.WinogradRowGradient, l)
	}
}

// rowWinograd is a convolution, or an input gradient, by Winograd's algorithm along its rows.
type rowWinograd struct {
	c *compiler
	rowBank
	back      bool
	in, out   int // channels of the operand and of the result
	planes    [kernel.WinogradPatch]*product
	bands     []rowBand
	part      int     // rows of a band that are multiplied at a time
	from, to  int     // vectors from one plane to the next, of the operand and of the products
	v, m      *buffer // the planes
	line      *buffer // a row of the input or of its gradient, or a tile of the output
	zeros     []float32
	relu      bool
	bias      []float32
	rowFloats int // of the result
}

// newRowWinograd prepares rows rows of the result.
func (c *compiler) newRowWinograd(s convSpec, rows, align int) *rowWinograd {
	const lanes = kernel.Lanes
	g := &rowWinograd{c: c, rowBank: newRowBank(s.bank), back: s.back, in: s.bank.channels, out: s.bank.filters, relu: s.relu}
	g.rowFloats = g.outW * g.filters * lanes
	if s.back {
		g.in, g.out = g.out, g.in
		g.rowFloats = g.inW * g.channels * lanes
	}
	if s.bias != nil {
		g.bias = s.bias.w
	}
	height := g.height(rows, align, c.purpose.spread)
	var most int
	g.bands, most = g.rowBands(rows, height, s.back)
	tiles := g.plane.outW
	g.part = partOf(height, rows, kernel.WinogradPatch*tiles*g.out*4*lanes)
	t := c.transformRows(s.kern, &g.rowBank)
	for i := range g.planes {
		p := c.convProduct(convSpec{name: s.name, bank: &t.plane, kern: &t.planes[i], back: s.back}, rows, g.part, 1)
		for k := range p.bands { // whose operand begins with the band's
			for j := range p.bands[k].calls {
				p.bands[k].calls[j].x -= g.bands[k*g.part/height].from * t.plane.outW * g.in * lanes
			}
		}
		g.planes[i] = p
	}
	g.from, g.to = spaced(most*tiles*g.in), spaced(g.part*tiles*g.out)
	g.v = c.buffer(s.name+" patches", kernel.WinogradPatch*g.from*lanes)
	g.m = c.buffer(s.name+" products", kernel.WinogradPatch*g.to*lanes)
	g.line = c.buffer(s.name+" line", max(g.width()*g.channels, kernel.WinogradRowTile*g.filters)*lanes)
	g.zeros = c.zeros(g.filters * lanes)
	return g
}

// uses are the buffers that a task needs.
func (g *rowWinograd) uses() []*buffer { return []*buffer{g.v, g.m, g.line} }

// band computes band k of group n into y.
func (g *rowWinograd) band(w *worker, n, k int, y, x []float32) {
	bd := &g.bands[k]
	v, m, line := g.v.at(w, n), g.m.at(w, n), g.line.at(w, n)
	if g.back {
		g.gradient(g.c.k, v, x[bd.from*g.outW*g.in*kernel.Lanes:], g.zeros, g.in, bd.to-bd.from, g.from)
	} else {
		g.input(g.c.k, v, x, line, bd.from, bd.to, g.from)
	}
	for lo := bd.lo; lo < bd.hi; lo += g.part {
		for i, p := range g.planes {
			p.band(w, n, lo/g.part, m[i*g.to*kernel.Lanes:], v[i*g.from*kernel.Lanes:])
		}
		rows := min(g.part, bd.hi-lo)
		part := y[(lo-bd.lo)*g.rowFloats:][:rows*g.rowFloats]
		if g.back {
			g.inputGradient(part, m, line, rows)
		} else {
			g.output(part, m, line, rows)
		}
	}
}

// output transforms the products of rows rows.
func (g *rowWinograd) output(y, m, line []float32, rows int) {
	const lanes, side = kernel.Lanes, kernel.WinogradRowTile
	out, tiles := g.out, g.plane.outW
	run := func(y []float32, first, n int) { // so many tiles
		if n == 0 {
			return
		}
		l := kernel.Lines{Out: y, OutStride: out, N: out, Outer: n, InOuter: out, OutOuter: side * out, Bias: g.bias, ReLU: g.relu}
		for i := range l.In {
			l.In[i] = m[(i*g.to+first*out)*lanes:]
		}
		g.c.k.Winograd(kernel.WinogradRowOutput, l)
	}
	if g.outW%side == 0 {
		run(y, 0, rows*tiles)
		return
	}
	for r := range rows {
		row := y[r*g.rowFloats:][:g.rowFloats]
		run(row, r*tiles, tiles-1)
		run(line, (r+1)*tiles-1, 1)
		copy(row[(tiles-1)*side*out*lanes:], line)
	}
}

// inputGradient transforms the products of rows rows, whose tiles overlap.
func (g *rowWinograd) inputGradient(y, m, line []float32, rows int) {
	const lanes, side, patch = kernel.Lanes, kernel.WinogradRowTile, kernel.WinogradPatch
	out, tiles := g.out, g.plane.outW
	reach, before := g.width()*out*lanes, g.h.Before*out*lanes
	for r := range rows {
		row := y[r*g.rowFloats:][:g.rowFloats]
		at := line
		if g.fits() {
			clear(row[reach:])
			at = row
		}
		clear(at[:(patch-side)*out*lanes])
		l := kernel.Lines{Out: at, OutStride: out, N: out, Outer: tiles, InOuter: out, OutOuter: side * out}
		for i := range l.In {
			l.In[i] = m[(i*g.to+r*tiles*out)*lanes:]
		}
		g.c.k.Winograd(kernel.WinogradRowInputGradient, l)
		if !g.fits() {
			clear(row[copy(row, line[before:reach]):])
		}
	}
}

// rowKernel is a kernel with each of its rows by G: six kernels of one column, which have copies of their own.
type rowKernel struct {
	p      *param
	plane  filterBank
	planes [kernel.WinogradPatch]param
	floats []float32
	// trained: a training step reads it
	trained bool
}

// transformRows makes the copy of a kernel, or finds it.
func (c *compiler) transformRows(p *param, b *rowBank) *rowKernel {
	t := p.rows
	if t == nil {
		n := b.plane.weightCount
		t = &rowKernel{p: p, plane: b.plane, floats: c.prog.floats(kernel.WinogradPatch * n)}
		for i := range t.planes {
			t.planes[i].copied = n
			if t.floats != nil {
				t.planes[i].w = t.floats[i*n:][:n]
			}
		}
		p.rows = t
	}
	t.trained = t.trained || c.purpose.mode == training
	return t
}

// renew computes rows lo to hi of the kernel where training steps read the planes or, without trained, where they do not; and likewise the
// planes' copies.
func (t *rowKernel) renew(k *kernel.Kernels, lo, hi int, trained bool) {
	const taps, lanes = kernel.WinogradRowTaps, kernel.Lanes
	n := t.plane.cg * t.plane.filters
	for ky := lo; ky < hi && t.trained == trained; ky++ {
		l := kernel.Lines{Out: t.floats[ky*n:], OutStride: t.plane.weightCount / lanes, N: n / lanes, Outer: 1}
		for kx := range taps {
			l.In[kx] = t.p.w[(ky*taps+kx)*n:]
		}
		k.Winograd(kernel.WinogradRowKernel, l)
	}
	for i := range t.planes {
		for _, c := range t.planes[i].copies {
			if c.trained == trained {
				c.renew(lo*t.plane.cg, hi*t.plane.cg)
			}
		}
	}
}

// renewRows leaves the jobs that bring a kernel's planes up to date after its update.
func (c *compiler) renewRows(p *param) {
	t := p.rows
	if t == nil || !t.trained {
		return
	}
	shards := max(1, min(t.plane.v.Kernel, p.Size()/shardFloats))
	for s := range shards {
		lo, hi := chunkOf(t.plane.v.Kernel, s, shards)
		c.later(lateCopies, work{
			Task: device.Task{Name: p.Name + " transform", Layers: c.layersOf(p), Kernel: c.kernelName("winograd")},
			run:  func(*worker) { t.renew(c.k, lo, hi, true) },
		})
	}
}
