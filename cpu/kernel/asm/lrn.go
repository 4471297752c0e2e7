package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in kernel.lrnArgs: pointers, counts, then floats.
const (
	lrnX = 8 * iota
	lrnY
	lrnDY
	lrnSquares
	lrnRatios
	lrnVectors
	lrnPositions
	lrnStep
	lrnSize
	lrnBefore
	lrnTail
	lrnFloats
)

// Registers of these kernels, beside index, which runs over the bytes of a position.
var (
	lrnXP, lrnYP, lrnDYP     = reg.RSI, reg.RDX, reg.RBX
	lrnSquare, lrnRatio      = reg.R8, reg.R9
	lrnRow, lrnLeft, lrnTap  = reg.RCX, reg.R10, reg.R11
	lrnTaps, lrnNext, lrnEnd = reg.R12, reg.R13, reg.R14
)

// lrnPower is how a kernel computes a power of s.
type lrnPower struct {
	name string
	// inverse turns s to s^−β, and t[0] to 1/s where both is set; the rest of t is overwritten. minusBeta holds −β.
	inverse func(g *gen, s reg.Register, t []reg.VecPhysical, minusBeta reg.Register, both bool)
}

var lrnPowers = []lrnPower{
	{"", func(g *gen, s reg.Register, t []reg.VecPhysical, minusBeta reg.Register, both bool) { // e^(−β·ln s)
		if both {
			g.VMOVUPS(g.constant(1), t[0])
			g.VDIVPS(s, t[0], t[0])
		}
		g.log(s, t[1], t[2], t[3], t[4])
		g.VMULPS(minusBeta, s, s)
		g.exp(s, t[1], t[2], t[3])
	}},
	{"Half", func(g *gen, s reg.Register, t []reg.VecPhysical, _ reg.Register, both bool) {
		g.inverseRoot(s, t[0])
		if both {
			g.VMULPS(s, s, t[0])
		}
	}},
	{"Quarters", func(g *gen, s reg.Register, t []reg.VecPhysical, _ reg.Register, both bool) { // three
		g.inverseRoot(s, t[0])
		g.VSQRTPS(s, t[1])
		if both {
			g.VMULPS(s, s, t[0])
		}
		g.VMULPS(t[1], s, s)
	}},
	{"One", func(g *gen, s reg.Register, t []reg.VecPhysical, _ reg.Register, _ bool) {
		g.VMOVUPS(g.constant(1), t[0])
		g.VDIVPS(s, t[0], t[0])
		g.VMOVAPS(t[0], s)
	}},
}

// inverseRoot turns s to 1/√s, two roundings.
func (g *gen) inverseRoot(s, t reg.Register) {
	g.VSQRTPS(s, s)
	g.VMOVUPS(g.constant(1), t)
	g.VDIVPS(s, t, s)
}

// lrns writes local response normalisation.
func lrns(g *gen) {
	var names []string
	for n, w := range widths {
		g.w = w
		if n == 0 {
			g.table = append(g.table, "", "// The kernels of local response normalisation of AVX2; those of AVX-512 are lrnKinds later.", "const (")
		}
		for _, p := range lrnPowers {
			for _, k := range []struct {
				name  string
				write func(name string, p lrnPower)
			}{{"lrnForward", g.lrnForward}, {"lrnGrad", g.lrnGrad}} {
				name := k.name + p.name
				if n == 0 {
					g.table = append(g.table, fmt.Sprintf("%s = %d", name, len(names)))
				}
				names = append(names, name+w.name)
				k.write(name+w.name, p)
			}
		}
		if n == 0 {
			g.table = append(g.table, fmt.Sprintf("lrnKinds = %d", len(names)), ")")
		}
	}
	g.dispatch("lrnCall", names)
}

// The last registers hold share, bias, −β and 2β·share.
func (g *gen) lrnFloat(i int) reg.VecPhysical { return g.v(len(g.w.regs) - 1 - i) }

// lrnPositionsLoop writes the loop over positions; pointers are the operands that advance.
func (g *gen) lrnPositionsLoop(name, doc string, floats int, moving map[int]reg.GPPhysical, body func()) {
	g.fn(name, doc)
	for offset := range lrnFloats / 8 {
		if r, ok := moving[8*offset]; ok {
			g.MOVQ(arg(8*offset), r)
		}
	}
	g.MOVQ(arg(lrnSquares), lrnSquare)
	g.MOVQ(arg(lrnRatios), lrnRatio)
	g.MOVQ(arg(lrnVectors), lrnRow)
	g.SHLQ(operand.U8(6), lrnRow)
	g.MOVQ(arg(lrnPositions), lrnLeft)
	g.MOVQ(arg(lrnStep), lrnNext)
	g.MOVQ(arg(lrnTail), lrnEnd)
	for i := range floats {
		g.VBROADCASTSS(arg(lrnFloats+4*i), g.lrnFloat(i))
	}
	l := g.label("position")
	g.Label(l)
	body()
	for offset := range lrnFloats / 8 {
		if r, ok := moving[8*offset]; ok {
			g.ADDQ(lrnRow, r)
		}
	}
	g.DECQ(lrnLeft)
	g.JNZ(operand.LabelRef(l))
	g.end()
}

