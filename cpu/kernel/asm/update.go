package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in kernel.gradUpdateArgs.
const (
	updDW, updX, updDY             = 0, 8, 16
	updCols, updXCol, updYCol      = 24, 32, 40
	updDWRow, updLD, updTiles      = 48, 56, 64
	updPartial, updMasks           = 72, 80
	updXTile, updDWTile            = 88, 96
	updW, updG, updS1, updS2       = 104, 112, 120, 128
	updAt, updEnd, updStep, updRaw = 136, 144, 152, 160
	updTileX, updTileDW, updCount  = 168, 176, 184
	updFloats                      = 192
)

// gradUpdateTiles are register tiles of taps × registers of outputs that leave room for an update.
func gradUpdateTiles(w width) [][2]int {
	if w.bytes == 64 {
		return [][2]int{{1, 1}, {8, 1}, {1, 2}, {8, 2}}
	}
	return [][2]int{{1, 1}, {8, 1}, {1, 2}, {4, 2}, {1, 4}, {2, 4}}
}

// gradUpdates writes the gradient of a dense kernel together with the update of what was computed before.
func gradUpdates(g *gen) {
	var names []string
	for _, w := range widths {
		g.w = w
		for _, rule := range []string{"Adam", "RMSprop"} {
			table := fmt.Sprintf("gradUpdate%s%s", rule, w.name)
			g.table = append(g.table, "", fmt.Sprintf("// %s are the tiles, by taps and registers of outputs.", table), fmt.Sprintf("var %s = []gradTile{", table))
			for _, t := range gradUpdateTiles(w) {
				name := fmt.Sprintf("%sT%dJ%d", table, t[0], t[1])
				g.table = append(g.table, fmt.Sprintf("{%d, %d, %d},", t[0], t[1], len(names)))
				names = append(names, name)
				g.gradUpdate(name, rule, t[0], t[1])
			}
			g.table = append(g.table, "}")
		}
	}
	g.dispatch("gradUpdateCall", names)
}

