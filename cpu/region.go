package cpu

import (
	"fmt"

	"gcnn/cpu/kernel"
	"gcnn/model"
)

// filterBank is the geometry of a convolution: how its kernel slides, and where the channels of its groups lie.
type filterBank struct {
	v, h        model.Window
	channels    int // of the input
	filters     int
	groups      int
	inW, outW   int // positions of a row
	cg, fg      int // channels and filters of one group
	kernelRows  int // kh·kw·cg
	weightCount int
	dense       bool // rows of tiles, which follow each other without a gap: see slide
}

func newFilterBank(l model.Conv2D, in model.Shape) filterBank {
	v, h := l.Windows(in)
	b := filterBank{v: v, h: h, channels: in[2], filters: l.Filters, groups: l.Groups, inW: in[1], outW: h.Out}
	b.cg, b.fg = b.channels/b.groups, b.filters/b.groups
	b.kernelRows = v.Kernel * h.Kernel * b.cg
	b.weightCount = b.kernelRows * b.filters
	return b
}

// region is a rectangle of positions that all see the same taps: a segment of rows by a segment of columns, of one group.
// Offsets are in vectors.
type region struct {
	group      int
	rows, cols int
	x, y       int // of the first position, in the operand and the result
	grid       kernel.Grid
	taps       []kernel.Run
	turned     bool // rows and columns have changed places, so that a single column makes a long row
}

// regions cuts rows lo to hi of a result into regions. The operand has xWidth positions of xChannels vectors a row, of which a
// group reads xGroup; the result yWidth of yChannels. row is the kernel's row of tap (ky, kx), its first channel. Row lo of
// the result lies at y = 0; row xFirst of the operand at x = 0.
type slide struct {
	rows, cols                []segment
	xWidth, xChannels, xGroup int
	yWidth, yChannels, yGroup int
	groups                    int
	row                       func(ky, kx int) int
	dense                     bool // rows that follow each other in operand and result make one
}

func (b *filterBank) forwardSlide() slide {
	return slide{
		rows: forwardAxis(b.v), cols: forwardAxis(b.h), groups: b.groups, dense: b.dense,
		xWidth: b.inW, xChannels: b.channels, xGroup: b.cg, yWidth: b.outW, yChannels: b.filters, yGroup: b.fg,
		row: func(ky, kx int) int { return (ky*b.h.Kernel + kx) * b.cg },
	}
}

// backwardSlide reads the kernel that flip made: both axes reversed, filters before channels.
func (b *filterBank) backwardSlide() slide {
	return slide{
		rows: backwardAxis(b.v), cols: backwardAxis(b.h), groups: b.groups, dense: b.dense,
		xWidth: b.outW, xChannels: b.filters, xGroup: b.fg, yWidth: b.inW, yChannels: b.channels, yGroup: b.cg,
		row: func(ky, kx int) int { return ((b.v.Kernel-1-ky)*b.h.Kernel + b.h.Kernel - 1 - kx) * b.fg },
	}
}

func (s *slide) regions(lo, hi int) []region {
	var all []region
	for g := range s.groups {
		for _, rs := range s.rows {
			rs, ok := rs.within(lo, hi)
			if !ok {
				continue
			}
			for _, cs := range s.cols {
				all = append(all, s.region(g, rs, cs, lo))
			}
		}
	}
	return all
}

// columns is the slide over columns lo to hi of the result, which keeps its place and width.
func (s *slide) columns(lo, hi int) slide {
	part := *s
	part.cols = nil
	for _, cs := range s.cols {
		if cs, ok := cs.within(lo, hi); ok {
			part.cols = append(part.cols, cs)
		}
	}
	return part
}

