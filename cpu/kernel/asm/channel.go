package main

import (
	"fmt"
	"slices"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// channels writes the loops over positions × channels. Vectors of channel c lie at 64·c, floats at 4·c.
func (g *gen) channels() {
	var names []string
	for n, w := range widths {
		g.w = w
		if n == 0 {
			g.table = append(g.table, "", "// The kernels over channels of AVX2; those of AVX-512 are channelKinds later.", "const (")
		}
		add := func(name string, f func(name string)) {
			if n == 0 {
				g.table = append(g.table, fmt.Sprintf("%s = %d", name, len(names)))
			}
			names = append(names, name+w.name)
			f(name + w.name)
		}
		add("channelSum8", func(name string) { g.sumPositions(name, 8) })
		add("channelSum1", func(name string) { g.sumPositions(name, 64/w.bytes) })
		for _, across := range []bool{false, true} {
			add(variant("channelSquares", false, across), func(name string) {
				g.perChannel(name, "adds squares: p0 += (p1 − p2)².", across, []int{1}, []int{2}, func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
					g.VMOVUPS(p(1), g.v(0))
					g.VSUBPS(f(2), g.v(0), g.v(0))
					g.VMOVUPS(p(0), g.v(1))
					g.VFMADD231PS(g.v(0), g.v(0), g.v(1))
					g.VMOVUPS(g.v(1), p(0))
				})
			})
			for _, relu := range []bool{false, true} {
				add(variant("channelAffine", relu, across), func(name string) { g.affine(name, relu, across) })
				add(variant("channelGrads", relu, across), func(name string) { g.normGrads(name, relu, across) })
				add(variant("channelInputGrad", relu, across), func(name string) { g.normInputGrad(name, relu, across) })
			}
		}
		g.softmaxes(add)
		if n == 0 {
			g.table = append(g.table, fmt.Sprintf("channelKinds = %d", len(names)), ")")
		}
	}
	g.dispatch("channelCall", names)
}

// sumPositions adds positions to so many registers that stay: p0 += Σ p1, stride apart.
func (g *gen) sumPositions(name string, registers int) {
	g.fn(name, "adds positions: p0 += Σ p1.")
	g.MOVQ(arg(0), pointers[0])
	g.MOVQ(arg(8), pointers[1])
	g.MOVQ(arg(elemPositions), reg.RCX)
	g.MOVQ(arg(elemStride), reg.R11)
	for i := range registers {
		g.VMOVUPS(mem(pointers[0], g.w.bytes*i), g.v(i))
	}
	l := g.label("loop")
	g.Label(l)
	for i := range registers {
		g.VADDPS(mem(pointers[1], g.w.bytes*i), g.v(i), g.v(i))
	}
	g.ADDQ(reg.R11, pointers[1])
	g.DECQ(reg.RCX)
	g.JNZ(operand.LabelRef(l))
	for i := range registers {
		g.VMOVUPS(g.v(i), mem(pointers[0], g.w.bytes*i))
	}
	g.end()
}

// perChannel writes a loop over positions and channels: the operands in moving advance from one position to the next, those in floats hold one
// float for each channel and are broadcast to the last registers; where the lanes are channels, across, they hold one for each lane.
func (g *gen) perChannel(name, doc string, across bool, moving, floats []int, body func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical)) {
	g.fn(name, doc)
	for i := range max(slices.Max(moving), slices.Max(floats)) + 1 {
		g.MOVQ(arg(8*i), pointers[i])
	}
	positions, end, step, channel := reg.R11, reg.RCX, reg.R12, reg.R13
	f := func(i int) reg.VecPhysical { return g.v(len(g.w.regs) - 1 - i) }
	g.MOVQ(arg(elemPositions), positions)
	g.MOVQ(arg(elemN), end)
	g.SHLQ(operand.U8(2), end)
	g.MOVQ(end, step)
	g.SHLQ(operand.U8(4), step)
	pl, cl := g.label("position"), g.label("channel")
	g.Label(pl)
	g.XORQ(index, index)
	g.XORQ(channel, channel)
	g.Label(cl)
	if !across {
		for _, i := range floats {
			g.VBROADCASTSS(at(pointers[i], channel, 1, 0), f(i))
		}
	}
	for h := 0; h < 64; h += g.w.bytes {
		if across {
			for _, i := range floats {
				g.VMOVUPS(at(pointers[i], index, 1, h), f(i))
			}
		}
		body(func(i int) operand.Mem { return at(pointers[i], index, 1, h) }, f)
	}
	g.ADDQ(operand.I32(64), index)
	g.ADDQ(operand.I32(4), channel)
	g.CMPQ(channel, end)
	g.JNE(operand.LabelRef(cl))
	for _, i := range moving {
		g.ADDQ(step, pointers[i])
	}
	g.DECQ(positions)
	g.JNZ(operand.LabelRef(pl))
	g.end()
}