// gradUpdate writes tiles as gradOuter does, of one row of positions and from zero. The divisions and square roots of an update take about
// as long as the multiplications of a small batch, on other units: every few samples a register of parameters is updated whose gradients
// were stored before. With each tile, Step bytes more of them are.
func (g *gen) gradUpdate(name, rule string, T, J int) {
	g.fn(name, fmt.Sprintf("computes the gradient of %d taps and %d registers of outputs, and updates others.", T, J))
	xp, yp, xq, yq, n, ld, ld3, dw := reg.RAX, reg.RCX, reg.R8, reg.R9, reg.R11, reg.R12, reg.R13, reg.RDX
	p := []reg.Register{reg.RSI, reg.RBX, reg.R15, reg.R10}
	at4 := reg.R14
	acc := func(t, j int) reg.VecPhysical { return g.v(t*J + j) }
	next := T * J
	take := func() reg.VecPhysical { next++; return g.v(next - 1) }
	var temps []reg.Register
	for range 5 {
		temps = append(temps, take())
	}
	var ys []reg.VecPhysical // of a sample; the broadcasts rotate over what is left
	keepTaps := J > T
	for range min(T, J) {
		ys = append(ys, take())
	}
	spare := len(g.w.regs) - next
	rotating := func(i int) reg.VecPhysical { return g.v(next + i%spare) }
	k := []reg.Register{reg.K1, reg.K2, reg.K3, reg.K4}

	// update advances by one register, where there is one left.
	slots := 2
	if rule == "RMSprop" {
		slots = 1
	}
	update := func() {
		skip := g.label("skip")
		g.CMPQ(at4, arg(updEnd))
		g.JGE(operand.LabelRef(skip))
		w, d, a, b, t := temps[0], temps[1], temps[2], temps[3], temps[4]
		m := func(i int) operand.Mem { return at(p[i], at4, 1, 0) }
		f := func(i int) operand.Op { return arg(updFloats + 64*i) }
		g.VMOVUPS(m(0), w)
		g.VMOVAPS(w, t)
		g.VFNMADD231PS(f(decay), t, w)
		g.VMOVUPS(m(1), d)
		g.VMULPS(f(scale), d, d)
		g.VMOVUPS(m(2), a)
		if slots > 1 {
			g.VMOVUPS(m(3), b)
			g.adam(m, f, w, d, a, b, t)
		} else {
			g.rms(m, f, d, a, t)
			g.VSUBPS(d, w, w)
		}
		g.VMOVUPS(w, m(0))
		g.ADDQ(operand.I32(int32(g.w.bytes)), at4)
		g.Label(skip)
	}

	for i := range 2 + slots {
		g.MOVQ(arg(updW+8*i), p[i])
	}
	g.MOVQ(arg(updAt), at4)
	g.MOVQ(arg(updLD), ld)
	g.LEAQ(at(ld, ld, 2, 0), ld3)
	// the running pointers are numbers of their own: past the last tile they point nowhere
	g.MOVQ(arg(updX), n)
	g.MOVQ(n, arg(updTileX))
	g.MOVQ(arg(updDW), n)
	g.MOVQ(n, arg(updTileDW))
	tileL, colL, nL, storeL, storedL := g.label("tile"), g.label("col"), g.label("samples"), g.label("store"), g.label("stored")
	g.Label(tileL)
	for i := range T * J {
		g.zero(i)
	}
	g.MOVQ(arg(updTileX), xq)
	g.MOVQ(arg(updDY), yq)
	g.MOVQ(arg(updCols), dw)
	g.MOVQ(dw, arg(updCount))
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
		if keepTaps {
			for t := range T {
				g.VBROADCASTSS(x(t), ys[t])
			}
			for j := range J {
				b := rotating(j)
				g.VMOVUPS(y(j), b)
				for t := range T {
					g.VFMADD231PS(b, ys[t], acc(t, j))
				}
			}
		} else {
			for j := range J {
				g.VMOVUPS(y(j), ys[j])
			}
			for t := range T {
				if g.w.bytes == 64 && J == 1 {
					g.VFMADD231PS_BCST(x(t), ys[0], acc(t, 0))
					continue
				}
				b := rotating(t)
				g.VBROADCASTSS(x(t), b)
				for j := range J {
					g.VFMADD231PS(b, ys[j], acc(t, j))
				}
			}
		}
		if s == 3 || s == 1 && g.w.bytes == 64 && T*J > 8 {
			update()
		}
	}
	g.ADDQ(operand.I32(16), xp)
	g.LEAQ(at(yp, ld, 4, 0), yp)
	g.DECQ(n)
	g.JNZ(operand.LabelRef(nL))
	g.ADDQ(arg(updXCol), xq)
	g.ADDQ(arg(updYCol), yq)
	g.DECQ(arg(updCount))
	g.JNZ(operand.LabelRef(colL))

	each := func(f func(r reg.VecPhysical, m operand.Mem, j int)) {
		g.MOVQ(arg(updTileDW), dw)
		for t := range T {
			for j := range J {
				f(acc(t, j), mem(dw, g.w.bytes*j), j)
			}
			if t+1 < T {
				g.ADDQ(arg(updDWRow), dw)
			}
		}
	}
	g.CMPQ(arg(updPartial), operand.I8(0))
	g.JNE(operand.LabelRef(storeL))
	each(func(r reg.VecPhysical, m operand.Mem, _ int) { g.VMOVUPS(r, m) })
	g.JMP(operand.LabelRef(storedL))
	g.Label(storeL)
	g.MOVQ(arg(updMasks), n)
	for j := range J {
		if g.w.bytes == 64 {
			g.KMOVW(mem(n, 2*j), k[j])
		} else {
			g.VMOVUPS(mem(n, 32*j), temps[j])
		}
	}
	each(func(r reg.VecPhysical, m operand.Mem, j int) {
		if g.w.bytes == 64 {
			g.VMOVUPS(r, k[j], m)
		} else {
			g.VMASKMOVPS(r, temps[j], m)
		}
	})
	g.Label(storedL)
	g.MOVQ(arg(updXTile), n)
	g.ADDQ(n, arg(updTileX))
	g.MOVQ(arg(updDWTile), n)
	g.ADDQ(n, arg(updTileDW))
	g.MOVQ(arg(updStep), n) // whole registers alone
	g.ADDQ(arg(updRaw), n)
	g.MOVQ(n, arg(updRaw))
	g.ANDQ(operand.I32(-64), n)
	g.MOVQ(n, arg(updEnd))
	g.DECQ(arg(updTiles))
	g.JNZ(operand.LabelRef(tileL))
	g.MOVQ(at4, arg(updAt))
	g.end()
}
