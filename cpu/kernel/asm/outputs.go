package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in kernel.outputsArgs.
const (
	outY, outX, outW, outBias           = 0, 8, 16, 24
	outRuns, outRunsEnd                 = 32, 40
	outRows, outTiles                   = 48, 56
	outXRow, outXCol, outXTile          = 64, 72, 80
	outYRow, outYCol, outYTile          = 88, 96, 104
	outWTap, outInit, outReLU, outMask  = 112, 120, 128, 136
	outRowX, outRowY, outCount, outCurY = 144, 152, 160, 168
)

// outputsTiles are register tiles of positions × registers of outputs. Up to four registers of outputs have a twin whose last register is
// masked.
func outputsTiles(w width) [][2]int {
	js := map[int][]int{1: {1, 2, 3, 4, 6, 8, 12}, 2: {1, 2, 3, 4, 6}, 3: {1, 2, 3, 4}, 4: {1, 2, 3}, 6: {1, 2}, 8: {1}}
	if w.bytes == 64 {
		js = map[int][]int{1: {1, 2, 3, 4, 6, 8, 12, 16, 24}, 2: {1, 2, 3, 4, 6, 8, 12}, 3: {1, 2, 3, 4, 6, 8}, 4: {1, 2, 3, 4, 6}, 6: {1, 2, 3, 4}, 8: {1, 2, 3}}
	}
	var tiles [][2]int
	for p := 1; p <= 8; p++ {
		for _, j := range js[p] {
			tiles = append(tiles, [2]int{p, j})
		}
	}
	return tiles
}

// maskedRegisters is the most registers of a tile with a masked twin.
const maskedRegisters = 4

func outputs(g *gen) {
	var names []string
	for _, w := range widths {
		g.w = w
		for _, masked := range []bool{false, true} {
			table := "outputs" + w.name
			doc := "are the tiles, by positions and registers of outputs."
			if masked {
				table += "Masked"
				doc = "are those whose last register is masked."
			}
			g.table = append(g.table, "", fmt.Sprintf("// %s %s", table, doc), fmt.Sprintf("var %s = []gemmTile{", table))
			for _, t := range outputsTiles(w) {
				if masked && t[1] > maskedRegisters {
					continue
				}
				name := fmt.Sprintf("%sP%dJ%d", table, t[0], t[1])
				g.table = append(g.table, fmt.Sprintf("{%d, %d, %d},", t[0], t[1], len(names)))
				names = append(names, name)
				g.outputs(name, t[0], t[1], masked)
			}
			g.table = append(g.table, "}")
		}
		table := "depthwise" + w.name
		g.table = append(g.table, "", fmt.Sprintf("// %s are the tiles of a depthwise convolution, by positions.", table), fmt.Sprintf("var %s = []gemmTile{", table))
		for _, p := range []int{1, 2, 4, 8} {
			name := fmt.Sprintf("%sP%d", table, p)
			g.table = append(g.table, fmt.Sprintf("{%d, 1, %d},", p, len(names)))
			names = append(names, name)
			g.depthwise(name, p)
		}
		g.table = append(g.table, "}")
	}
	g.dispatch("outputsCall", names)
}

// outputsLoop writes what the tiles share: for rows, for tiles of a row, start, taps, end.
type outputsLoop struct {
	P, J   int
	masked bool
	x      func(p, disp int) operand.Mem // a position's place in x
	acc    func(p, j int) reg.VecPhysical
	xp, wp reg.GPPhysical
	n      reg.GPPhysical
	tap    func()
}

