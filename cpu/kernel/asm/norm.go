package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// variant is the name of a kernel of batch normalisation, with a ReLU behind it or without, and with channels in the lanes or without.
func variant(name string, relu, across bool) string {
	if relu {
		name += "ReLU"
	}
	if across {
		name += "Across"
	}
	return name
}

// affine writes batch normalisation's forward pass.
func (g *gen) affine(name string, relu, across bool) {
	doc := "computes p0 = p1·p2 + p3."
	if relu {
		doc = "computes p0 = max(p1·p2 + p3, 0)."
	}
	g.perChannel(name, doc, across, []int{0, 1}, []int{2, 3}, func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
		g.VMOVUPS(p(1), g.v(0))
		g.VFMADD213PS(f(3), f(2), g.v(0))
		if relu {
			g.zero(1)
			g.VMAXPS(g.v(0), g.v(1), g.v(0))
		}
		g.VMOVUPS(g.v(0), p(0))
	})
}

// passed zeroes the gradient dy where a ReLU took nothing of x·scale + shift; t1 to t3 are overwritten.
func (g *gen) passed(dy, x int, scale, shift reg.Register, t1, t2, t3 int) {
	g.VMOVAPS(g.v(x), g.v(t1))
	g.VFMADD213PS(shift, scale, g.v(t1))
	g.zero(t2)
	g.keep(g.v(dy), g.v(t3), greater, g.v(t2), g.v(t1))
}

// normGrads writes the sums of batch normalisation's gradients.
func (g *gen) normGrads(name string, relu, across bool) {
	doc, floats := "adds gradients and products: p0 += p2, p1 += p2·(p3 − p4).", []int{4}
	if relu {
		doc, floats = "adds gradients and products where p3·p5 + p6 is above 0: p0 += p2, p1 += p2·(p3 − p4).", []int{4, 5, 6}
	}
	g.perChannel(name, doc, across, []int{2, 3}, floats, func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
		dy, x, sum := 0, 1, 2
		g.VMOVUPS(p(2), g.v(dy))
		g.VMOVUPS(p(3), g.v(x))
		if relu {
			g.passed(dy, x, f(5), f(6), 2, 3, 4)
		}
		g.VADDPS(p(0), g.v(dy), g.v(sum))
		g.VMOVUPS(g.v(sum), p(0))
		g.VSUBPS(f(4), g.v(x), g.v(x))
		g.VMOVUPS(p(1), g.v(sum))
		g.VFMADD231PS(g.v(dy), g.v(x), g.v(sum))
		g.VMOVUPS(g.v(sum), p(1))
	})
}

// normInputGrad writes batch normalisation's gradient at its input.
func (g *gen) normInputGrad(name string, relu, across bool) {
	doc, floats := "computes p0 = p1·p3 + p4 − (p2 − p5)·p6.", []int{3, 4, 5, 6}
	if relu {
		doc, floats = "computes p0 = p1·p3 + p4 − (p2 − p5)·p6, p1 = 0 where p2·p3 + p7 is not above 0.", []int{3, 4, 5, 6, 7}
	}
	g.perChannel(name, doc, across, []int{0, 1, 2}, floats, func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
		dy, x := 0, 1
		g.VMOVUPS(p(1), g.v(dy))
		g.VMOVUPS(p(2), g.v(x))
		if relu {
			g.passed(dy, x, f(3), f(7), 2, 3, 4)
		}
		g.VFMADD213PS(f(4), f(3), g.v(dy))
		g.VSUBPS(f(5), g.v(x), g.v(x))
		g.VFNMADD231PS(f(6), g.v(x), g.v(dy))
		g.VMOVUPS(g.v(dy), p(0))
	})
}
