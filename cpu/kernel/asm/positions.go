package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// positions writes the weight gradients of one sample: their arguments and tiles are those of gradOuter.
func positions(g *gen) {
	var names []string
	for _, w := range widths {
		g.w = w
		table := "gradPositions" + w.name
		g.table = append(g.table, "", fmt.Sprintf("// %sTiles are the tiles, by taps and registers of outputs.", table), fmt.Sprintf("var %sTiles = []gradTile{", table))
		for _, t := range gradOuterTiles(w) {
			name := fmt.Sprintf("%sT%dJ%d", table, t[0], t[1])
			g.table = append(g.table, fmt.Sprintf("{%d, %d, %d},", t[0], t[1], len(names)))
			names = append(names, name)
			g.gradPositions(name, t[0], t[1])
		}
		g.table = append(g.table, "}")
	}
	g.dispatch("gradPositionsCall", names)
}

// gradPositions writes tiles of taps × registers of outputs: for tiles, rows and positions, a weight's sum grows by x·dy.
func (g *gen) gradPositions(name string, T, J int) {
	acc := func(t, j int) reg.VecPhysical { return g.v(t*J + j) }
	spare := len(g.w.regs) - T*J
	g.fn(name, fmt.Sprintf("adds the gradient of %d taps and %d registers of outputs.", T, J))
	dw, xr, yr, xp, yp := reg.RDX, reg.RSI, reg.RBX, reg.RAX, reg.RCX
	cols, xcol, ycol, row, rows, tmp := reg.R8, reg.R9, reg.R10, reg.R11, reg.R12, reg.R15
	tileL, rowL, colL := g.label("tile"), g.label("row"), g.label("col")
	startL, loadPartL := g.label("start"), g.label("partial")
	storeL, storedL := g.label("store"), g.label("stored")

	// each visits the tile's places in dw.
	each := func(f func(r reg.VecPhysical, m operand.Mem, j int)) {
		g.MOVQ(arg(gradTileDW), dw)
		for t := range T {
			for j := range J {
				f(acc(t, j), mem(dw, g.w.bytes*j), j)
			}
			if t+1 < T {
				g.ADDQ(row, dw)
			}
		}
	}
	k := []reg.Register{reg.K1, reg.K2, reg.K3, reg.K4}
	mask := func(j int) reg.VecPhysical { return g.v(T*J + j%spare) }
	// eachPartial visits them with the masks of the registers' real lanes.
	eachPartial := func(f func(r reg.VecPhysical, m operand.Mem, j int)) {
		g.MOVQ(arg(gradMasks), tmp)
		for j := range J {
			if g.w.bytes == 64 {
				g.KMOVW(mem(tmp, 2*j), k[j])
			} else if J <= spare {
				g.VMOVUPS(mem(tmp, 32*j), mask(j))
			}
		}
		each(f)
	}
	g.MOVQ(arg(gradXCol), xcol)
	g.MOVQ(arg(gradYCol), ycol)
	g.MOVQ(arg(gradDWRow), row)
	// the running pointers are numbers of their own: past the last tile they point nowhere
	g.MOVQ(arg(gradX), tmp)
	g.MOVQ(tmp, arg(gradTileX))
	g.MOVQ(arg(gradDW), tmp)
	g.MOVQ(tmp, arg(gradTileDW))
	g.Label(tileL)
	g.CMPQ(arg(gradPartial), operand.I8(0))
	g.JNE(operand.LabelRef(loadPartL))
	each(func(r reg.VecPhysical, m operand.Mem, _ int) { g.VMOVUPS(m, r) })
	g.JMP(operand.LabelRef(startL))
	g.Label(loadPartL)
	eachPartial(func(r reg.VecPhysical, m operand.Mem, j int) {
		if g.w.bytes == 64 {
			g.VMOVUPS_Z(m, k[j], r)
		} else {
			g.VMASKMOVPS(m, mask(j), r)
		}
	})
	g.Label(startL)
	g.MOVQ(arg(gradRows), rows)
	g.MOVQ(arg(gradTileX), xr)
	g.MOVQ(arg(gradDY), yr)
	g.Label(rowL)
	g.MOVQ(xr, xp)
	g.MOVQ(yr, yp)
	g.MOVQ(arg(gradCols), cols)
	g.Label(colL)
	g.outerProducts(T, J, 0, func(t int) operand.Mem { return mem(xp, 4*t) }, func(j int) operand.Mem { return mem(yp, g.w.bytes*j) })
	g.ADDQ(xcol, xp)
	g.ADDQ(ycol, yp)
	g.DECQ(cols)
	g.JNZ(operand.LabelRef(colL))
	g.ADDQ(arg(gradXRow), xr)
	g.ADDQ(arg(gradYRow), yr)
	g.DECQ(rows)
	g.JNZ(operand.LabelRef(rowL))

	g.CMPQ(arg(gradPartial), operand.I8(0))
	g.JNE(operand.LabelRef(storeL))
	each(func(r reg.VecPhysical, m operand.Mem, _ int) { g.VMOVUPS(r, m) })
	g.JMP(operand.LabelRef(storedL))
	g.Label(storeL)
	eachPartial(func(r reg.VecPhysical, m operand.Mem, j int) {
		if g.w.bytes == 64 {
			g.VMOVUPS(r, k[j], m)
		} else {
			g.VMASKMOVPS(r, mask(j), m)
		}
	})
	g.Label(storedL)
	g.MOVQ(arg(gradXTile), tmp)
	g.ADDQ(tmp, arg(gradTileX))
	g.MOVQ(arg(gradDWTile), tmp)
	g.ADDQ(tmp, arg(gradTileDW))
	g.DECQ(arg(gradTiles))
	g.JNZ(operand.LabelRef(tileL))
	g.end()
}
