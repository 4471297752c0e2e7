package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in kernel.gemmArgs.
const (
	gemmY, gemmX, gemmW, gemmBias          = 0, 8, 16, 24
	gemmRuns, gemmRunsEnd                  = 32, 40
	gemmRows, gemmTiles                    = 48, 56
	gemmXRow, gemmXCol, gemmXTile          = 64, 72, 80
	gemmYRow, gemmYCol, gemmYOut           = 88, 96, 104
	gemmYTile, gemmWTap, gemmWOut          = 112, 120, 128
	gemmInit, gemmReLU                     = 136, 144
	gemmRowX, gemmRowY, gemmCount, gemmCur = 152, 160, 168, 176
	gemmHalf                               = 184
	gemmRight, gemmDown, gemmArgmax        = 192, 200, 208
	gemmWTile, gemmBiasTile                = 216, 224
	gemmCurW, gemmCurBias                  = 232, 240
)

// gemmTile is a register tile: positions × outputs.
type gemmTile struct{ p, j int }

// gemmTileSet lists the tiles of a width, with outputs side by side in w (or, strided, a stride apart: the input gradient). AVX2 has 12
// accumulators, AVX-512 up to 28; both want 8 in flight.
func gemmTileSet(w width, strided bool) []gemmTile {
	var js map[int][]int
	switch {
	case w.bytes == 32 && !strided:
		js = map[int][]int{1: {1, 2, 3, 4, 5, 6}, 2: {1, 2, 3}, 3: {1, 2, 3, 4}, 4: {1, 2, 3}, 6: {1, 2}}
	case w.bytes == 32:
		js = map[int][]int{1: {1, 2, 3, 4, 5, 6}, 2: {1, 2, 3}, 3: {1, 2, 3, 4}, 4: {1, 2, 3}}
	case !strided:
		js = map[int][]int{1: {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28}, 2: {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14},
			3: {1, 2, 3, 4, 5, 6, 7, 8, 9}, 4: {1, 2, 3, 4, 5, 6}, 6: {1, 2, 3, 4}}
	default:
		js = map[int][]int{1: {1, 2, 3, 4, 6, 8, 12, 16, 24}, 2: {1, 2, 3, 4, 6, 8, 12}, 3: {1, 2, 3, 4, 6, 8}, 4: {1, 2, 3, 4, 6}}
	}
	var tiles []gemmTile
	for p := 1; p <= 6; p++ {
		for _, j := range js[p] {
			tiles = append(tiles, gemmTile{p, j})
		}
	}
	return tiles
}

func gemms(g *gen) {
	var names []string
	for _, w := range widths {
		g.w = w
		for _, strided := range []bool{false, true} {
			table := fmt.Sprintf("gemm%s", w.name)
			if strided {
				table += "Strided"
			}
			g.table = append(g.table, "", fmt.Sprintf("// %s are the tiles, by positions and outputs.", table), fmt.Sprintf("var %s = []gemmTile{", table))
			for _, t := range gemmTileSet(w, strided) {
				name := fmt.Sprintf("%sP%dJ%d", table, t.p, t.j)
				g.table = append(g.table, fmt.Sprintf("{%d, %d, %d},", t.p, t.j, len(names)))
				names = append(names, name)
				g.gemm(name, t, strided, false, 0)
			}
			g.table = append(g.table, "}")
		}
		names = g.windows(names)
	}
	g.dispatch("gemmCall", names)
}

// unit is a register of x within a tile: a position and, with AVX2, a half of its vector.
type unit struct{ p, half int }

