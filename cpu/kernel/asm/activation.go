package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// activations read x at p1 and write p0; gradients read dy at p1 and the saved tensor at p2. f0 is alpha.
func (g *gen) activations(elem elemFunc) {
	v := func(i int) reg.VecPhysical { return g.v(i) }
	type access = func(i int) operand.Mem
	type floats = func(i int) reg.VecPhysical
	forward := func(name string, body func(x reg.VecPhysical, f floats), prepare ...func()) {
		elem("elem"+name, "computes p0 = "+name+"(p1).", 2, 1, func(p access, f floats) {
			g.VMOVUPS(p(1), v(0))
			body(v(0), f)
			g.VMOVUPS(v(0), p(0))
		}, prepare...)
	}
	// backward's body has dy in register 0 and the saved tensor in 1, and leaves dx in 0.
	backward := func(name string, body func(f floats)) {
		elem("elem"+name+"Grad", "computes p0 = p1 · "+name+"′, with p2 saved.", 3, 1, func(p access, f floats) {
			g.VMOVUPS(p(1), v(0))
			g.VMOVUPS(p(2), v(1))
			body(f)
			g.VMOVUPS(v(0), p(0))
		})
	}
	forward("ReLU", func(x reg.VecPhysical, _ floats) {
		g.zero(1)
		g.VMAXPS(x, v(1), x)
	})
	backward("ReLU", func(floats) {
		g.zero(2)
		g.keep(v(0), v(3), greater, v(2), v(1))
	})
	var table func(i int) operand.Op
	forward("Tanh", func(x reg.VecPhysical, _ floats) { g.tanh(table, x, v(1), v(2), v(3), v(4)) }, func() { table = g.tanhTables(16) })
	backward("Tanh", func(floats) { g.tanhSlope(v(0), v(1), v(2)) })
	forward("Sigmoid", func(x reg.VecPhysical, _ floats) { g.sigmoid(x, v(1), v(2), v(3)) })
	backward("Sigmoid", func(floats) { g.sigmoidSlope(v(0), v(1), v(2)) })
	forward("LeakyReLU", func(x reg.VecPhysical, f floats) {
		g.zero(1)
		g.VMULPS(f(0), x, v(2))
		g.take(v(2), x, v(3), greater, v(1), x)
		g.VMOVAPS(v(2), x)
	})
	backward("LeakyReLU", func(f floats) {
		g.zero(2)
		g.VMULPS(f(0), v(0), v(3))
		g.take(v(3), v(0), v(4), greater, v(2), v(1))
		g.VMOVAPS(v(3), v(0))
	})
	forward("ELU", func(x reg.VecPhysical, f floats) {
		g.zero(1)
		g.VMINPS(x, v(1), v(2))
		g.expm1(v(2), v(3), v(4), v(5))
		g.VMULPS(f(0), v(2), v(2))
		g.take(v(2), x, v(3), greater, v(1), x)
		g.VMOVAPS(v(2), x)
	})
	backward("ELU", func(f floats) {
		g.zero(2)
		g.VADDPS(f(0), v(1), v(3))
		g.VMULPS(v(3), v(0), v(3))
		g.take(v(3), v(0), v(4), greater, v(2), v(1))
		g.VMOVAPS(v(3), v(0))
	})
	forward("SiLU", func(x reg.VecPhysical, _ floats) {
		g.VMOVAPS(x, v(4))
		g.sigmoid(x, v(1), v(2), v(3))
		g.VMULPS(v(4), x, x)
	})
	backward("SiLU", func(floats) {
		g.VMOVAPS(v(1), v(2))
		g.sigmoid(v(2), v(3), v(4), v(5))
		g.VMOVUPS(g.constant(1), v(3))
		g.VSUBPS(v(2), v(3), v(3))
		g.VMULPS(v(2), v(1), v(1))
		g.VFMADD213PS(v(2), v(1), v(3))
		g.VMULPS(v(3), v(0), v(0))
	})
	forward("GELU", func(x reg.VecPhysical, _ floats) {
		g.normal(x, v(1), v(2), v(3), v(4), v(5), v(6))
		g.VMOVUPS(g.constant(1), v(4))
		g.VFNMADD231PS(v(3), v(2), v(4))
		g.VMULPS(x, v(4), v(4)) // x·(1 − Φ(−x))
		g.VXORPS(g.word(1<<31), v(1), v(1))
		g.VMULPS(v(3), v(1), v(1))
		g.VMULPS(v(2), v(1), v(1)) // −a·Φ(−a), e last: Φ alone may be subnormal
		g.zero(5)
		g.take(v(1), v(4), v(6), greater, v(5), x)
		g.VMOVAPS(v(1), x)
	})
	backward("GELU", func(floats) { // Φ(x) + x·φ(x)
		g.normal(v(1), v(2), v(3), v(4), v(5), v(6), v(7))
		g.VMULPS(v(3), v(4), v(4))
		g.VMOVUPS(g.constant(1), v(5))
		g.VSUBPS(v(4), v(5), v(5))
		g.zero(6)
		g.take(v(4), v(5), v(7), greater, v(6), v(1))
		g.VMULPS(g.constant(0.3989422804014327), v(3), v(3))
		g.VMULPS(v(2), v(3), v(3)) // a·φ(a), then x's sign
		g.VANDPS(g.word(1<<31), v(1), v(1))
		g.VXORPS(v(1), v(3), v(3))
		g.VADDPS(v(3), v(4), v(4))
		g.VMULPS(v(4), v(0), v(0))
	})
	forward("Softplus", func(x reg.VecPhysical, _ floats) { g.softplus(x, v(1), v(2), v(3), v(4)) })
	backward("Softplus", func(floats) { // 1 − e⁻ʸ
		g.VXORPS(g.word(1<<31), v(1), v(1))
		g.expm1(v(1), v(2), v(3), v(4))
		g.VXORPS(g.word(1<<31), v(1), v(1))
		g.VMULPS(v(1), v(0), v(0))
	})
	forward("ReLU6", func(x reg.VecPhysical, _ floats) { g.clampTo(x, v(1), 0, 6) })
	backward("ReLU6", func(floats) { g.within(v(0), v(1), v(2), 0, 6) })
	forward("HardSigmoid", func(x reg.VecPhysical, _ floats) { g.hardSigmoid(x, v(1)) })
	backward("HardSigmoid", func(floats) {
		g.within(v(0), v(1), v(2), 0, 1)
		g.VMULPS(g.constant(1./6), v(0), v(0))
	})
	forward("HardSiLU", func(x reg.VecPhysical, _ floats) {
		g.VMOVAPS(x, v(2))
		g.hardSigmoid(x, v(1))
		g.VMULPS(v(2), x, x)
	})
	backward("HardSiLU", func(floats) {
		g.VMULPS(g.constant(1./6), v(1), v(2))
		g.within(v(2), v(1), v(3), -3, 3)
		g.hardSigmoid(v(1), v(3))
		g.VADDPS(v(2), v(1), v(1))
		g.VMULPS(v(1), v(0), v(0))
	})
}

// within zeroes d where s does not lie between lo and hi.
func (g *gen) within(d, s, t reg.Register, lo, hi float32) {
	g.keep(d, t, greater, g.constant(lo), s)
	g.keep(d, t, less, g.constant(hi), s)
}

// hardSigmoid turns x to min(max(x+3, 0), 6)/6.
func (g *gen) hardSigmoid(x, t reg.Register) {
	g.VADDPS(g.constant(3), x, x)
	g.clampTo(x, t, 0, 6)
	g.VMULPS(g.constant(1./6), x, x)
}
