package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in kernel.gradUpdateArgs.
const (
	updDW, updX, updDY            = 0, 8, 16
	updCols, updXCol, updYCol     = 24, 32, 40
	updDWRow, updLD, updTiles     = 48, 56, 64
	updXTile, updDWTile           = 72, 80
	updW, updG, updS1, updS2      = 88, 96, 104, 112
	updAt, updRaw, updStep        = 120, 128, 136
	updEnd, updPrimed             = 144, 152
	updTileX, updTileDW, updCount = 160, 168, 176
	updFloats                     = 192
)

// gradUpdateTiles are register tiles of taps × registers of outputs: the largest of each width, and smaller ones for what remains. The
// rows of a block, kernel.UpdateRows, are a multiple of the largest.
func gradUpdateTiles(w width) [][2]int {
	if w.bytes == 64 {
		return [][2]int{{16, 1}, {4, 1}, {1, 1}, {8, 2}, {2, 2}, {1, 2}, {4, 3}, {1, 3}, {4, 4}, {1, 4}}
	}
	return [][2]int{{12, 1}, {4, 1}, {1, 1}, {6, 2}, {2, 2}, {1, 2}, {4, 3}, {1, 3}, {3, 4}, {1, 4}}
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
				g.gradUpdate(name, rule == "Adam", t[0], t[1])
			}
			g.table = append(g.table, "}")
		}
	}
	g.dispatch("gradUpdateCall", names)
}

// follower is the update that goes on beside a gradient: a register of parameters at a time, from at on.
type follower struct {
	*gen
	adam bool
	p    []reg.Register // w, the gradient, the slots
	at   reg.Register
	v    []reg.VecPhysical // with AVX2 any three that are free between samples
	f    []reg.VecPhysical // with AVX-512 the rule's four floats
}

// Registers of a follower. With AVX-512 the last three hold what a register of parameters waits for from one step to the next.
const (
	folW, folD, folA, folB, folQ = 0, 1, 2, 3, 4
)

func (u *follower) mem(i, disp int) operand.Mem { return at(u.p[i], u.at, 1, disp) }

func (u *follower) float(i int) operand.Op { return arg(updFloats + 64*i) }

// decayed takes the decay from w where there is any; t is overwritten.
func (u *follower) decayed(w, t reg.Register) {
	l := u.label("decayed")
	u.CMPL(arg(updFloats+64*decay), operand.I8(0))
	u.JE(operand.LabelRef(l))
	u.VMOVAPS(w, t)
	u.VFNMADD231PS(u.float(decay), t, w)
	u.Label(l)
}

// step updates a register of parameters with three registers: those of the positions are free between two samples.
func (u *follower) step() {
	d, a, b := u.v[0], u.v[1], u.v[2]
	u.VMOVUPS(u.mem(1, 0), d)
	u.VMOVUPS(u.mem(2, 0), a)
	if u.adam {
		u.VSUBPS(a, d, b)
		u.VFMADD231PS(u.float(c1), b, a)
		u.VMOVUPS(u.mem(3, 0), b)
		u.VFMSUB213PS(b, d, d)
		u.VFMADD231PS(u.float(c2), d, b)
		u.VMOVUPS(a, u.mem(2, 0))
		u.VMOVUPS(b, u.mem(3, 0))
		u.VSQRTPS(b, b)
		u.VADDPS(u.float(epsilon), b, b)
		u.VMULPS(u.float(rate), a, a)
		u.VDIVPS(b, a, a)
	} else {
		u.VMULPS(u.float(rho), a, a)
		u.VMULPS(d, d, b)
		u.VFMADD231PS(u.float(c2), b, a)
		u.VMOVUPS(a, u.mem(2, 0))
		u.VADDPS(u.float(epsilon), a, b)
		u.VSQRTPS(b, b)
		u.VMULPS(u.float(rate), d, a)
		u.VDIVPS(b, a, a)
	}
	u.VMOVUPS(u.mem(0, 0), d)
	u.decayed(d, b)
	u.VSUBPS(a, d, d)
	u.VMOVUPS(d, u.mem(0, 0))
	u.ADDQ(operand.I32(int32(u.w.bytes)), u.at)
}

// root is the first third of an update, as far as the square root: of the rule it leaves the numerator in folA and the root in folB.
func (u *follower) root() {
	w, d, a, b := u.v[folW], u.v[folD], u.v[folA], u.v[folB]
	u.VMOVUPS(u.mem(1, 0), d)
	u.VMOVUPS(u.mem(2, 0), a)
	if u.adam {
		u.VMOVUPS(u.mem(3, 0), b)
		u.VSUBPS(a, d, w)
		u.VFMADD231PS(u.f[1], w, a)
		u.VFMSUB213PS(b, d, d)
		u.VFMADD231PS(u.f[2], d, b)
		u.VMOVUPS(a, u.mem(2, 0))
		u.VMOVUPS(b, u.mem(3, 0))
		u.VMULPS(u.f[0], a, a)
		u.VSQRTPS(b, b)
	} else {
		u.VMULPS(u.f[1], a, a)
		u.VMULPS(d, d, b)
		u.VFMADD231PS(u.f[2], b, a)
		u.VMOVUPS(a, u.mem(2, 0))
		u.VADDPS(u.f[3], a, b)
		u.VSQRTPS(b, b)
		u.VMULPS(u.f[0], d, a)
	}
	u.ADDQ(operand.I32(int32(u.w.bytes)), u.at)
}

