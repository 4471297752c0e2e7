package cpu

import (
	"gcnn/cpu/kernel"
)

// product is the sums of a convolution, or its input's gradient, computed a band of rows at a time.
type product struct {
	bands    []convBand
	outs     int          // of one group
	w, bias  []float32    // bias is nil where there is none
	winograd *winograd    // nil: as a sum over taps
	rows     *rowWinograd // the same
	uses     []*buffer
	flops    int64 // of a group of samples
	kernel   string
}

// convSpec says what a product computes.
type convSpec struct {
	name       string
	bank       *filterBank
	kern, bias *param // bias is nil where there is none
	back       bool   // the input's gradient
	by         algorithm
	relu       bool
	pool       *bandPool // where a pool follows, whose pieces are the bands, unless by Winograd's algorithm; else nil
	pieces     []piece
	windows    bool // usesWindows
}

// convProduct prepares rows rows of a result in bands of height rows, or by Winograd's algorithm of the fewest rows that are whole
// tiles and a multiple of align.
func (c *compiler) convProduct(s convSpec, rows, height, align int) *product {
	b, back := s.bank, s.back
	slide, outs := b.forwardSlide(), b.fg
	if back {
		slide, outs = b.backwardSlide(), b.cg
	}
	p := &product{outs: outs, flops: slide.flops(), kernel: "gemm"}
	if s.bias != nil {
		p.bias = s.bias.w
	}
	switch s.by {
	case winogradTiles:
		p.kernel = "winograd"
		p.winograd = c.newWinograd(s.name, b.tiling(c, s.name, back), slide.yChannels, c.transform(s.kern, b, back), rows, align)
		p.winograd.relu, p.winograd.bias = s.relu, p.bias
		p.uses = p.winograd.uses()
		for k, lo := 0, 0; lo < rows; k, lo = k+1, lo+p.winograd.height {
			p.bands = append(p.bands, convBand{lo: lo, hi: min(lo+p.winograd.height, rows), pool: s.pool})
		}
		return p
	case winogradRows:
		p.kernel = "winograd"
		p.rows = c.newRowWinograd(s, rows, align)
		p.uses = p.rows.uses()
		for _, bd := range p.rows.bands {
			p.bands = append(p.bands, convBand{lo: bd.lo, hi: bd.hi, pool: s.pool})
		}
		return p
	case sumOverTaps:
	}
	spec := kernel.GemmSpec{Outs: outs, WTap: slide.yChannels, WOut: 1, ReLU: s.relu}
	if s.bias != nil {
		spec.Init = kernel.Bias
	}
	taps := b.v.Kernel * b.h.Kernel * slide.xGroup
	packed := kernel.PreferPacked(taps, outs)
	if packed {
		spec.Packed = taps
	}
	wGroup := b.fg
	if p.w = s.kern.w; back || packed {
		wGroup = b.kernelRows * b.fg
		spec.WTap = outs
		p.w = c.copyKernel(s.kern, b, back, packed)
	}
	switch {
	case s.windows:
		p.bands = c.windowBands(slide, spec, s.pool, s.pieces, wGroup)
	case s.pool != nil:
		p.bands = c.pieceBands(slide, spec, s.pool, s.pieces, wGroup)
	default:
		p.bands = c.bands(slide, spec, rows, height, wGroup)
	}
	return p
}

// band computes band k of group n into y from the whole operand x.
func (p *product) band(w *worker, n, k int, y, x []float32) {
	bd := &p.bands[k]
	if p.winograd != nil {
		p.winograd.band(w, k, bd.lo, y, x)
		return
	}
	if p.rows != nil {
		p.rows.band(w, n, k, y, x)
		return
	}
	runGemms(bd.calls, y, x, p.w, p.bias)
	fillRegions(bd.empty, p.outs, y, p.bias)
}

// convBand is rows lo to hi of a convolution's output, or a piece's columns of them.
type convBand struct {
	lo, hi  int
	pool    *bandPool // of the band's rows or piece, where a pool follows
	calls   []gemmCall
	empty   []region
	windows []windowCall // of windowBands: to the pooled output
	pools   []*bandPool  // of windowBands: of the sums that windows leave out
}

