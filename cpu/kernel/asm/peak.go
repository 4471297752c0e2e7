package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peaks writes loops of independent fused multiply-adds in registers alone.
func peaks(g *gen) {
	for _, w := range widths {
		g.w = w
		g.fn("peak"+w.name, "runs as many rounds of 12 fused multiply-adds as its argument says.")
		g.MOVQ(arg(0), reg.RCX)
		for i := range 14 {
			g.zero(i)
		}
		l := g.label("loop")
		g.Label(l)
		for i := range 12 {
			g.VFMADD231PS(g.v(12), g.v(13), g.v(i))
		}
		g.DECQ(reg.RCX)
		g.JNZ(operand.LabelRef(l))
		g.end()
	}
}