// quotient is the second third: it leaves the step in folQ.
func (u *follower) quotient() {
	if u.adam {
		u.VADDPS(u.f[3], u.v[folB], u.v[folB])
	}
	u.VDIVPS(u.v[folB], u.v[folA], u.v[folQ])
}

// subtract is the last third, of the register so many before at.
func (u *follower) subtract(before int) {
	m := u.mem(0, -before*u.w.bytes)
	u.VMOVUPS(m, u.v[folW])
	u.decayed(u.v[folW], u.v[folD])
	u.VSUBPS(u.v[folQ], u.v[folW], u.v[folW])
	u.VMOVUPS(u.v[folW], m)
}

// gradUpdate writes tiles as gradOuter does, of one row of positions and from zero. The divisions and square roots of an update take about
// as long as the multiplications of a small batch, on other units: every other sample a register of parameters is updated whose gradients
// were stored before. With each tile, Step bytes more of them are. With AVX-512, where a division takes twice as long, an update goes
// through three such places, so that none of its parts waits for another.
//
// Registers of outputs are stored whole: what the last of them has too much is stored over by the next row, or by the columns before.
func (g *gen) gradUpdate(name string, adam bool, T, J int) {
	g.fn(name, fmt.Sprintf("computes the gradient of %d taps and %d registers of outputs, and updates others.", T, J))
	xp, yp, xq, yq, n, ld, ld3, dw := reg.RAX, reg.RCX, reg.R8, reg.R9, reg.R11, reg.R12, reg.R13, reg.RDX
	wide := g.w.bytes == 64
	u := &follower{gen: g, adam: adam, p: []reg.Register{reg.RSI, reg.RBX, reg.R15, reg.R10}, at: reg.R14}
	acc := func(t, j int) reg.VecPhysical { return g.v(t*J + j) }
	next := T * J
	take := func() reg.VecPhysical { next++; return g.v(next - 1) }
	if wide {
		for range 4 {
			u.f = append(u.f, take())
		}
		for range 5 {
			u.v = append(u.v, take())
		}
	} else {
		for i := range 3 {
			u.v = append(u.v, g.v(next+i))
		}
	}
	var ys []reg.VecPhysical // of a sample; the broadcasts rotate over what is left
	keepTaps := J > T
	for range min(T, J) {
		ys = append(ys, take())
	}
	spare := len(g.w.regs) - next
	rotating := func(i int) reg.VecPhysical { return g.v(next + i%spare) }

	update := func() {
		skip := g.label("skip")
		g.CMPQ(u.at, arg(updEnd))
		g.JGE(operand.LabelRef(skip))
		if wide {
			u.subtract(2)
			u.quotient()
			u.root()
		} else {
			u.step()
		}
		g.Label(skip)
	}

	slots := 2
	if !adam {
		slots = 1
	}
	for i := range 2 + slots {
		g.MOVQ(arg(updW+8*i), u.p[i])
	}
	if wide {
		floats := []int{rate, c1, c2, epsilon}
		if !adam {
			floats[1] = rho
		}
		for i, f := range floats {
			g.VMOVUPS(u.float(f), u.f[i])
		}
	}
	g.MOVQ(arg(updAt), u.at)
	g.MOVQ(u.at, arg(updEnd))
	g.MOVQ(operand.I32(0), arg(updPrimed))
	g.MOVQ(arg(updLD), ld)
	g.LEAQ(at(ld, ld, 2, 0), ld3)
	// the running pointers are numbers of their own: past the last tile they point nowhere
	g.MOVQ(arg(updX), n)
	g.MOVQ(n, arg(updTileX))
	g.MOVQ(arg(updDW), n)
	g.MOVQ(n, arg(updTileDW))
	tileL, colL, nL, readyL := g.label("tile"), g.label("col"), g.label("samples"), g.label("ready")
	g.Label(tileL)
	g.MOVQ(arg(updRaw), n) // whole registers alone
	g.ANDQ(operand.I32(int32(-g.w.bytes)), n)
	if wide { // the first two registers begin where there are as many
		primedL := g.label("primed")
		g.CMPQ(arg(updPrimed), operand.I8(0))
		g.JNE(operand.LabelRef(primedL))
		g.LEAQ(mem(u.at, 2*g.w.bytes), dw)
		g.CMPQ(dw, n)
		g.JGT(operand.LabelRef(readyL))
		g.MOVQ(operand.I32(1), arg(updPrimed))
		u.root()
		u.quotient()
		u.root()
		g.Label(primedL)
	}
	g.MOVQ(n, arg(updEnd))
	g.Label(readyL)
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
				if wide && J == 1 {
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
		if s%2 == 1 {
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

	g.MOVQ(arg(updTileDW), dw)
	for t := range T {
		for j := range J {
			g.VMOVUPS(acc(t, j), mem(dw, g.w.bytes*j))
		}
		if t+1 < T {
			g.ADDQ(arg(updDWRow), dw)
		}
	}
	g.MOVQ(arg(updXTile), n)
	g.ADDQ(n, arg(updTileX))
	g.MOVQ(arg(updDWTile), n)
	g.ADDQ(n, arg(updTileDW))
	g.MOVQ(arg(updStep), n)
	g.ADDQ(n, arg(updRaw))
	g.DECQ(arg(updTiles))
	g.JNZ(operand.LabelRef(tileL))
	if wide {
		doneL := g.label("done")
		g.CMPQ(arg(updPrimed), operand.I8(0))
		g.JE(operand.LabelRef(doneL))
		u.subtract(2)
		u.quotient()
		u.subtract(1)
		g.Label(doneL)
	}
	g.MOVQ(u.at, arg(updAt))
	g.end()
}