// sums reports whether a band has sums that are stored.
func (b *convBand) sums() bool { return len(b.calls) > 0 || len(b.empty) > 0 }

// bands cuts rows of a result into bands of height rows; wGroup is the floats from one group's weights to the next.
func (c *compiler) bands(s slide, spec kernel.GemmSpec, rows, height, wGroup int) []convBand {
	var all []convBand
	for lo := 0; lo < rows; lo += height {
		bd := convBand{lo: lo, hi: min(lo+height, rows)}
		bd.calls, bd.empty = c.gemms(s.regions(bd.lo, bd.hi), spec, wGroup, s.yGroup)
		all = append(all, bd)
	}
	return all
}

// pieceBands cuts a convolution's output into bands that are pieces of a pooled output.
func (c *compiler) pieceBands(s slide, spec kernel.GemmSpec, pool *bandPool, pieces []piece, wGroup int) []convBand {
	var all []convBand
	for _, p := range pieces {
		bd := convBand{lo: p.row * pool.v.Kernel, hi: (p.row + 1) * pool.v.Kernel, pool: pool.piece(c, p.from, p.to)}
		part := s.columns(pool.columns(p.from, p.to))
		bd.calls, bd.empty = c.gemms(part.regions(bd.lo, bd.hi), spec, wGroup, s.yGroup)
		all = append(all, bd)
	}
	return all
}

// kernelCopy is a convolution's kernel as its products want it: packed, or for the input's gradient with both axes reversed and
// filters before channels, or both; group after group.
type kernelCopy struct {
	back, packed bool
	reversed     bool // of a depthwise convolution: both axes reversed, channels where they are
	trained      bool // a training step reads it
	floats       []float32
	rows         int              // of the kernel
	renew        func(lo, hi int) // brings the copy up to date with rows lo to hi of the kernel, whole taps
}

// copyKernel makes a copy of a kernel, or finds it.
func (c *compiler) copyKernel(p *param, b *filterBank, back, packed bool) []float32 {
	for _, k := range p.copies {
		if k.back == back && k.packed == packed && !k.reversed {
			k.trained = k.trained || c.purpose.mode == training
			return k.floats
		}
	}
	k := &kernelCopy{back: back, packed: packed, trained: c.purpose.mode == training, floats: c.prog.floats(b.weightCount), rows: b.kernelRows}
	taps, group := b.v.Kernel*b.h.Kernel, b.kernelRows*b.fg
	k.renew = func(lo, hi int) {
		if k.floats == nil { // of an outline
			return
		}
		t0, t1 := lo/b.cg, hi/b.cg
		for g := range b.groups {
			w := p.w[lo*b.filters+g*b.fg:]
			dst := k.floats[g*group:][:group]
			switch {
			case !back:
				kernel.PackWeights(dst, w, b.fg, b.filters, lo, hi-lo, b.kernelRows)
			case packed:
				kernel.FlipPacked(dst, w, t0, t1, taps, b.cg, b.fg, b.filters)
			default:
				c.k.FlipKernel(dst[(taps-t1)*b.cg*b.fg:], w, t1-t0, b.cg, b.fg, b.filters)
			}
		}
	}
	p.copied += b.weightCount
	p.copies = append(p.copies, k)
	k.renew(0, b.kernelRows)
	return k.floats
}

// renewAll brings all copies of a convolution's kernel up to date.
func (p *param) renewAll(k *kernel.Kernels) {
	if p.rows != nil {
		p.rows.renew(k, 0, p.rows.plane.v.Kernel, true)
	}
	p.renewOthers(k)
	for _, c := range p.copies {
		if c.trained {
			c.renew(0, c.rows)
		}
	}
	for _, t := range p.transforms {
		if t.trained {
			t.renew(k, 0, t.in, make([]float32, t.scratch()))
		}
	}
}

// renewOthers brings those up to date that training steps do not.
func (p *param) renewOthers(k *kernel.Kernels) {
	if p.rows != nil {
		p.rows.renew(k, 0, p.rows.plane.v.Kernel, false)
	}
	for _, c := range p.copies {
		if !c.trained {
			c.renew(0, c.rows)
		}
	}
	for _, t := range p.transforms {
		if !t.trained {
			t.renew(k, 0, t.in, make([]float32, t.scratch()))
		}
	}
}
