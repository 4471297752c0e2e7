package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in kernel.gradArgs.
const (
	gradDW, gradX, gradDY                = 0, 8, 16
	gradRows, gradCols                   = 24, 32
	gradXRow, gradXCol                   = 40, 48
	gradYRow, gradYCol                   = 56, 64
	gradDWRow, gradLD, gradTiles         = 72, 80, 88
	gradAdd, gradPartial, gradMasks      = 96, 104, 112
	gradXTile, gradDWTile, gradCountRows = 120, 128, 136
	gradTileX, gradTileDW                = 144, 152
)

// gradLanesTiles are register tiles of taps × outputs.
func gradLanesTiles(w width) [][2]int {
	limit := 12
	if w.bytes == 64 {
		limit = 24
	}
	var tiles [][2]int
	for t := 1; t <= 6; t++ {
		for j := 1; j <= 8; j++ {
			if t*j <= limit {
				tiles = append(tiles, [2]int{t, j})
			}
		}
	}
	return tiles
}

// gradOuterTiles are register tiles of taps × registers of outputs.
func gradOuterTiles(w width) [][2]int {
	js := map[int][]int{1: {1, 2, 3, 4, 6, 8, 12}, 2: {1, 2, 3, 4, 6}, 4: {1, 2, 3}}
	if w.bytes == 64 {
		js = map[int][]int{1: {1, 2, 3, 4, 6, 8, 12, 16, 24}, 2: {1, 2, 3, 4, 6, 8, 9, 12}, 3: {1, 2, 3, 4, 6, 8}, 4: {1, 2, 3, 4, 6}}
	}
	var tiles [][2]int
	for j := 1; j <= 4; j++ {
		for _, t := range js[j] {
			tiles = append(tiles, [2]int{t, j})
		}
	}
	return tiles
}

func grads(g *gen) {
	var lanes, outer []string
	table := func(kind string, tiles [][2]int, f func(name string, t, j int), names *[]string) {
		g.table = append(g.table, "", fmt.Sprintf("// %s%sTiles are the tiles, by taps and outputs.", kind, g.w.name), fmt.Sprintf("var %s%sTiles = []gradTile{", kind, g.w.name))
		for _, t := range tiles {
			name := fmt.Sprintf("%s%sT%dJ%d", kind, g.w.name, t[0], t[1])
			g.table = append(g.table, fmt.Sprintf("{%d, %d, %d},", t[0], t[1], len(*names)))
			*names = append(*names, name)
			f(name, t[0], t[1])
		}
		g.table = append(g.table, "}")
	}
	for _, w := range widths {
		g.w = w
		table("gradLanes", gradLanesTiles(w), g.gradLanes, &lanes)
		table("gradOuter", gradOuterTiles(w), g.gradOuter, &outer)
	}
	g.dispatch("gradLanesCall", lanes)
	g.dispatch("gradOuterCall", outer)
	g.w = avx2
	g.addLanes()
}

// addLanes adds the lanes of 8 vectors at a time: halves of a vector, then of what is left, so that two, four and eight vectors share a
// register. Arguments: dst, src, number of groups of 8 vectors. Both paths use it.
func (g *gen) addLanes() {
	g.fn("addLanes8", "adds the lanes of vectors, 8 at a time.")
	dst, src, n := reg.RSI, reg.RDX, reg.RCX
	g.MOVQ(arg(0), dst)
	g.MOVQ(arg(8), src)
	g.MOVQ(arg(16), n)
	l := g.label("loop")
	g.Label(l)
	v := g.v
	for i := range 8 {
		g.VMOVUPS(mem(src, 64*i), v(i))
		g.VADDPS(mem(src, 64*i+32), v(i), v(i))
	}
	for i := range 4 { // vectors i and i+4
		g.VPERM2F128(operand.U8(0x20), v(i+4), v(i), v(8+i))
		g.VPERM2F128(operand.U8(0x31), v(i+4), v(i), v(12+i))
		g.VADDPS(v(12+i), v(8+i), v(i))
	}
	for i := range 2 {
		g.VSHUFPS(operand.U8(0x44), v(2*i+1), v(2*i), v(8+i))
		g.VSHUFPS(operand.U8(0xee), v(2*i+1), v(2*i), v(12+i))
		g.VADDPS(v(12+i), v(8+i), v(4+i))
	}
	g.VSHUFPS(operand.U8(0x88), v(5), v(4), v(8))
	g.VSHUFPS(operand.U8(0xdd), v(5), v(4), v(9))
	g.VADDPS(v(9), v(8), v(0))
	g.VMOVUPS(v(0), mem(dst, 0))
	g.ADDQ(operand.I32(32), dst)
	g.ADDQ(operand.I32(512), src)
	g.DECQ(n)
	g.JNZ(operand.LabelRef(l))
	g.end()
}

