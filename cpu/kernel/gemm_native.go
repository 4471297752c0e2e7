//go:build amd64 || arm64

package kernel

import "unsafe"

// gemmArgs is what the assembly of Gemm reads; strides are in bytes. The generator knows the offsets.
type gemmArgs struct {
	y, x, w, bias    unsafe.Pointer
	runs, runsEnd    unsafe.Pointer
	rows, tiles      int
	xrow, xcol       int
	xtile            int
	yrow, ycol, yout int
	ytile            int
	wtap, wout       int
	init, relu       int
	_                [5]int // the assembly's own
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
}

// gemmPlan is what a path prepares for a Gemm.
type gemmPlan struct {
	runs   []gemmRun
	blocks []gemmBlock
	rows   int // at once, so that their x stays in the second-level cache while all outputs pass
}

const chunkBytes = 512 << 10

// planGemm covers a row's positions × outputs with the tiles that cost least.
func planGemm(g *Gemm, tiles []gemmTile, cost func(p, j int) float64) gemmPlan {
	plan := gemmPlan{runs: make([]gemmRun, len(g.Taps))}
	taps := 0
	for i, t := range g.Taps {
		plan.runs[i] = gemmRun{int(t.X) * 64, int(t.W) * g.WTap * 4, int(t.N)}
		taps += int(t.N)
	}
	total := func(t gemmTile) float64 { return float64(taps)*cost(t.p, t.j) + 8 + 1.5*float64(t.p*t.j) }
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
	col := 0
	for i := 0; i < len(columns); {
		p, n := columns[i].p, 0
		for ; i < len(columns) && columns[i].p == p; i++ {
			n++
		}
		out := 0
		for _, t := range outs[p] {
			plan.blocks = append(plan.blocks, gemmBlock{t.id, p, n, col, out})
			out += t.j
		}
		col += n * p
	}
	plan.rows = max(1, chunkBytes/64/max(1, g.XRow))
	return plan
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
	a := gemmArgs{
		runs: unsafe.Pointer(unsafe.SliceData(g.aux.runs)),
		xrow: g.XRow * 64, xcol: g.XCol * 64, yrow: g.YRow * 64, ycol: g.YCol * 64, yout: g.YOut * 64,
		wtap: g.WTap * 4, wout: g.WOut * 4, init: int(g.Init),
	}
	a.runsEnd = unsafe.Add(a.runs, len(g.aux.runs)*int(unsafe.Sizeof(gemmRun{})))
	if g.ReLU {
		a.relu = 1
	}
	px, py, pw := unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(y)), unsafe.Pointer(unsafe.SliceData(w))
	pb := unsafe.Pointer(unsafe.SliceData(bias))
	for r := 0; r < rows; r += g.aux.rows {
		n := min(g.aux.rows, rows-r)
		for i := range g.aux.blocks {
			b := &g.aux.blocks[i]
			a.x = unsafe.Add(px, (r*g.XRow+b.col*g.XCol)*64)
			a.y = unsafe.Add(py, (r*g.YRow+b.col*g.YCol+b.out*g.YOut)*64)
			a.w = unsafe.Add(pw, b.out*g.WOut*4)
			if g.Init == Bias {
				a.bias = unsafe.Add(pb, b.out*4)
			}
			a.rows, a.tiles = n, b.tiles
			a.xtile, a.ytile = b.p*a.xcol, b.p*a.ycol
			gemmCall(b.id, (*byte)(unsafe.Pointer(&a)))
		}
	}
}