func (s *slide) region(g int, rs, cs segment, lo int) region {
	r := region{group: g, rows: rs.n, cols: cs.n, grid: kernel.Grid{
		Cols: cs.n,
		XRow: rs.advance * s.xWidth * s.xChannels, XCol: cs.advance * s.xChannels,
		YRow: rs.step * s.yWidth * s.yChannels, YCol: cs.step * s.yChannels,
	}}
	r.y = ((rs.first-lo)*s.yWidth+cs.first)*s.yChannels + g*s.yGroup
	if cs.n == 1 && rs.n > 1 {
		r.turned = true
		r.rows, r.cols = 1, rs.n
		r.grid = kernel.Grid{Cols: rs.n, XRow: r.grid.XCol, XCol: r.grid.XRow, YRow: r.grid.YCol, YCol: r.grid.YRow}
	}
	if s.dense && r.grid.XRow == r.grid.XCol*r.cols && r.grid.YRow == r.grid.YCol*r.cols {
		r.rows, r.cols = 1, r.rows*r.cols
		r.grid.Cols = r.cols
	}
	if len(rs.taps) == 0 || len(cs.taps) == 0 {
		return r
	}
	y0, x0 := rs.taps[0].x, cs.taps[0].x
	r.x = (y0*s.xWidth+x0)*s.xChannels + g*s.xGroup
	for _, ty := range rs.taps {
		for _, tx := range cs.taps {
			r.taps = appendRun(r.taps, kernel.Run{
				X: int32(((ty.x-y0)*s.xWidth + tx.x - x0) * s.xChannels), W: int32(s.row(ty.k, tx.k)), N: int32(s.xGroup),
			})
		}
	}
	return r
}

// appendRun joins a run to the last one where it goes on from it on both sides.
func appendRun(runs []kernel.Run, r kernel.Run) []kernel.Run {
	if n := len(runs); n > 0 {
		if last := &runs[n-1]; last.X+last.N == r.X && last.W+last.N == r.W {
			last.N += r.N
			return runs
		}
	}
	return append(runs, r)
}

// gemmCall is a region's product, made ready. Offsets are in floats.
type gemmCall struct {
	g          *kernel.Gemm
	y, x, w, b int
	rows       int
}

// gemms makes the products of regions; w is the float offset of a group's kernel, outs and strides those of its columns. A
// region without taps has no product: empty gets it.
func (c *compiler) gemms(regions []region, spec kernel.GemmSpec, wGroup, bGroup int) (calls []gemmCall, empty []region) {
	for _, r := range regions {
		if len(r.taps) == 0 {
			empty = append(empty, r)
			continue
		}
		spec.Grid, spec.Taps = r.grid, r.taps
		g, err := c.gemm(spec)
		if err != nil {
			c.fail(err)
			continue
		}
		calls = append(calls, gemmCall{g, r.y * kernel.Lanes, r.x * kernel.Lanes, r.group * wGroup, r.group * bGroup, r.rows})
	}
	return calls, empty
}

// gemm makes a product, or finds the one that was made of the same description.
func (c *compiler) gemm(spec kernel.GemmSpec) (*kernel.Gemm, error) {
	key := fmt.Sprint(spec)
	if g, ok := c.gemmCache[key]; ok {
		return g, nil
	}
	g, err := c.k.NewGemm(spec)
	if err == nil {
		c.gemmCache[key] = g
	}
	return g, err
}

func runGemms(calls []gemmCall, y, x, w, bias []float32) {
	for i := range calls {
		q := &calls[i]
		var b []float32
		if bias != nil {
			b = bias[q.b:]
		}
		q.g.Do(y[q.y:], x[q.x:], w[q.w:], b, q.rows)
	}
}

// flops is the arithmetic of a group of samples: two operations for each tap that lies on the operand.
func (s *slide) flops() int64 {
	count := func(segments []segment) (n int64) {
		for _, g := range segments {
			n += int64(g.n) * int64(len(g.taps))
		}
		return n
	}
	return 2 * kernel.Lanes * count(s.rows) * count(s.cols) * int64(s.xGroup) * int64(s.yGroup) * int64(s.groups)
}

// fillRegions sets a result where no tap falls on the operand: to the bias or to zero.
func fillRegions(empty []region, outs int, y, bias []float32) {
	for i := range empty {
		r := &empty[i]
		for row := range r.rows {
			for col := range r.cols {
				at := (r.y + row*r.grid.YRow + col*r.grid.YCol) * kernel.Lanes
				for j := range outs {
					v := float32(0)
					if bias != nil {
						v = bias[r.group*outs+j]
					}
					lanes := y[at+j*kernel.Lanes:][:kernel.Lanes]
					for l := range lanes {
						lanes[l] = v
					}
				}
			}
		}
	}
}
