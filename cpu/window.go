package cpu

import (
	"fmt"

	"gcnn/cpu/kernel"
	"gcnn/model"
)

// windowSide is the side of the max pooling's windows that a convolution reduces in registers.
const windowSide = 2

// windowCall is a row of windows that see the same taps, made ready. Offsets are in floats.
type windowCall struct {
	g          *kernel.Window
	y, x, w, b int
}

// usesWindows reports whether a convolution's sums are pooled where they arise: those of 2×2 windows with an activation that the
// kernel knows, where that is faster.
func (c *compiler) usesWindows(b *filterBank, pool *bandPool, f model.ActivationFunc) bool {
	return pool.max && pool.v.Kernel == windowSide && pool.h.Kernel == windowSide && (f == model.Linear || f == model.ReLU) &&
		c.k.PreferWindow(b.kernelRows, b.fg)
}

// usesWindowGrads reports whether the kernel's gradients are summed from that of the pooled output, so that the gradient at the sums need
// not be made: where no more than this kernel reads it, all windows see the same taps, and it is faster.
func (c *compiler) usesWindowGrads(b *filterBank, pool *bandPool, kern *param) bool {
	if c.purpose.unfused || pool == nil || !pool.max || pool.v.Kernel != windowSide || pool.h.Kernel != windowSide || !kern.trains() {
		return false
	}
	s := b.forwardSlide()
	rs, cs := s.rows[0], s.cols[0]
	return rs.n >= windowSide*pool.v.Out && cs.n >= windowSide*pool.h.Out && c.k.PreferWindowGrad(s.region(0, rs, cs, 0).taps, b.fg)
}

// windowGrads are the sums of the windows of a pool whose rows begin with the output's row lo, and columns are those of s, for each group.
func (c *compiler) windowGrads(b *filterBank, pool *bandPool, lo int, s slide) (calls []windowGradCall) {
	rs, _ := s.rows[0].within(lo, lo+windowSide)
	cs := s.cols[0]
	row := pool.h.Out * b.filters
	for g := range s.groups {
		r := s.region(g, rs, cs, lo)
		spec := kernel.WindowGradSpec{GradSpec: kernel.GradSpec{Taps: r.taps, Outs: b.fg}, Right: cs.advance * s.xChannels, Down: rs.advance * s.xWidth * s.xChannels}
		spec.Grid = kernel.Grid{
			Cols: pool.n / (b.filters * kernel.Lanes), XRow: windowSide * spec.Down, XCol: windowSide * spec.Right, YRow: row, YCol: b.filters,
		}
		k, err := c.k.NewWindowGrad(spec)
		if err != nil {
			c.fail(err)
			continue
		}
		calls = append(calls, windowGradCall{
			g: k, acc: g * b.kernelRows * b.fg * kernel.Lanes, bias: g * b.fg * kernel.Lanes, x: r.x * kernel.Lanes, y: g * b.fg * kernel.Lanes,
		})
	}
	return calls
}

// windowBands cuts a convolution's output into bands that are pieces of the pooled output. Windows whose sums see the same taps go straight to the pooled
// output; of the others, which lie at a border, a band has the sums and their pools.
func (c *compiler) windowBands(s slide, spec kernel.GemmSpec, pool *bandPool, pieces []piece, wGroup int) []convBand {
	var all []convBand
	for _, piece := range pieces {
		lo := piece.row * windowSide
		bd := convBand{lo: lo, hi: lo + windowSide, pool: pool.piece(c, piece.from, piece.to)}
		pooled := make([]bool, pool.h.Out)
		for _, rs := range s.rows {
			if rs, ok := rs.within(bd.lo, bd.hi); ok && rs.n == windowSide && len(rs.taps) > 0 {
				for _, cs := range s.cols {
					from, to := max((cs.first+windowSide-1)/windowSide, piece.from), min((cs.first+cs.n)/windowSide, piece.to)
					if from < to && len(cs.taps) > 0 {
						bd.windows = append(bd.windows, c.windows(s, spec, rs, cs, from, to, wGroup)...)
						for k := from; k < to; k++ {
							pooled[k] = true
						}
					}
				}
			}
		}
		var rest []region
		for from := piece.from; from < piece.to; from++ {
			if pooled[from] {
				continue
			}
			to := from
			for to < piece.to && !pooled[to] {
				to++
			}
			part := s.columns(from*windowSide, to*windowSide)
			rest = append(rest, part.regions(bd.lo, bd.hi)...)
			bd.pools = append(bd.pools, pool.piece(c, from, to))
			from = to
		}
		bd.calls, bd.empty = c.gemms(rest, spec, wGroup, s.yGroup)
		all = append(all, bd)
	}
	return all
}

// windows makes the products of windows from to to of a row, for each group.
func (c *compiler) windows(s slide, spec kernel.GemmSpec, rs, cs segment, from, to, wGroup int) (calls []windowCall) {
	cs, _ = cs.within(from*windowSide, to*windowSide)
	for g := range s.groups {
		r := s.region(g, rs, cs, rs.first)
		w := kernel.WindowSpec{GemmSpec: spec, Right: r.grid.XCol, Down: r.grid.XRow}
		w.Taps = r.taps
		w.Grid = kernel.Grid{Cols: to - from, XCol: windowSide * w.Right, YCol: s.yChannels}
		p, err := c.window(w)
		if err != nil {
			c.fail(err)
			continue
		}
		calls = append(calls, windowCall{p, (from*s.yChannels + g*s.yGroup) * kernel.Lanes, r.x * kernel.Lanes, g * wGroup, g * s.yGroup})
	}
	return calls
}

// window makes a product with pooling, or finds the one that was made of the same description.
func (c *compiler) window(spec kernel.WindowSpec) (*kernel.Window, error) {
	key := fmt.Sprint(spec)
	if w, ok := c.windowCache[key]; ok {
		return w, nil
	}
	w, err := c.k.NewWindow(spec)
	if err == nil {
		c.windowCache[key] = w
	}
	return w, err
}

// runPools pools the sums of a band that windows leave out.
func runPools(pools []*bandPool, y []float32, arg []uint8, sums []float32) {
	for _, p := range pools {
		var a []uint8
		if arg != nil {
			a = arg[p.y:]
		}
		p.forward(y[p.y:], a, sums)
	}
}

// runWindows computes a row of windows; arg is nil where no gradient is wanted.
func runWindows(calls []windowCall, y []float32, arg []uint8, x, w, bias []float32) {
	for i := range calls {
		q := &calls[i]
		var b []float32
		if bias != nil {
			b = bias[q.b:]
		}
		var a []uint8
		if arg != nil {
			a = arg[q.y:]
		}
		q.g.Do(y[q.y:], a, x[q.x:], w[q.w:], b, 1)
	}
}
