package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// softmaxes writes the passes over the classes of 16 samples; what they keep from class to class stays in registers.
func (g *gen) softmaxes(add func(name string, f func(name string))) {
	add("channelTop", g.top)
	add("channelExp", g.expShifted)
	add("channelDivide", g.divide)
	add("channelLossGrad", g.lossGrad)
}

// overClasses writes a loop over n vectors: operand 0, and also operand 1 where it moves, advances; body handles register h of them.
func (g *gen) overClasses(operands int, moves bool, before, body, after func(h int)) {
	for i := range operands {
		g.MOVQ(arg(8*i), pointers[i])
	}
	g.MOVQ(arg(elemN), reg.RCX)
	halves := 64 / g.w.bytes
	for h := range halves {
		before(h)
	}
	l := g.label("class")
	g.Label(l)
	for h := range halves {
		body(h)
	}
	g.ADDQ(operand.I32(64), pointers[0])
	if moves {
		g.ADDQ(operand.I32(64), pointers[1])
	}
	g.DECQ(reg.RCX)
	g.JNZ(operand.LabelRef(l))
	for h := range halves {
		after(h)
	}
	g.end()
}

// kept is register i of those that half h keeps, counted from the last.
func (g *gen) kept(i, h int) reg.VecPhysical { return g.v(len(g.w.regs) - 1 - i*64/g.w.bytes - h) }

// half is the place of register h of vector i.
func (g *gen) half(i, h int) operand.Mem { return mem(pointers[i], g.w.bytes*h) }

// top leaves the largest of the n vectors p0 in p1, and which it is, as a float, in p2: the first, but of NaNs the last.
func (g *gen) top(name string) {
	g.fn(name, "finds the largest of vectors.")
	x, t, class, one := g.v(0), g.v(1), g.v(3), g.v(4)
	most, best := func(h int) reg.VecPhysical { return g.kept(0, h) }, func(h int) reg.VecPhysical { return g.kept(1, h) }
	g.VMOVUPS(g.constant(1), one)
	g.zero(3)
	g.overClasses(3, false, func(h int) {
		g.VMOVUPS(g.half(0, h), most(h))
		g.VXORPS(best(h), best(h), best(h))
	}, func(h int) {
		g.VMOVUPS(g.half(0, h), x)
		if g.w.bytes == 64 {
			g.VCMPPS(operand.U8(greater), most(h), x, reg.K1)
			g.VCMPPS(operand.U8(unordered), x, x, reg.K2)
			g.KORW(reg.K1, reg.K2, reg.K1)
			g.VMOVAPS(x, reg.K1, most(h))
			g.VMOVAPS(class, reg.K1, best(h))
		} else {
			g.VCMPPS(operand.U8(greater), most(h), x, t)
			g.VCMPPS(operand.U8(unordered), x, x, g.v(2))
			g.VORPS(g.v(2), t, t)
			g.VBLENDVPS(t, x, most(h), most(h))
			g.VBLENDVPS(t, class, best(h), best(h))
		}
		if (h+1)*g.w.bytes == 64 {
			g.VADDPS(one, class, class)
		}
	}, func(h int) {
		g.VMOVUPS(most(h), g.half(1, h))
		g.VMOVUPS(best(h), g.half(2, h))
	})
}

// expShifted computes p0 = e^(p1 − p2) for n vectors, p2 one vector, adds them to the vector p3, and the exponents to p4.
func (g *gen) expShifted(name string) {
	g.fn(name, "computes p0 = e^(p1 − p2), and adds to p3, and the exponents to p4.")
	most, sum, rest := func(h int) reg.VecPhysical { return g.kept(0, h) }, func(h int) reg.VecPhysical { return g.kept(1, h) }, func(h int) reg.VecPhysical { return g.kept(2, h) }
	g.overClasses(5, true, func(h int) {
		g.VMOVUPS(g.half(2, h), most(h))
		g.VMOVUPS(g.half(3, h), sum(h))
		g.VMOVUPS(g.half(4, h), rest(h))
	}, func(h int) {
		x := g.v(4 * h)
		g.VMOVUPS(g.half(1, h), x)
		g.VSUBPS(most(h), x, x)
		g.VADDPS(x, rest(h), rest(h))
		g.exp(x, g.v(4*h+1), g.v(4*h+2), g.v(4*h+3))
		g.VMOVUPS(x, g.half(0, h))
		g.VADDPS(x, sum(h), sum(h))
	}, func(h int) {
		g.VMOVUPS(sum(h), g.half(3, h))
		g.VMOVUPS(rest(h), g.half(4, h))
	})
}

// divide computes p0 = p1/p2 for n vectors, p2 one vector.
func (g *gen) divide(name string) {
	g.fn(name, "computes p0 = p1/p2.")
	sum := func(h int) reg.VecPhysical { return g.kept(0, h) }
	g.overClasses(3, true, func(h int) { g.VMOVUPS(g.half(2, h), sum(h)) }, func(h int) {
		g.VMOVUPS(g.half(1, h), g.v(h))
		g.VDIVPS(sum(h), g.v(h), g.v(h))
		g.VMOVUPS(g.v(h), g.half(0, h))
	}, func(int) {})
}

// lossGrad computes p0 = p3·(p1/p2 − t) for n vectors, p2 and p3 one vector each, with the target t f0 in the class that the integers p4
// name and f1 elsewhere, and 0 in the lanes whose integer is negative.
func (g *gen) lossGrad(name string) {
	g.fn(name, "computes the gradient of a cross-entropy at the logits.")
	x, target, t, class, one, on, off := g.v(0), g.v(1), g.v(2), g.v(3), g.v(4), g.v(5), g.v(6)
	sum, factor, label := func(h int) reg.VecPhysical { return g.kept(0, h) }, func(h int) reg.VecPhysical { return g.kept(1, h) }, func(h int) reg.VecPhysical { return g.kept(2, h) }
	g.VMOVUPS(g.constant(1), one)
	g.zero(3)
	g.VBROADCASTSS(arg(elemFloats), on)
	g.VBROADCASTSS(arg(elemFloats+4), off)
	g.overClasses(5, true, func(h int) {
		g.VMOVUPS(g.half(2, h), sum(h))
		g.VMOVUPS(g.half(3, h), factor(h))
		g.VCVTDQ2PS(g.half(4, h), label(h))
	}, func(h int) {
		g.VMOVUPS(g.half(1, h), x)
		g.VDIVPS(sum(h), x, x)
		g.VMOVAPS(off, target)
		g.take(target, on, t, equal, class, label(h))
		g.VSUBPS(target, x, x)
		g.VMULPS(factor(h), x, x)
		g.keep(x, t, notLess, g.constant(0), label(h))
		g.VMOVUPS(x, g.half(0, h))
		if (h+1)*g.w.bytes == 64 {
			g.VADDPS(one, class, class)
		}
	}, func(int) {})
}
