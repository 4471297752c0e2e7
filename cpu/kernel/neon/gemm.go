package main

import "fmt"

// Offsets in kernel.gemmArgs.
const (
	gemmY, gemmX, gemmW, gemmBias = 0, 8, 16, 24
	gemmRuns, gemmRunsEnd         = 32, 40
	gemmRows, gemmTiles           = 48, 56
	gemmXRow, gemmXCol, gemmXTile = 64, 72, 80
	gemmYRow, gemmYCol, gemmYOut  = 88, 96, 104
	gemmYTile, gemmWTap, gemmWOut = 112, 120, 128
	gemmInit, gemmReLU            = 136, 144
)

// gemmTileSet lists positions × outputs; a sum of 16 lanes is four registers, so 24 accumulators are six sums.
func gemmTileSet() []tile {
	var tiles []tile
	for p := 1; p <= 6; p++ {
		for j := 1; p*j <= 6; j++ {
			tiles = append(tiles, tile{p, j})
		}
	}
	return tiles
}

func gemms(g *gen) {
	var names []string
	for _, strided := range []bool{false, true} {
		table := "gemmNEON"
		if strided {
			table += "Strided"
		}
		g.tileTable(table, "gemmTile", table, "PJ", "positions and outputs", gemmTileSet(), &names, func(name string, t tile) {
			g.gemm(name, t.a, t.b, strided)
		})
	}
	g.dispatch("gemmCall", names)
}

// gemm writes a tile: for rows, for tiles of a row, for runs, for taps. Outputs lie side by side in w or, strided (the input gradient), a
// stride apart.
func (g *gen) gemm(name string, P, J int, strided bool) {
	// R1-R6 are the positions' x, R7-R12 the outputs' w where strided.
	xp := func(p int) string { return fmt.Sprintf("R%d", 1+p) }
	wj := func(j int) string { return fmt.Sprintf("R%d", 7+j) }
	const n, run, runsEnd, rows, tiles, xcur, ycur, w, xrow, yrow = "R14", "R15", "R16", "R17", "R19", "R20", "R21", "R22", "R23", "R24"
	const wtap, tmp = "R25", "R26"
	off := "R13" // of the tap, where strided
	acc := func(p, j, q int) int { return (p*J+j)*4 + q }
	weights := (J + 3) / 4
	if strided {
		weights = J
	}
	first := 4 * P * J
	pairs := (registers - first - weights) / 2 // of x registers in turn

	// each visits the tile's places in y, two registers at a time.
	each := func(f func(base string, disp, r int)) {
		g.op("MOVD %s, R1", ycur)
		g.arg(gemmYCol, "R3")
		g.arg(gemmYOut, "R4")
		for p := range P {
			g.op("MOVD R1, R2")
			for j := range J {
				f("R2", 0, acc(p, j, 0))
				f("R2", 32, acc(p, j, 2))
				if j+1 < J {
					g.op("ADD R4, R2, R2")
				}
			}
			if p+1 < P {
				g.op("ADD R3, R1, R1")
			}
		}
	}

	g.fn(name, fmt.Sprintf("computes tiles of %d positions and %d outputs.", P, J))
	g.arg(gemmRows, rows)
	g.arg(gemmX, xrow)
	g.arg(gemmY, yrow)
	g.arg(gemmW, w)
	g.arg(gemmWTap, wtap)
	g.arg(gemmRunsEnd, runsEnd)
	g.loop("row", rows, func() {
		g.op("MOVD %s, %s", xrow, xcur)
		g.op("MOVD %s, %s", yrow, ycur)
		g.arg(gemmTiles, tiles)
		g.loop("tile", tiles, func() {
			g.gemmStart(P, J, acc, each)
			g.arg(gemmRuns, run)
			runL := g.label("run")
			g.at(runL)
			g.op("LDP.P 16(%s), (R1, R7)", run)
			g.op("MOVD.P 8(%s), %s", run, n)
			g.op("ADD %s, R1, R1", xcur)
			if P > 1 {
				g.arg(gemmXCol, tmp)
			}
			for p := 1; p < P; p++ {
				g.op("ADD %s, %s, %s", tmp, xp(p-1), xp(p))
			}
			g.op("ADD %s, R7, R7", w)
			if strided {
				if J > 1 {
					g.arg(gemmWOut, tmp)
				}
				for j := 1; j < J; j++ {
					g.op("ADD %s, %s, %s", tmp, wj(j-1), wj(j))
				}
				g.op("MOVD ZR, %s", off)
			}
			g.loop("tap", n, func() {
				g.gemmTap(P, J, strided, first, weights, pairs, xp, wj, acc)
				if strided {
					g.op("ADD %s, %s, %s", wtap, off, off)
				} else {
					g.op("ADD %s, R7, R7", wtap)
				}
			})
			g.op("CMP %s, %s", runsEnd, run)
			g.op("BNE %s", runL)
			g.gemmReLU(first)
			each(func(base string, disp, r int) { g.store2(base, disp, r, r+1) })
			g.arg(gemmXTile, "R1")
			g.arg(gemmYTile, "R2")
			g.op("ADD R1, %s, %s", xcur, xcur)
			g.op("ADD R2, %s, %s", ycur, ycur)
		})
		g.arg(gemmXRow, "R1")
		g.arg(gemmYRow, "R2")
		g.op("ADD R1, %s, %s", xrow, xrow)
		g.op("ADD R2, %s, %s", yrow, yrow)
	})
	g.op("RET")
}

