//go:build amd64 || arm64

package kernel

import "unsafe"

// gradArgs is what the assembly of the weight gradients reads; strides are in bytes. The generator knows the offsets.
type gradArgs struct {
	dw, x, dy     unsafe.Pointer
	rows, cols    int
	xrow, xcol    int
	yrow, ycol    int
	dwrow, ld     int
	tiles         int // of GradOuter, one after the other along the taps
	add, partial  int
	masks         unsafe.Pointer
	xtile, dwtile int
	_             [4]int // the assembly's own
}

// gradTile is a register tile: taps × outputs, or × registers of outputs.
type gradTile struct{ t, j, id int }

// gradBlock is so many tiles of a weight gradient.
type gradBlock struct {
	id        int
	t, tiles  int
	x, row    int // the first tap's offset in x and row of dw
	out       int // the first output
	partial   bool
	lanes     [4]uint16    // which outputs of each register are real
	laneMasks [4][8]uint32 // the same as AVX2 wants it
}

// gradPlan is what a path prepares for a weight gradient.
type gradPlan []gradBlock

// gradCover splits taps and outputs into tiles at the least cost.
func gradCover(taps []Run, outs int, tiles []gradTile, cost func(t, j int) float64, f func(r Run, t gradTile, x, row, out, n int)) {
	sizes := map[int][]gemmTile{} // by j: the tiles' taps
	for _, t := range tiles {
		sizes[t.j] = append(sizes[t.j], gemmTile{p: t.t, j: t.j, id: t.id})
	}
	for _, r := range taps {
		covers, prices := map[int][]gemmTile{}, map[int]float64{}
		var widths []gemmTile
		for j := 1; j <= 8; j++ {
			if len(sizes[j]) > 0 {
				covers[j], prices[j] = cover(int(r.N), sizes[j], func(t gemmTile) int { return t.p }, func(t gemmTile) float64 { return cost(t.p, t.j) + 0.25 })
				widths = append(widths, gemmTile{j: j})
			}
		}
		js, _ := cover(outs, widths, func(t gemmTile) int { return t.j }, func(t gemmTile) float64 { return prices[t.j] })
		out := 0
		for _, j := range js {
			at := 0
			for i := 0; i < len(covers[j.j]); {
				t, n := covers[j.j][i], 0
				for ; i < len(covers[j.j]) && covers[j.j][i].p == t.p; i++ {
					n++
				}
				f(r, gradTile{t.p, t.j, t.id}, int(r.X)+at, int(r.W)+at, out, n)
				at += n * t.p
			}
			out += j.j
		}
	}
}

func planLanes(g *GradLanes, tiles []gradTile, cost func(t, j int) float64) gradPlan {
	var blocks gradPlan
	gradCover(g.Taps, g.Outs, tiles, cost, func(_ Run, t gradTile, x, row, out, n int) {
		blocks = append(blocks, gradBlock{id: t.id, t: t.t, tiles: n, x: x, row: row, out: out})
	})
	return blocks
}

// planOuter has outputs in registers of so many lanes.
func planOuter(g *GradOuter, tiles []gradTile, lanes int, cost func(t, j int) float64) gradPlan {
	var blocks gradPlan
	gradCover(g.Taps, (g.Outs+lanes-1)/lanes, tiles, cost, func(_ Run, t gradTile, x, row, out, n int) {
		b := gradBlock{id: t.id, t: t.t, tiles: n, x: x, row: row, out: out * lanes}
		for j := range t.j {
			for l := range lanes {
				if b.out+j*lanes+l >= g.Outs {
					b.partial = true
					continue
				}
				b.lanes[j] |= 1 << l
				if lanes == 8 {
					b.laneMasks[j][l] = ^uint32(0)
				}
			}
		}
		blocks = append(blocks, b)
	})
	return blocks
}

func gradLanesAVX512(g *GradLanes, acc, x, dy []float32, rows int) {
	gradLanesNative(g, acc, x, dy, rows, 1)
}