// gemm writes a tile: for rows, for tiles of a row (for halves), for runs, for taps. The positions of a tile are neighbours in a row
// or, of a window, two in each of two rows whose maxima are stored. The tiles of a single row may be of the same positions and follow each
// other along the outputs: then WTile bytes of weights, and of biases, lie between them. Where unrolled is not 0, all runs of a window's sums
// have so many taps.
func (g *gen) gemm(name string, t gemmTile, strided, window bool, unrolled int) {
	x, xcol, xcol3, xcol5 := reg.RSI, reg.R8, reg.R9, reg.R10
	xp, wp, n, run := reg.RAX, reg.RCX, reg.R11, reg.R12
	y, tmp := reg.RDX, reg.RBX
	wout, wout3, wout5, wout7 := reg.R10, reg.R13, reg.R14, reg.R15
	wp2, wp3 := reg.RBX, reg.RDX // strided: y is loaded at the end
	wtap := reg.R13
	xdown := xcol5

	var units []unit
	halves := g.w.bytes == 32 && t.p > 2
	for p := range t.p {
		units = append(units, unit{p, 0})
		if g.w.bytes == 32 && !halves {
			units = append(units, unit{p, 1})
		}
	}
	U, J := len(units), t.j
	acc := func(u, j int) reg.VecPhysical { return g.v(u*J + j) }
	spare := len(g.w.regs) - U*J

	tap := 0
	xaddr := func(u int) operand.Mem {
		d := units[u].half*32 + tap*64
		switch p := units[u].p; {
		case p == 0:
			return mem(xp, d)
		case p == 1:
			return at(xp, xcol, 1, d)
		case p == 2 && window:
			return at(xp, xdown, 1, d)
		case p == 2:
			return at(xp, xcol, 2, d)
		case p == 3:
			return at(xp, xcol3, 1, d)
		case p == 4:
			return at(xp, xcol, 4, d)
		default:
			return at(xp, xcol5, 1, d)
		}
	}
	waddr := func(j int) operand.Mem {
		if !strided {
			switch tap {
			case 0:
				return mem(wp, 4*j)
			case 3:
				return at(wp, n, 1, 4*j)
			default:
				return at(wp, wtap, uint8(tap), 4*j)
			}
		}
		base := []reg.Register{wp, wp2, wp3}[j/8]
		switch j % 8 {
		case 0:
			return mem(base, 0)
		case 1:
			return at(base, wout, 1, 0)
		case 2:
			return at(base, wout, 2, 0)
		case 3:
			return at(base, wout3, 1, 0)
		case 4:
			return at(base, wout, 4, 0)
		case 5:
			return at(base, wout5, 1, 0)
		case 6:
			return at(base, wout3, 2, 0)
		default:
			return at(base, wout7, 1, 0)
		}
	}

	if window {
		g.fn(name, fmt.Sprintf("computes the maxima of windows of %d positions and %d outputs.", t.p, t.j))
	} else {
		g.fn(name, fmt.Sprintf("computes tiles of %d positions and %d outputs.", t.p, t.j))
	}
	rowL, tileL, halfL, runL, tapL := g.label("row"), g.label("tile"), g.label("half"), g.label("run"), g.label("tap")
	switch {
	case window:
		g.MOVQ(arg(gemmRight), xcol)
		g.MOVQ(arg(gemmDown), xdown)
		g.LEAQ(at(xcol, xdown, 1, 0), xcol3)
	default:
		g.MOVQ(arg(gemmXCol), xcol)
		if t.p > 3 {
			g.LEAQ(at(xcol, xcol, 2, 0), xcol3)
		}
		if t.p > 4 {
			g.LEAQ(at(xcol, xcol, 4, 0), xcol5)
		}
	}
	if strided {
		g.MOVQ(arg(gemmWOut), wout)
		g.LEAQ(at(wout, wout, 2, 0), wout3)
		g.LEAQ(at(wout, wout, 4, 0), wout5)
		g.LEAQ(at(wout3, wout, 4, 0), wout7)
	} else {
		g.MOVQ(arg(gemmWTap), wtap)
		if unrolled > 3 {
			g.LEAQ(at(wtap, wtap, 2, 0), n)
		}
	}

	// the running pointers are numbers of their own: past the last row they point nowhere
	g.MOVQ(arg(gemmX), tmp)
	g.MOVQ(tmp, arg(gemmRowX))
	g.MOVQ(arg(gemmY), tmp)
	g.MOVQ(tmp, arg(gemmRowY))
	g.Label(rowL)
	g.MOVQ(arg(gemmRowX), x)
	g.MOVQ(arg(gemmRowY), y)
	g.MOVQ(y, arg(gemmCur))
	g.MOVQ(arg(gemmTiles), tmp)
	g.MOVQ(tmp, arg(gemmCount))
	g.MOVQ(arg(gemmW), tmp)
	g.MOVQ(tmp, arg(gemmCurW))
	g.MOVQ(arg(gemmBias), tmp)
	g.MOVQ(tmp, arg(gemmCurBias))
	g.Label(tileL)
	if halves {
		g.MOVQ(operand.U32(2), arg(gemmHalf))
		g.Label(halfL)
	}

	g.gemmStart(t, units, acc, y, tmp, !window)
	g.MOVQ(arg(gemmRuns), run)
	g.Label(runL)
	g.MOVQ(mem(run, 0), xp)
	g.MOVQ(mem(run, 8), wp)
	if unrolled == 0 {
		g.MOVQ(mem(run, 16), n)
	}
	g.ADDQ(x, xp)
	g.ADDQ(arg(gemmCurW), wp)
	if strided && J > 8 {
		g.LEAQ(at(wp, wout, 8, 0), wp2)
	}
	if strided && J > 16 {
		g.LEAQ(at(wp2, wout, 8, 0), wp3)
	}
	if unrolled == 0 {
		g.Label(tapL)
	}
	for tap = range max(1, unrolled) {
		switch {
		case g.w.bytes == 64 && U == 1: // each weight is used once: broadcast it in the multiplication
			g.VMOVUPS(xaddr(0), g.v(J))
			for j := range J {
				g.VFMADD231PS_BCST(waddr(j), g.v(J), acc(0, j))
			}
		case U <= J: // x stays, weights rotate
			for u := range U {
				g.VMOVUPS(xaddr(u), g.v(U*J+u))
			}
			for j := range J {
				b := g.v(U*J + U + j%(spare-U))
				g.VBROADCASTSS(waddr(j), b)
				for u := range U {
					g.VFMADD231PS(b, g.v(U*J+u), acc(u, j))
				}
			}
		default: // weights stay, x rotates
			for j := range J {
				g.VBROADCASTSS(waddr(j), g.v(U*J+j))
			}
			for u := range U {
				b := g.v(U*J + J + u%(spare-J))
				g.VMOVUPS(xaddr(u), b)
				for j := range J {
					g.VFMADD231PS(b, g.v(U*J+j), acc(u, j))
				}
			}
		}
	}
	switch {
	case unrolled > 0:
	case strided:
		g.ADDQ(operand.I32(64), xp)
		g.ADDQ(arg(gemmWTap), wp)
		if J > 8 {
			g.ADDQ(arg(gemmWTap), wp2)
		}
		if J > 16 {
			g.ADDQ(arg(gemmWTap), wp3)
		}
	default:
		g.ADDQ(operand.I32(64), xp)
		g.ADDQ(wtap, wp)
	}
	if unrolled == 0 {
		g.DECQ(n)
		g.JNZ(operand.LabelRef(tapL))
	}
	g.ADDQ(operand.I32(24), run)
	g.CMPQ(run, arg(gemmRunsEnd))
	g.JNE(operand.LabelRef(runL))
	if window {
		g.windowEnd(t, acc, y, tmp)
	} else {
		g.gemmEnd(t, units, acc, y, tmp, spare)
	}

	if halves {
		again := g.label("again")
		g.DECQ(arg(gemmHalf))
		g.JZ(operand.LabelRef(again))
		g.ADDQ(operand.I32(32), x)
		g.ADDQ(operand.I32(32), arg(gemmCur))
		g.JMP(operand.LabelRef(halfL))
		g.Label(again)
		g.SUBQ(operand.I32(32), x)
		g.SUBQ(operand.I32(32), arg(gemmCur))
	}
	g.ADDQ(arg(gemmXTile), x)
	g.MOVQ(arg(gemmYTile), tmp)
	g.ADDQ(tmp, arg(gemmCur))
	if !window {
		g.MOVQ(arg(gemmWTile), tmp)
		g.ADDQ(tmp, arg(gemmCurW))
		g.MOVQ(arg(gemmBiasTile), tmp)
		g.ADDQ(tmp, arg(gemmCurBias))
	}
	g.DECQ(arg(gemmCount))
	g.JNZ(operand.LabelRef(tileL))
	g.MOVQ(arg(gemmXRow), tmp)
	g.ADDQ(tmp, arg(gemmRowX))
	g.MOVQ(arg(gemmYRow), tmp)
	g.ADDQ(tmp, arg(gemmRowY))
	g.DECQ(arg(gemmRows))
	g.JNZ(operand.LabelRef(rowL))
	g.end()
}