// gradLanes writes a tile whose sums, one vector for each tap and output, stay in registers over all positions. AVX2 does half of the lanes.
func (g *gen) gradLanes(name string, T, J int) {
	acc := func(t, j int) reg.VecPhysical { return g.v(t*J + j) }
	spare := len(g.w.regs) - T*J
	g.fn(name, fmt.Sprintf("adds the gradient of %d taps and %d outputs.", T, J))
	dw, x, y, xp, yp, xcol, ycol, cols := reg.RDX, reg.RSI, reg.RBX, reg.RAX, reg.RCX, reg.R8, reg.R9, reg.R10
	row, xrow, yrow, rows := reg.R11, reg.R12, reg.R13, reg.R15
	each := func(f func(r reg.VecPhysical, m operand.Mem)) {
		g.MOVQ(arg(gradDW), dw)
		for t := range T {
			for j := range J {
				f(acc(t, j), mem(dw, 64*j))
			}
			if t+1 < T {
				g.ADDQ(row, dw)
			}
		}
	}
	g.MOVQ(arg(gradDWRow), row)
	g.MOVQ(arg(gradX), x)
	g.MOVQ(arg(gradDY), y)
	g.MOVQ(arg(gradXCol), xcol)
	g.MOVQ(arg(gradYCol), ycol)
	g.MOVQ(arg(gradXRow), xrow)
	g.MOVQ(arg(gradYRow), yrow)
	g.MOVQ(arg(gradRows), rows)
	each(func(r reg.VecPhysical, m operand.Mem) { g.VMOVUPS(m, r) })
	rowL, colL := g.label("row"), g.label("col")
	g.Label(rowL)
	g.MOVQ(x, xp)
	g.MOVQ(y, yp)
	g.MOVQ(arg(gradCols), cols)
	g.Label(colL)
	keep, rotate := J, T // the longer side stays in registers only where the shorter cannot
	kp, rp := yp, xp
	get := func(k, r int) reg.VecPhysical { return acc(r, k) }
	if T < J {
		keep, rotate, kp, rp = T, J, xp, yp
		get = func(k, r int) reg.VecPhysical { return acc(k, r) }
	}
	for k := range keep {
		g.VMOVUPS(mem(kp, 64*k), g.v(T*J+k))
	}
	for r := range rotate {
		b := g.v(T*J + keep + r%(spare-keep))
		g.VMOVUPS(mem(rp, 64*r), b)
		for k := range keep {
			g.VFMADD231PS(b, g.v(T*J+k), get(k, r))
		}
	}
	g.ADDQ(xcol, xp)
	g.ADDQ(ycol, yp)
	g.DECQ(cols)
	g.JNZ(operand.LabelRef(colL))
	g.ADDQ(xrow, x)
	g.ADDQ(yrow, y)
	g.DECQ(rows)
	g.JNZ(operand.LabelRef(rowL))
	each(func(r reg.VecPhysical, m operand.Mem) { g.VMOVUPS(r, m) })
	g.end()
}

