package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in kernel.elemArgs: eight pointers, the number of vectors, then floats.
const (
	elemN         = 64
	elemPositions = 72
	elemStride    = 80
	elemFloats    = 88
)

// pointers are the registers of an elementwise kernel's operands; index runs over bytes.
var pointers = []reg.Register{reg.RSI, reg.RDX, reg.RBX, reg.R8, reg.R9, reg.R10, reg.R14, reg.R15}

var index = reg.RAX

// elem writes a loop over n vectors; body handles the registers at one offset, with operand i at p(i). floats of the arguments are broadcast
// to the last registers. What prepare leaves in registers stays there.
func (g *gen) elem(name, doc string, operands, floats int, body func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical), prepare ...func()) {
	g.fn(name+g.w.name, doc)
	f := func(i int) reg.VecPhysical { return g.v(len(g.w.regs) - 1 - i) }
	for i := range operands {
		g.MOVQ(arg(8*i), pointers[i])
	}
	for i := range floats {
		g.VBROADCASTSS(arg(elemFloats+4*i), f(i))
	}
	for _, f := range prepare {
		f()
	}
	g.MOVQ(arg(elemN), reg.RCX)
	g.SHLQ(operand.U8(6), reg.RCX)
	g.XORQ(index, index)
	l := g.label("loop")
	g.Label(l)
	for h := 0; h < 64; h += g.w.bytes {
		body(func(i int) operand.Mem { return at(pointers[i], index, 1, h) }, f)
	}
	g.ADDQ(operand.I32(64), index)
	g.CMPQ(index, reg.RCX)
	g.JNE(operand.LabelRef(l))
	g.end()
}

// elementwise writes the loops over flat slices.
func elementwise(g *gen) {
	var names []string
	for n, w := range widths {
		g.w = w
		elem := func(name, doc string, operands, floats int, body func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical), prepare ...func()) {
			if n == 0 {
				g.table = append(g.table, fmt.Sprintf("%s = %d", name, len(names)))
			}
			names = append(names, name+w.name)
			g.elem(name, doc, operands, floats, body, prepare...)
		}
		if n == 0 {
			g.table = append(g.table, "", "// The elementwise kernels of AVX2; those of AVX-512 are elemKinds later.", "const (")
		}
		g.arithmetic(elem)
		g.activations(elem)
		g.updates(elem)
		if n == 0 {
			g.table = append(g.table, fmt.Sprintf("elemKinds = %d", len(names)), ")")
		}
	}
	g.dispatch("elemCall", names)
	g.channels()
}

type elemFunc func(name, doc string, operands, floats int, body func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical), prepare ...func())

func (g *gen) arithmetic(elem elemFunc) {
	elem("elemAdd", "computes p0 = p1 + p2.", 3, 0, func(p func(i int) operand.Mem, _ func(i int) reg.VecPhysical) {
		g.VMOVUPS(p(1), g.v(0))
		g.VADDPS(p(2), g.v(0), g.v(0))
		g.VMOVUPS(g.v(0), p(0))
	})
	elem("elemMul", "computes p0 = p1 · p2.", 3, 0, func(p func(i int) operand.Mem, _ func(i int) reg.VecPhysical) {
		g.VMOVUPS(p(1), g.v(0))
		g.VMULPS(p(2), g.v(0), g.v(0))
		g.VMOVUPS(g.v(0), p(0))
	})
	elem("elemScale", "computes p0 = p1 · f0.", 2, 1, func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
		g.VMULPS(p(1), f(0), g.v(0))
		g.VMOVUPS(g.v(0), p(0))
	})
}