// gemmStart sets the sums to 0, the bias or, where they may accumulate, y.
func (g *gen) gemmStart(t gemmTile, units []unit, acc func(u, j int) reg.VecPhysical, y, tmp reg.GPPhysical, accumulate bool) {
	U, J := len(units), t.j
	biasL, accL, startL := g.label("bias"), g.label("accumulate"), g.label("start")
	g.CMPQ(arg(gemmInit), operand.I8(1))
	g.JEQ(operand.LabelRef(biasL))
	if accumulate {
		g.JGT(operand.LabelRef(accL))
	}
	for i := range U * J {
		g.zero(i)
	}
	g.JMP(operand.LabelRef(startL))
	g.Label(biasL)
	g.MOVQ(arg(gemmCurBias), tmp)
	for j := range J {
		g.VBROADCASTSS(mem(tmp, 4*j), acc(0, j))
		for u := 1; u < U; u++ {
			g.VMOVAPS(acc(0, j), acc(u, j))
		}
	}
	if accumulate {
		g.JMP(operand.LabelRef(startL))
		g.Label(accL)
		g.gemmEach(t, units, y, tmp, func(u, j int, m operand.Mem) { g.VMOVUPS(m, acc(u, j)) })
	}
	g.Label(startL)
}

// gemmEnd applies ReLU and stores the sums.
func (g *gen) gemmEnd(t gemmTile, units []unit, acc func(u, j int) reg.VecPhysical, y, tmp reg.GPPhysical, spare int) {
	storeL := g.label("store")
	g.CMPQ(arg(gemmReLU), operand.I8(0))
	g.JEQ(operand.LabelRef(storeL))
	z := len(g.w.regs) - 1
	g.zero(z)
	for i := range len(units) * t.j {
		g.VMAXPS(g.v(i), g.v(z), g.v(i)) // of a NaN and 0 the first operand of Go's order, the NaN
	}
	g.Label(storeL)
	g.gemmEach(t, units, y, tmp, func(u, j int, m operand.Mem) { g.VMOVUPS(acc(u, j), m) })
}

// gemmEach visits the tile's places in y.
func (g *gen) gemmEach(t gemmTile, units []unit, y, tmp reg.GPPhysical, f func(u, j int, m operand.Mem)) {
	per := len(units) / t.p
	g.MOVQ(arg(gemmCur), y)
	for p := range t.p {
		if p+1 < t.p {
			g.MOVQ(y, tmp)
			g.ADDQ(arg(gemmYCol), tmp)
		}
		for j := range t.j {
			for h := range per {
				f(p*per+h, j, mem(y, 32*h))
			}
			if j+1 < t.j {
				g.ADDQ(arg(gemmYOut), y)
			}
		}
		if p+1 < t.p {
			g.MOVQ(tmp, y)
		}
	}
}
