package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// activatedPools writes average pooling of activated values, forward and backward, for the activations whose slope follows from their value.
func (g *gen) activatedPools(add func(name string, f func(name string))) {
	x, t := g.v(2), []reg.VecPhysical{g.v(3), g.v(4), g.v(5), g.v(6)}
	var table func(i int) operand.Op
	add("poolAverageOfTanh", func(name string) {
		g.poolAverageOf(name, func() { table = g.tanhTables(16) }, func() { g.tanh(table, x, t[0], t[1], t[2], t[3]) })
	})
	add("poolAverageOfSigmoid", func(name string) {
		g.poolAverageOf(name, func() {}, func() { g.sigmoid(x, t[0], t[1], t[2]) })
	})
	for _, f := range []struct {
		name  string
		slope func(d, y, t reg.VecPhysical)
	}{{"ReLU", g.reluSlope}, {"Tanh", g.tanhSlope}, {"Sigmoid", g.sigmoidSlope}} {
		add("poolAverageGradOf"+f.name, func(name string) { g.poolAverageGradOf(name, f.slope) })
	}
}

// tanhSlope multiplies d by the slope where tanh is y; t is overwritten.
func (g *gen) tanhSlope(d, y, t reg.VecPhysical) {
	g.VMOVUPS(g.constant(1), t)
	g.VFNMADD231PS(y, y, t)
	g.VMULPS(t, d, d)
}

// sigmoidSlope is tanhSlope of the sigmoid.
func (g *gen) sigmoidSlope(d, y, t reg.VecPhysical) {
	g.VMOVUPS(g.constant(1), t)
	g.VSUBPS(y, t, t)
	g.VMULPS(y, t, t)
	g.VMULPS(t, d, d)
}

// reluSlope is tanhSlope of ReLU; register 7 is overwritten.
func (g *gen) reluSlope(d, y, t reg.VecPhysical) {
	g.zero(7)
	g.keep(d, t, greater, g.v(7), y)
}

// poolAverageOf has activate turn register 2, x, to its activation, which replaces x and is averaged.
func (g *gen) poolAverageOf(name string, prepare, activate func()) {
	tap := func(h int, first bool, m operand.Mem) {
		g.VMOVUPS(m, g.v(2))
		activate()
		g.VMOVUPS(g.v(2), m)
		if first {
			g.VMOVAPS(g.v(2), g.v(h))
		} else {
			g.VADDPS(g.v(2), g.v(h), g.v(h))
		}
	}
	store := func(h int, four bool) {
		g.divideByTaps(h, four)
		g.VMOVUPS(g.v(h), at(poolYBase, poolYP, 1, g.w.bytes*h))
	}
	g.poolLoop(name, "activates values and computes their average pooling.", func() {
		g.loadCount()
		prepare()
	}, func() {
		g.MOVQ(arg(poolTaps), poolTap)
		g.MOVQ(mem(poolTap, 0), poolTapAddress)
		for h := range g.parts() {
			tap(h, true, at(poolXP, poolTapAddress, 1, g.w.bytes*h))
		}
		g.eachTap(1, func() {
			for h := range g.parts() {
				tap(h, false, mem(poolTapAddress, g.w.bytes*h))
			}
		})
		for h := range g.parts() {
			store(h, false)
		}
	}, func() {
		for h := range g.parts() {
			g.eachFour(func(i int, address func(h int) operand.Mem) { tap(h, i == 0, address(h)) })
			store(h, true)
		}
	})
}

// poolAverageGradOf spreads the gradient through the activation's slope. What was pooled lies at mask, with x's strides.
func (g *gen) poolAverageGradOf(name string, slope func(d, y, t reg.VecPhysical)) {
	d, y, t := g.v(2), g.v(3), g.v(4)
	load := func(four bool) {
		for h := range g.parts() {
			g.VMOVUPS(at(poolYBase, poolYP, 1, g.w.bytes*h), g.v(h))
			g.divideByTaps(h, four)
		}
	}
	send := func(h int, value, out operand.Mem) {
		g.VMOVUPS(value, y)
		g.VMOVAPS(g.v(h), d)
		slope(d, y, t)
		g.VMOVUPS(d, out)
	}
	g.poolLoop(name, "spreads the gradient of average pooling and takes it through an activation.", func() {
		g.loadCount()
		g.SUBQ(arg(poolX), poolMaskBase)
	}, func() {
		load(false)
		g.eachTap(0, func() {
			for h := range g.parts() {
				send(h, at(poolTapAddress, poolMaskBase, 1, g.w.bytes*h), mem(poolTapAddress, g.w.bytes*h))
			}
		})
	}, func() {
		load(true)
		g.LEAQ(at(poolXP, poolMaskBase, 1, 0), poolTemp)
		for _, o := range poolFour {
			for h := range g.parts() {
				send(h, at(poolTemp, o, 1, g.w.bytes*h), at(poolXP, o, 1, g.w.bytes*h))
			}
		}
	})
}