// outputs writes a tile: a register of weights meets each position's x, which is broadcast.
func (g *gen) outputs(name string, P, J int, masked bool) {
	g.fn(name, fmt.Sprintf("computes tiles of %d positions and %d registers of outputs.", P, J))
	l := g.newOutputsLoop(P, J, masked)
	spare := len(g.w.regs) - P*J
	w := func(j int) operand.Mem { return mem(l.wp, g.w.bytes*j) }
	load := func(j int, r reg.VecPhysical) {
		if l.masked && j == J-1 {
			g.maskedLoad(w(j), r)
			return
		}
		g.VMOVUPS(w(j), r)
	}
	tapL := g.label("tap")
	l.tap = func() {
		g.MOVQ(mem(reg.R12, 16), l.n)
		g.Label(tapL)
		switch {
		case J > P: // x stays, weights rotate
			for p := range P {
				g.VBROADCASTSS(l.x(p, 0), g.v(P*J+p))
			}
			for j := range J {
				if P == 1 && !(l.masked && j == J-1) {
					g.VFMADD231PS(w(j), g.v(P*J), l.acc(0, j))
					continue
				}
				r := g.v(P*J + P + j%(spare-P))
				load(j, r)
				for p := range P {
					g.VFMADD231PS(r, g.v(P*J+p), l.acc(p, j))
				}
			}
		case g.w.bytes == 64 && J == 1:
			load(0, g.v(P))
			for p := range P {
				g.VFMADD231PS_BCST(l.x(p, 0), g.v(P), l.acc(p, 0))
			}
		default: // weights stay, x rotates
			for j := range J {
				load(j, g.v(P*J+j))
			}
			for p := range P {
				b := g.v(P*J + J + p%(spare-J))
				g.VBROADCASTSS(l.x(p, 0), b)
				for j := range J {
					g.VFMADD231PS(b, g.v(P*J+j), l.acc(p, j))
				}
			}
		}
		g.ADDQ(operand.I8(4), l.xp)
		g.ADDQ(reg.R13, l.wp)
		g.DECQ(l.n)
		g.JNZ(operand.LabelRef(tapL))
	}
	g.outputsLoop(l)
}

// depthwise writes a tile of one register of channels: each run is one tap, whose weights meet the vector of x at each position.
func (g *gen) depthwise(name string, P int) {
	g.fn(name, fmt.Sprintf("computes tiles of %d positions and one register of channels.", P))
	l := g.newOutputsLoop(P, 1, true)
	l.tap = func() {
		g.maskedLoad(mem(l.wp, 0), g.v(P))
		for p := range P {
			g.VFMADD231PS(l.x(p, 0), g.v(P), l.acc(p, 0))
		}
	}
	g.outputsLoop(l)
}

func (g *gen) newOutputsLoop(P, J int, masked bool) *outputsLoop {
	l := &outputsLoop{P: P, J: J, masked: masked, xp: reg.RAX, wp: reg.RCX, n: reg.R11}
	l.acc = func(p, j int) reg.VecPhysical { return g.v(p*J + j) }
	xcol, xcol3, xcol5, xcol7 := reg.R8, reg.R9, reg.R10, reg.R14
	l.x = func(p, d int) operand.Mem {
		switch p {
		case 0:
			return mem(l.xp, d)
		case 1:
			return at(l.xp, xcol, 1, d)
		case 2:
			return at(l.xp, xcol, 2, d)
		case 3:
			return at(l.xp, xcol3, 1, d)
		case 4:
			return at(l.xp, xcol, 4, d)
		case 5:
			return at(l.xp, xcol5, 1, d)
		case 6:
			return at(l.xp, xcol3, 2, d)
		default:
			return at(l.xp, xcol7, 1, d)
		}
	}
	g.MOVQ(arg(outXCol), xcol)
	if P > 3 {
		g.LEAQ(at(xcol, xcol, 2, 0), xcol3)
	}
	if P > 5 {
		g.LEAQ(at(xcol, xcol, 4, 0), xcol5)
	}
	if P > 7 {
		g.LEAQ(at(xcol3, xcol, 4, 0), xcol7)
	}
	g.MOVQ(arg(outWTap), reg.R13)
	if masked && g.w.bytes == 64 {
		g.MOVQ(arg(outMask), reg.RBX)
		g.KMOVW(mem(reg.RBX, 0), reg.K1)
	}
	return l
}

// maskedLoad loads the valid lanes of the last register; the others become zero.
func (g *gen) maskedLoad(m operand.Mem, r reg.VecPhysical) {
	if g.w.bytes == 64 {
		g.VMOVUPS_Z(m, reg.K1, r)
		return
	}
	g.MOVQ(arg(outMask), reg.RBX)
	g.VMOVUPS(mem(reg.RBX, 0), r)
	g.VMASKMOVPS(m, r, r)
}