// gradOuter writes tiles of taps × registers of outputs: for tiles, rows, positions and samples, a weight's sum grows by x·dy.
func (g *gen) gradOuter(name string, T, J int) {
	acc := func(t, j int) reg.VecPhysical { return g.v(t*J + j) }
	spare := len(g.w.regs) - T*J
	g.fn(name, fmt.Sprintf("computes the gradient of %d taps and %d registers of outputs.", T, J))
	dw, xr, yr, xp, yp := reg.RDX, reg.RSI, reg.RBX, reg.RAX, reg.RCX
	xq, yq, cols, n, ld, ld3, tmp := reg.R8, reg.R9, reg.R10, reg.R11, reg.R12, reg.R13, reg.R15
	tileL, rowL, colL, nL := g.label("tile"), g.label("row"), g.label("col"), g.label("samples")
	startL, loadL, loadPartL := g.label("start"), g.label("load"), g.label("partial")
	storeL, storedL := g.label("store"), g.label("stored")

	// each visits the tile's places in dw, masked or not.
	each := func(f func(r reg.VecPhysical, m operand.Mem, j int)) {
		g.MOVQ(arg(gradTileDW), dw)
		for t := range T {
			for j := range J {
				f(acc(t, j), mem(dw, g.w.bytes*j), j)
			}
			if t+1 < T {
				g.ADDQ(arg(gradDWRow), dw)
			}
		}
	}
	k := []reg.Register{reg.K1, reg.K2, reg.K3, reg.K4}
	mask := func(j int) reg.VecPhysical { return g.v(T*J + j%spare) }
	loadMasks := func() {
		g.MOVQ(arg(gradMasks), tmp)
		for j := range J {
			if g.w.bytes == 64 {
				g.KMOVW(mem(tmp, 2*j), k[j])
			} else if J <= spare {
				g.VMOVUPS(mem(tmp, 32*j), mask(j))
			}
		}
	}
	g.MOVQ(arg(gradLD), ld)
	g.LEAQ(at(ld, ld, 2, 0), ld3)
	// the running pointers are numbers of their own: past the last tile they point nowhere
	g.MOVQ(arg(gradX), tmp)
	g.MOVQ(tmp, arg(gradTileX))
	g.MOVQ(arg(gradDW), tmp)
	g.MOVQ(tmp, arg(gradTileDW))
	g.Label(tileL)
	g.CMPQ(arg(gradAdd), operand.I8(0))
	g.JNE(operand.LabelRef(loadL))
	for i := range T * J {
		g.zero(i)
	}
	g.JMP(operand.LabelRef(startL))
	g.Label(loadL)
	g.CMPQ(arg(gradPartial), operand.I8(0))
	g.JNE(operand.LabelRef(loadPartL))
	each(func(r reg.VecPhysical, m operand.Mem, _ int) { g.VMOVUPS(m, r) })
	g.JMP(operand.LabelRef(startL))
	g.Label(loadPartL)
	loadMasks()
	each(func(r reg.VecPhysical, m operand.Mem, j int) {
		if g.w.bytes == 64 {
			g.VMOVUPS_Z(m, k[j], r)
		} else {
			g.VMASKMOVPS(m, mask(j), r)
		}
	})
	g.Label(startL)
	g.MOVQ(arg(gradRows), tmp)
	g.MOVQ(tmp, arg(gradCountRows))
	g.MOVQ(arg(gradTileX), xr)
	g.MOVQ(arg(gradDY), yr)
	g.Label(rowL)
	g.MOVQ(xr, xq)
	g.MOVQ(yr, yq)
	g.MOVQ(arg(gradCols), cols)
	g.Label(colL)
	g.MOVQ(xq, xp)
	g.MOVQ(yq, yp)
	g.MOVQ(operand.U32(4), n)
	g.Label(nL)
	for s := range 4 {
		y := func(j int) operand.Mem {
			switch s {
			case 0:
				return mem(yp, g.w.bytes*j)
			case 1:
				return at(yp, ld, 1, g.w.bytes*j)
			case 2:
				return at(yp, ld, 2, g.w.bytes*j)
			default:
				return at(yp, ld3, 1, g.w.bytes*j)
			}
		}
		x := func(t int) operand.Mem { return mem(xp, 64*t+4*s) }
		g.outerProducts(T, J, s, x, y)
	}
	g.ADDQ(operand.I32(16), xp)
	g.LEAQ(at(yp, ld, 4, 0), yp)
	g.DECQ(n)
	g.JNZ(operand.LabelRef(nL))
	g.ADDQ(arg(gradXCol), xq)
	g.ADDQ(arg(gradYCol), yq)
	g.DECQ(cols)
	g.JNZ(operand.LabelRef(colL))
	g.ADDQ(arg(gradXRow), xr)
	g.ADDQ(arg(gradYRow), yr)
	g.DECQ(arg(gradCountRows))
	g.JNZ(operand.LabelRef(rowL))

	g.CMPQ(arg(gradPartial), operand.I8(0))
	g.JNE(operand.LabelRef(storeL))
	each(func(r reg.VecPhysical, m operand.Mem, _ int) { g.VMOVUPS(r, m) })
	g.JMP(operand.LabelRef(storedL))
	g.Label(storeL)
	loadMasks()
	each(func(r reg.VecPhysical, m operand.Mem, j int) {
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

// outerProducts adds x·dy to the sums of T taps × J registers of outputs: the shorter side stays in registers where there is room. It is
// the n-th of several that follow each other, whose registers take turns.
func (g *gen) outerProducts(T, J, n int, x, y func(i int) operand.Mem) {
	acc := func(t, j int) reg.VecPhysical { return g.v(t*J + j) }
	spare := len(g.w.regs) - T*J
	switch {
	case g.w.bytes == 64 && J == 1:
		b := g.v(T + n%spare)
		g.VMOVUPS(y(0), b)
		for t := range T {
			g.VFMADD231PS_BCST(x(t), b, acc(t, 0))
		}
	case J < spare && (J <= T || T >= spare):
		for j := range J {
			g.VMOVUPS(y(j), g.v(T*J+j))
		}
		for t := range T {
			b := g.v(T*J + J + t%(spare-J))
			g.VBROADCASTSS(x(t), b)
			for j := range J {
				g.VFMADD231PS(b, g.v(T*J+j), acc(t, j))
			}
		}
	default:
		for t := range T {
			g.VBROADCASTSS(x(t), g.v(T*J+t))
		}
		for j := range J {
			b := g.v(T*J + T + j%(spare-T))
			g.VMOVUPS(y(j), b)
			for t := range T {
				g.VFMADD231PS(b, g.v(T*J+t), acc(t, j))
			}
		}
	}
}
