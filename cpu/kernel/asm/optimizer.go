package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The floats of kernel.Update, as the rules count them.
const rate, mu, rho, c1, c2, epsilon, decay, scale = 0, 1, 2, 3, 4, 5, 6, 7

// adam takes Adam's step: w, the gradient d and the slots a and b are in registers. The slots are stored; t is overwritten.
func (g *gen) adam(p func(i int) operand.Mem, f func(i int) operand.Op, w, d, a, b, t reg.Register) {
	g.VSUBPS(a, d, t)
	g.VFMADD231PS(f(c1), t, a)
	g.VFMSUB213PS(b, d, d)
	g.VFMADD231PS(f(c2), d, b)
	g.VMOVUPS(a, p(2))
	g.VMOVUPS(b, p(3))
	g.VSQRTPS(b, b)
	g.VADDPS(f(epsilon), b, b)
	g.VMULPS(f(rate), a, a)
	g.VDIVPS(b, a, a)
	g.VSUBPS(a, w, w)
}

// rms leaves RMSprop's rate·g/√(v+ε) in d, the gradient, and stores its slot a; t is overwritten.
func (g *gen) rms(p func(i int) operand.Mem, f func(i int) operand.Op, d, a, t reg.Register) {
	g.VMULPS(f(rho), a, a)
	g.VMULPS(d, d, t)
	g.VFMADD231PS(f(c2), t, a)
	g.VMOVUPS(a, p(2))
	g.VADDPS(f(epsilon), a, a)
	g.VSQRTPS(a, a)
	g.VMULPS(f(rate), d, d)
	g.VDIVPS(a, d, d)
}

// updates are the optimisers' rules: w at p0, g at p1, slots at p2 and p3; the floats are kernel.Update's.
func (g *gen) updates(elem elemFunc) {
	w, d, a, b, t := 0, 1, 2, 3, 4
	rule := func(name string, slots int, body func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical)) {
		elem("elem"+name, "is a step of "+name+".", 2+slots, 8, func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
			g.VMOVUPS(p(0), g.v(w))
			g.VMOVAPS(g.v(w), g.v(t))
			g.VFNMADD231PS(f(decay), g.v(t), g.v(w))
			g.VMULPS(p(1), f(scale), g.v(d))
			if slots > 0 {
				g.VMOVUPS(p(2), g.v(a))
			}
			if slots > 1 {
				g.VMOVUPS(p(3), g.v(b))
			}
			body(p, f)
			g.VMOVUPS(g.v(w), p(0))
		})
	}
	rule("SGD", 0, func(_ func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
		g.VFNMADD231PS(f(rate), g.v(d), g.v(w))
	})
	momentum := func(nesterov bool) func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
		return func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
			g.VMULPS(f(rate), g.v(d), g.v(d))
			g.VFMSUB213PS(g.v(d), f(mu), g.v(a))
			g.VMOVUPS(g.v(a), p(2))
			if nesterov {
				g.VFMSUB213PS(g.v(d), f(mu), g.v(a))
			}
			g.VADDPS(g.v(a), g.v(w), g.v(w))
		}
	}
	rule("Momentum", 1, momentum(false))
	rule("Nesterov", 1, momentum(true))
	op := func(f func(i int) reg.VecPhysical) func(i int) operand.Op {
		return func(i int) operand.Op { return f(i) }
	}
	rule("Adam", 2, func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
		g.adam(p, op(f), g.v(w), g.v(d), g.v(a), g.v(b), g.v(t))
	})
	rms := func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
		g.rms(p, op(f), g.v(d), g.v(a), g.v(t))
	}
	rule("RMSprop", 1, func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
		rms(p, f)
		g.VSUBPS(g.v(d), g.v(w), g.v(w))
	})
	rule("RMSpropMomentum", 2, func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
		rms(p, f)
		g.VFMADD213PS(g.v(d), f(mu), g.v(b))
		g.VMOVUPS(g.v(b), p(3))
		g.VSUBPS(g.v(b), g.v(w), g.v(w))
	})
}