func (g *gen) outputsLoop(l *outputsLoop) {
	x, y, tmp, run, ycol := reg.RSI, reg.RDX, reg.RBX, reg.R12, reg.R15
	rowL, tileL, runL := g.label("row"), g.label("tile"), g.label("run")
	biasL, accL, startL, storeL := g.label("bias"), g.label("accumulate"), g.label("start"), g.label("store")
	P, J, spare := l.P, l.J, l.P*l.J
	each := func(f func(p, j int, m operand.Mem)) {
		g.MOVQ(arg(outCurY), y)
		for p := range P {
			if p > 0 {
				g.ADDQ(ycol, y)
			}
			for j := range J {
				f(p, j, mem(y, g.w.bytes*j))
			}
		}
	}
	last := func(j int) bool { return l.masked && j == J-1 }

	g.MOVQ(arg(outYCol), ycol)
	g.MOVQ(arg(outX), tmp)
	g.MOVQ(tmp, arg(outRowX))
	g.MOVQ(arg(outY), tmp)
	g.MOVQ(tmp, arg(outRowY))
	g.Label(rowL)
	g.MOVQ(arg(outRowX), x)
	g.MOVQ(arg(outRowY), tmp)
	g.MOVQ(tmp, arg(outCurY))
	g.MOVQ(arg(outTiles), tmp)
	g.MOVQ(tmp, arg(outCount))
	g.Label(tileL)

	g.CMPQ(arg(outInit), operand.I8(1))
	g.JEQ(operand.LabelRef(biasL))
	g.JGT(operand.LabelRef(accL))
	for i := range P * J {
		g.zero(i)
	}
	g.JMP(operand.LabelRef(startL))
	g.Label(biasL)
	g.MOVQ(arg(outBias), y)
	for j := range J {
		if last(j) {
			g.maskedLoad(mem(y, g.w.bytes*j), l.acc(0, j))
		} else {
			g.VMOVUPS(mem(y, g.w.bytes*j), l.acc(0, j))
		}
		for p := 1; p < P; p++ {
			g.VMOVAPS(l.acc(0, j), l.acc(p, j))
		}
	}
	g.JMP(operand.LabelRef(startL))
	g.Label(accL)
	each(func(p, j int, m operand.Mem) {
		if last(j) {
			g.maskedLoad(m, l.acc(p, j))
			return
		}
		g.VMOVUPS(m, l.acc(p, j))
	})
	g.Label(startL)

	g.MOVQ(arg(outRuns), run)
	g.Label(runL)
	g.MOVQ(mem(run, 0), l.xp)
	g.MOVQ(mem(run, 8), l.wp)
	g.ADDQ(x, l.xp)
	g.ADDQ(arg(outW), l.wp)
	l.tap()
	g.ADDQ(operand.I8(24), run)
	g.CMPQ(run, arg(outRunsEnd))
	g.JNE(operand.LabelRef(runL))

	g.CMPQ(arg(outReLU), operand.I8(0))
	g.JEQ(operand.LabelRef(storeL))
	g.zero(spare)
	for i := range P * J {
		g.VMAXPS(g.v(i), g.v(spare), g.v(i)) // of a NaN and 0 the first operand of Go's order, the NaN
	}
	g.Label(storeL)
	if l.masked && g.w.bytes == 32 {
		g.MOVQ(arg(outMask), tmp)
		g.VMOVUPS(mem(tmp, 0), g.v(spare))
	}
	each(func(p, j int, m operand.Mem) {
		switch {
		case last(j) && g.w.bytes == 64:
			g.VMOVUPS(l.acc(p, j), reg.K1, m)
		case last(j):
			g.VMASKMOVPS(l.acc(p, j), g.v(spare), m)
		default:
			g.VMOVUPS(l.acc(p, j), m)
		}
	})
	g.ADDQ(arg(outXTile), x)
	g.MOVQ(arg(outYTile), tmp)
	g.ADDQ(tmp, arg(outCurY))
	g.DECQ(arg(outCount))
	g.JNZ(operand.LabelRef(tileL))
	g.MOVQ(arg(outXRow), tmp)
	g.ADDQ(tmp, arg(outRowX))
	g.MOVQ(arg(outYRow), tmp)
	g.ADDQ(tmp, arg(outRowY))
	g.DECQ(arg(outRows))
	g.JNZ(operand.LabelRef(rowL))
	g.end()
}