// lrnEach writes the loop over a position's vectors.
func (g *gen) lrnEach(body func()) {
	l := g.label("vector")
	g.XORQ(index, index)
	g.Label(l)
	body()
	g.ADDQ(operand.I32(64), index)
	g.CMPQ(index, lrnRow)
	g.JNE(operand.LabelRef(l))
}

// lrnZero ends a row of squares or ratios with zeros: what lies behind the last channel is none.
func (g *gen) lrnZero(row reg.Register) {
	g.zero(0)
	for h := range g.parts() {
		g.VMOVUPS(g.v(0), at(row, lrnEnd, 1, g.w.bytes*h))
	}
}

// lrnSquaresOf writes the squares of a position.
func (g *gen) lrnSquaresOf() {
	g.lrnEach(func() {
		for h := range g.parts() {
			g.VMOVUPS(at(lrnXP, index, 1, g.w.bytes*h), g.v(h))
			g.VMULPS(g.v(h), g.v(h), g.v(h))
			g.VMOVUPS(g.v(h), at(lrnSquare, index, 1, g.w.bytes*h))
		}
	})
	g.lrnZero(lrnSquare)
}

// lrnWindow adds the channels around a vector of a row, whose parts are left in the first registers.
func (g *gen) lrnWindow(row reg.Register) {
	g.MOVQ(row, lrnTap)
	g.SUBQ(arg(lrnBefore), lrnTap)
	g.ADDQ(index, lrnTap)
	g.MOVQ(arg(lrnSize), lrnTaps)
	for h := range g.parts() {
		g.zero(h)
	}
	l := g.label("tap")
	g.Label(l)
	for h := range g.parts() {
		g.VADDPS(mem(lrnTap, g.w.bytes*h), g.v(h), g.v(h))
	}
	g.ADDQ(lrnNext, lrnTap)
	g.DECQ(lrnTaps)
	g.JNZ(operand.LabelRef(l))
}

// lrnForward writes the forward pass.
func (g *gen) lrnForward(name string, p lrnPower) {
	const share, bias, minusBeta = 0, 1, 2
	g.lrnPositionsLoop(name, "computes y = x·s^−β.", 3, map[int]reg.GPPhysical{lrnX: lrnXP, lrnY: lrnYP}, func() {
		g.lrnSquaresOf()
		g.lrnEach(func() {
			g.lrnWindow(lrnSquare)
			for h := range g.parts() {
				g.VFMADD213PS(g.lrnFloat(bias), g.lrnFloat(share), g.v(h))
				p.inverse(g, g.v(h), g.w.regs[2:7], g.lrnFloat(minusBeta), false)
				g.VMULPS(at(lrnXP, index, 1, g.w.bytes*h), g.v(h), g.v(h))
				g.VMOVUPS(g.v(h), at(lrnYP, index, 1, g.w.bytes*h))
			}
		})
	})
}

// lrnGrad writes the gradient at the input: first dy·s^−β and the ratios dy·x·s^−β/s, then the ratios around each channel.
func (g *gen) lrnGrad(name string, p lrnPower) {
	const share, bias, minusBeta, factor = 0, 1, 2, 3
	g.lrnPositionsLoop(name, "computes y = dy·s^−β − 2β·share·x·Σ dy·x·s^(−β−1).", 4, map[int]reg.GPPhysical{lrnX: lrnXP, lrnY: lrnYP, lrnDY: lrnDYP}, func() {
		g.lrnSquaresOf()
		g.lrnEach(func() {
			g.lrnWindow(lrnSquare)
			for h := range g.parts() {
				g.VFMADD213PS(g.lrnFloat(bias), g.lrnFloat(share), g.v(h))
				p.inverse(g, g.v(h), g.w.regs[2:7], g.lrnFloat(minusBeta), true)
				g.VMULPS(at(lrnDYP, index, 1, g.w.bytes*h), g.v(h), g.v(h))
				g.VMOVUPS(g.v(h), at(lrnYP, index, 1, g.w.bytes*h))
				g.VMULPS(at(lrnXP, index, 1, g.w.bytes*h), g.v(h), g.v(h))
				g.VMULPS(g.v(2), g.v(h), g.v(h))
				g.VMOVUPS(g.v(h), at(lrnRatio, index, 1, g.w.bytes*h))
			}
		})
		g.lrnZero(lrnRatio)
		g.lrnEach(func() {
			g.lrnWindow(lrnRatio)
			for h := range g.parts() {
				x, y := g.v(2+2*h), g.v(3+2*h)
				g.VMULPS(at(lrnXP, index, 1, g.w.bytes*h), g.lrnFloat(factor), x)
				g.VMOVUPS(at(lrnYP, index, 1, g.w.bytes*h), y)
				g.VFNMADD231PS(g.v(h), x, y)
				g.VMOVUPS(y, at(lrnYP, index, 1, g.w.bytes*h))
			}
		})
	})
}
