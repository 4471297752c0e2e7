package main

import "fmt"

// Offsets in kernel.gradArgs.
const (
	gradDW, gradX, gradDY           = 0, 8, 16
	gradRows, gradCols              = 24, 32
	gradXRow, gradXCol              = 40, 48
	gradYRow, gradYCol              = 56, 64
	gradDWRow, gradLD, gradTiles    = 72, 80, 88
	gradAdd, gradPartial, gradMasks = 96, 104, 112
	gradXTile, gradDWTile           = 120, 128
)

// gradLanesTiles are taps × outputs. A call does half of the lanes, two registers for each sum: a whole vector would load nearly as
// often as it multiplies.
func gradLanesTiles() []tile {
	var tiles []tile
	for t := 1; t <= 6; t++ {
		for j := 1; j <= 8 && t*j <= 12; j++ {
			tiles = append(tiles, tile{t, j})
		}
	}
	return tiles
}

// gradOuterTiles are taps × registers of four outputs. All taps' x and two registers of dy fit beside the sums.
func gradOuterTiles() []tile {
	var tiles []tile
	for j := 1; j <= 4; j++ {
		for _, t := range []int{1, 2, 3, 4, 5, 6, 8, 9, 12} {
			if t*j <= 24 && t*j+t+2 <= registers {
				tiles = append(tiles, tile{t, j})
			}
		}
	}
	return tiles
}

func grads(g *gen) {
	var lanes, outer []string
	g.tileTable("gradLanesNEONTiles", "gradTile", "gradLanesNEON", "TJ", "taps and outputs", gradLanesTiles(), &lanes, func(name string, t tile) {
		g.gradLanes(name, t.a, t.b)
	})
	g.tileTable("gradOuterNEONTiles", "gradTile", "gradOuterNEON", "TJ", "taps and registers of outputs", gradOuterTiles(), &outer, func(name string, t tile) {
		g.gradOuter(name, t.a, t.b)
	})
	g.dispatch("gradLanesCall", lanes)
	g.dispatch("gradOuterCall", outer)
}

// gradLanes writes a tile whose sums, eight lanes for each tap and output, stay in registers over all positions.
func (g *gen) gradLanes(name string, T, J int) {
	const dw, x, y, xp, yp, xcol, ycol, cols = "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8"
	const row, xrow, yrow, rows = "R9", "R10", "R11", "R12"
	acc := func(t, j int) int { return 2 * (t*J + j) }
	g.fn(name, fmt.Sprintf("adds the gradient of %d taps and %d outputs, eight lanes.", T, J))
	each := func(f func(base string, disp, r1, r2 int)) {
		g.arg(gradDW, dw)
		for t := range T {
			for j := range J {
				f(dw, 64*j, acc(t, j), acc(t, j)+1)
			}
			if t+1 < T {
				g.op("ADD %s, %s, %s", row, dw, dw)
			}
		}
	}
	g.arg(gradDWRow, row)
	g.arg(gradX, x)
	g.arg(gradDY, y)
	g.arg(gradXCol, xcol)
	g.arg(gradYCol, ycol)
	g.arg(gradXRow, xrow)
	g.arg(gradYRow, yrow)
	g.arg(gradRows, rows)
	each(g.load2)
	// the shorter side stays in registers, the longer one passes
	keep, pass, keepAt, passAt := J, T, yp, xp
	sum := func(k, r int) int { return acc(r, k) }
	if T < J {
		keep, pass, keepAt, passAt = T, J, xp, yp
		sum = acc
	}
	first := 2 * T * J
	pairs := (registers - first - 2*keep) / 2
	g.loop("row", rows, func() {
		g.op("MOVD %s, %s", x, xp)
		g.op("MOVD %s, %s", y, yp)
		g.arg(gradCols, cols)
		g.loop("col", cols, func() {
			for k := range keep {
				g.load2(keepAt, 64*k, first+2*k, first+2*k+1)
			}
			for r := range pass {
				b := first + 2*keep + 2*(r%pairs)
				g.load2(passAt, 64*r, b, b+1)
				for k := range keep {
					g.fmla(sum(k, r), b, first+2*k)
					g.fmla(sum(k, r)+1, b+1, first+2*k+1)
				}
			}
			g.op("ADD %s, %s, %s", xcol, xp, xp)
			g.op("ADD %s, %s, %s", ycol, yp, yp)
		})
		g.op("ADD %s, %s, %s", xrow, x, x)
		g.op("ADD %s, %s, %s", yrow, y, y)
	})
	each(g.store2)
	g.op("RET")
}

