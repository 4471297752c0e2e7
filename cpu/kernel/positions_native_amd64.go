package kernel

import "unsafe"

// planPositions has outputs in registers of so many lanes.
func planPositions(g *GradPositions, tiles []gradTile, lanes int) gradPlan {
	return planOuter(&GradOuter{GradSpec: g.GradSpec}, tiles, lanes, gradCost)
}

func gradPositionsAVX2(g *GradPositions, dw, x, dy []float32, rows int) {
	gradPositionsNative(g, dw, x, dy, rows, false)
}

func gradPositionsAVX512(g *GradPositions, dw, x, dy []float32, rows int) {
	gradPositionsNative(g, dw, x, dy, rows, true)
}

// gradPositionsNative takes all rows through one tile after another: the caller cuts them so that x and dy stay in the first-level cache.
func gradPositionsNative(g *GradPositions, dw, x, dy []float32, rows int, wide bool) {
	a := gradArgs{xrow: g.XRow * 4, xcol: g.XCol * 4, yrow: g.YRow * 4, ycol: g.YCol * 4, dwrow: g.WTap * 4, rows: rows, cols: g.Cols}
	pw, px, py := unsafe.Pointer(unsafe.SliceData(dw)), unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(dy))
	for i := range g.aux {
		b := &g.aux[i]
		a.dw = unsafe.Add(pw, (b.row*g.WTap+b.out)*4)
		a.x = unsafe.Add(px, b.x*4)
		a.dy = unsafe.Add(py, b.out*4)
		a.tiles, a.xtile, a.dwtile = b.tiles, b.t*4, b.t*a.dwrow
		a.partial = 0
		if b.partial {
			a.partial = 1
			if a.masks = unsafe.Pointer(&b.laneMasks); wide {
				a.masks = unsafe.Pointer(&b.lanes)
			}
		}
		gradPositionsCall(b.id, (*byte)(unsafe.Pointer(&a)))
	}
}