// gemmTap multiplies a tap: its weights stay, x passes through pairs of registers and its pointers move on by a vector.
func (g *gen) gemmTap(P, J int, strided bool, first, weights, pairs int, xp, wj func(int) string, acc func(p, j, q int) int) {
	element := func(j int) (r, i int) { return first + j/4, j % 4 }
	if strided {
		element = func(j int) (r, i int) { return first + j, 0 }
		for j := range J {
			g.op("FMOVS (%s)(R13), F%d", wj(j), first+j)
		}
	} else {
		g.gemmWeights(J, first)
	}
	at := 0
	for p := range P {
		for _, q := range []int{2, 0} {
			r := first + weights + 2*(at%pairs)
			at++
			if q == 2 {
				g.load2(xp(p), 32, r, r+1)
			} else {
				g.op("FLDPQ.P 64(%s), (F%d, F%d)", xp(p), r, r+1)
			}
			for j := range J {
				m, i := element(j)
				g.fmlaElement(acc(p, j, q), r, m, i)
				g.fmlaElement(acc(p, j, q+1), r+1, m, i)
			}
		}
	}
}

// gemmWeights loads J neighbouring weights from R7, and not a byte more: they may be the last of their slice.
func (g *gen) gemmWeights(J, first int) {
	for j := 0; j < J; j += 4 {
		r, d := first+j/4, 4*j
		switch min(J-j, 4) {
		case 1:
			g.op("FMOVS %d(R7), F%d", d, r)
		case 2:
			g.op("FMOVD %d(R7), F%d", d, r)
		case 3:
			g.op("FMOVD %d(R7), F%d", d, r)
			g.op("ADD $%d, R7, R8", d+8)
			g.op("VLD1 (R8), V%d.S[2]", r)
		case 4:
			g.load("R7", d, r)
		}
	}
}

// gemmStart sets the sums to 0, the bias or y.
func (g *gen) gemmStart(P, J int, acc func(p, j, q int) int, each func(func(base string, disp, r int))) {
	biasL, accL, startL := g.label("bias"), g.label("accumulate"), g.label("start")
	g.arg(gemmInit, "R1")
	g.op("CMP $1, R1")
	g.op("BEQ %s", biasL)
	g.op("BGT %s", accL)
	for i := range 4 * P * J {
		g.zero(i)
	}
	g.op("B %s", startL)
	g.at(biasL)
	g.arg(gemmBias, "R1")
	for j := range J {
		r := acc(0, j, 0)
		g.op("VLD1R.P 4(R1), [V%d.S4]", r)
		for p := range P {
			for q := range 4 {
				if d := acc(p, j, q); d != r {
					g.move(d, r)
				}
			}
		}
	}
	g.op("B %s", startL)
	g.at(accL)
	each(func(base string, disp, r int) { g.load2(base, disp, r, r+1) })
	g.at(startL)
}

// gemmReLU clears what is below 0. Unlike FMAX it keeps −0, as the amd64 kernels do; NaN stays NaN.
func (g *gen) gemmReLU(sums int) {
	storeL := g.label("store")
	g.arg(gemmReLU, "R1")
	g.op("CBZ R1, %s", storeL)
	spare := registers - sums
	for i := range sums {
		t := sums + i%spare
		g.op2("fcmlt", t, i)
		g.op3("bic", i, i, t)
	}
	g.at(storeL)
}