func gradLanesAVX2(g *GradLanes, acc, x, dy []float32, rows int) {
	gradLanesNative(g, acc, x, dy, rows, 2)
}

// gradLanesBytes of x and dy pass through all tiles before the next rows.
const gradLanesBytes = 256 << 10

func gradLanesNative(g *GradLanes, acc, x, dy []float32, rows, halves int) {
	a := gradArgs{xrow: g.XRow * 64, xcol: g.XCol * 64, yrow: g.YRow * 64, ycol: g.YCol * 64, dwrow: g.Outs * 64, cols: g.Cols}
	pa, px, py := unsafe.Pointer(unsafe.SliceData(acc)), unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(dy))
	chunk := max(1, gradLanesBytes/(64*max(1, g.XRow+g.YRow)))
	for r := 0; r < rows; r += chunk {
		for i := range g.aux {
			b := &g.aux[i]
			for n := range b.tiles {
				for h := range halves {
					a.rows = min(chunk, rows-r)
					a.dw = unsafe.Add(pa, ((b.row+n*b.t)*g.Outs+b.out)*64+32*h)
					a.x = unsafe.Add(px, (r*g.XRow+b.x+n*b.t)*64+32*h)
					a.dy = unsafe.Add(py, (r*g.YRow+b.out)*64+32*h)
					gradLanesCall(b.id, (*byte)(unsafe.Pointer(&a)))
				}
			}
		}
	}
}

func gradOuterAVX512(g *GradOuter, dw, x, dy []float32, rows int, add bool) {
	gradOuterNative(g, dw, x, dy, rows, add, true)
}

func gradOuterAVX2(g *GradOuter, dw, x, dy []float32, rows int, add bool) {
	gradOuterNative(g, dw, x, dy, rows, add, false)
}

// gradOuterBytes of dy, for one tile's outputs, stay in the first-level cache while all taps pass.
const gradOuterBytes = 24 << 10

func gradOuterNative(g *GradOuter, dw, x, dy []float32, rows int, add, wide bool) {
	chunk := max(1, gradOuterBytes/(Lanes*4*min(64, Padded(g.Outs))))
	if chunk >= g.Cols {
		chunk /= g.Cols
		for r := 0; r < rows; r += chunk {
			n := min(chunk, rows-r)
			gradOuterChunk(g, dw, x[r*g.XRow*Lanes:], dy[r*g.YRow*Lanes:], n, g.Cols, add || r > 0, wide)
		}
		return
	}
	for r := range rows {
		for c := 0; c < g.Cols; c += chunk {
			gradOuterChunk(g, dw, x[(r*g.XRow+c*g.XCol)*Lanes:], dy[(r*g.YRow+c*g.YCol)*Lanes:], 1, min(chunk, g.Cols-c), add || r+c > 0, wide)
		}
	}
}

func gradOuterChunk(g *GradOuter, dw, x, dy []float32, rows, cols int, add, wide bool) {
	a := gradArgs{xrow: g.XRow * 64, xcol: g.XCol * 64, yrow: g.YRow * 64, ycol: g.YCol * 64, dwrow: g.WTap * 4, ld: Padded(g.Outs) * 4,
		rows: rows, cols: cols}
	if add {
		a.add = 1
	}
	pw, px, py := unsafe.Pointer(unsafe.SliceData(dw)), unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(dy))
	for i := range g.aux {
		b := &g.aux[i]
		a.dw = unsafe.Add(pw, (b.row*g.WTap+b.out)*4)
		a.x = unsafe.Add(px, b.x*64)
		a.dy = unsafe.Add(py, b.out*4)
		a.tiles, a.xtile, a.dwtile = b.tiles, b.t*64, b.t*a.dwrow
		a.partial = 0
		if b.partial {
			a.partial = 1
			if a.masks = unsafe.Pointer(&b.laneMasks); wide {
				a.masks = unsafe.Pointer(&b.lanes)
			}
		}
		gradOuterCall(b.id, (*byte)(unsafe.Pointer(&a)))
	}
}