// gradOuter writes tiles of taps × registers of outputs: for tiles, rows, positions and samples, a weight's sum grows by x·dy. Four
// samples of a tap's x are a register, and each sample multiplies by its element.
func (g *gen) gradOuter(name string, T, J int) {
	const xp, yp, ld, xq, yq, xcol, ycol, cols, n = "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9"
	const rows, xr, yr, xrow, yrow, dw, dwrow, tiles, x, at, mask, tmp = "R10", "R11", "R12", "R13", "R14", "R15", "R16", "R17", "R19", "R20", "R21", "R22"
	acc := func(t, j int) int { return t*J + j }
	first := T * J
	ys := registers - first - T // registers that dy passes through

	g.fn(name, fmt.Sprintf("computes the gradient of %d taps and %d registers of outputs.", T, J))
	// each visits the tile's places in dw; with part the last register of a row is given to part.
	each := func(f func(base string, disp, r int), part func(base string, disp, r int)) {
		g.op("MOVD %s, %s", dw, at)
		for t := range T {
			for j := range J {
				if j == J-1 && part != nil {
					part(at, 16*j, acc(t, j))
				} else {
					f(at, 16*j, acc(t, j))
				}
			}
			if t+1 < T {
				g.op("ADD %s, %s, %s", dwrow, at, at)
			}
		}
	}
	g.arg(gradDW, dw)
	g.arg(gradX, x)
	g.arg(gradTiles, tiles)
	g.arg(gradDWRow, dwrow)
	g.arg(gradLD, ld)
	g.arg(gradXCol, xcol)
	g.arg(gradYCol, ycol)
	g.arg(gradXRow, xrow)
	g.arg(gradYRow, yrow)
	// the last register's outputs: 1 of one, 3 of two, 7 of three, 0 of four
	whole := g.label("whole")
	g.arg(gradPartial, mask)
	g.op("CBZ %s, %s", mask, whole)
	g.arg(gradMasks, tmp)
	g.op("MOVHU %d(%s), %s", 2*(J-1), tmp, mask)
	g.at(whole)
	g.loop("tile", tiles, func() {
		loadL, partL, startL := g.label("load"), g.label("partial"), g.label("start")
		g.arg(gradAdd, tmp)
		g.op("CBNZ %s, %s", tmp, loadL)
		for i := range first {
			g.zero(i)
		}
		g.op("B %s", startL)
		g.at(loadL)
		g.op("CBNZ %s, %s", mask, partL)
		each(g.load, nil)
		g.op("B %s", startL)
		g.at(partL)
		each(g.load, func(base string, disp, r int) { g.loadPart(base, disp, r, mask, tmp) })
		g.at(startL)
		g.op("MOVD %s, %s", x, xr)
		g.arg(gradDY, yr)
		g.arg(gradRows, rows)
		g.loop("row", rows, func() {
			g.op("MOVD %s, %s", xr, xq)
			g.op("MOVD %s, %s", yr, yq)
			g.arg(gradCols, cols)
			g.loop("col", cols, func() {
				g.op("MOVD %s, %s", xq, xp)
				g.op("MOVD %s, %s", yq, yp)
				g.op("MOVD $4, %s", n)
				g.loop("samples", n, func() {
					for t := range T {
						g.load(xp, 64*t, first+t)
					}
					next := 0
					for s := range 4 {
						for j := range J {
							b := first + T + next%ys
							next++
							g.load(yp, 16*j, b)
							for t := range T {
								g.fmlaElement(acc(t, j), b, first+t, s)
							}
						}
						g.op("ADD %s, %s, %s", ld, yp, yp)
					}
					g.op("ADD $16, %s, %s", xp, xp)
				})
				g.op("ADD %s, %s, %s", xcol, xq, xq)
				g.op("ADD %s, %s, %s", ycol, yq, yq)
			})
			g.op("ADD %s, %s, %s", xrow, xr, xr)
			g.op("ADD %s, %s, %s", yrow, yr, yr)
		})
		storeL, storedL := g.label("store"), g.label("stored")
		g.op("CBNZ %s, %s", mask, storeL)
		each(g.store, nil)
		g.op("B %s", storedL)
		g.at(storeL)
		each(g.store, func(base string, disp, r int) { g.storePart(base, disp, r, mask, tmp) })
		g.at(storedL)
		g.arg(gradXTile, tmp)
		g.op("ADD %s, %s, %s", tmp, x, x)
		g.arg(gradDWTile, tmp)
		g.op("ADD %s, %s, %s", tmp, dw, dw)
	})
	g.op("RET")
}

// loadPart loads one, two or three floats.
func (g *gen) loadPart(base string, disp, r int, mask, tmp string) {
	one, done := g.label("one"), g.label("loaded")
	g.op("TBZ $1, %s, %s", mask, one)
	g.op("FMOVD %d(%s), F%d", disp, base, r)
	g.op("TBZ $2, %s, %s", mask, done)
	g.op("ADD $%d, %s, %s", disp+8, base, tmp)
	g.op("VLD1 (%s), V%d.S[2]", tmp, r)
	g.op("B %s", done)
	g.at(one)
	g.op("FMOVS %d(%s), F%d", disp, base, r)
	g.at(done)
}

// storePart stores as many.
func (g *gen) storePart(base string, disp, r int, mask, tmp string) {
	one, done := g.label("one"), g.label("stored")
	g.op("TBZ $1, %s, %s", mask, one)
	g.op("FMOVD F%d, %d(%s)", r, disp, base)
	g.op("TBZ $2, %s, %s", mask, done)
	g.op("ADD $%d, %s, %s", disp+8, base, tmp)
	g.op("VST1 V%d.S[2], (%s)", r, tmp)
	g.op("B %s", done)
	g.at(one)
	g.op("FMOVS F%d, %d(%s)", r, disp, base)
	g.at(done)
}
