package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const ordered = 0x07

// windows writes the tiles of convolution with max pooling of a width: the four sums of a window by outputs. A window is one position
// of the grid.
func (g *gen) windows(names []string) []string {
	table := fmt.Sprintf("gemm%sWindow", g.w.name)
	g.table = append(g.table, "", fmt.Sprintf("// %s are the tiles of windows, by outputs.", table), fmt.Sprintf("var %s = []gemmTile{", table))
	outs := 6
	if g.w.bytes == 32 {
		outs = 3
	}
	for j := 1; j <= outs; j++ {
		name := fmt.Sprintf("%sJ%d", table, j)
		g.table = append(g.table, fmt.Sprintf("{1, %d, %d},", j, len(names)))
		names = append(names, name)
		g.gemm(name, gemmTile{4, j}, false, true, 0)
	}
	g.table = append(g.table, "}")
	if g.w.bytes == 64 {
		return names
	}
	table = fmt.Sprintf("gemm%sWindowRuns", g.w.name)
	g.table = append(g.table, "", fmt.Sprintf("// %s are the tiles of windows by taps of a run and outputs.", table), fmt.Sprintf("var %s = []windowTile{", table))
	for n := 2; n <= 5; n++ {
		for j := 1; j <= outs; j++ {
			name := fmt.Sprintf("%sN%dJ%d", table, n, j)
			g.table = append(g.table, fmt.Sprintf("{%d, %d, %d},", n, j, len(names)))
			names = append(names, name)
			g.gemm(name, gemmTile{4, j}, false, true, n)
		}
	}
	g.table = append(g.table, "}")
	return names
}

// windowEnd stores the largest of each window's sums and, where there is room for them, their indices, which are closed where a ReLU
// holds the largest back. ReLU is applied to the first sum alone: another sum is greater than it only where it is above 0. Sums without a
// NaN, nearly all, take half the comparisons.
func (g *gen) windowEnd(t gemmTile, acc func(u, j int) reg.VecPhysical, y, tmp reg.GPPhysical) {
	J, spare := t.j, 4*t.j
	linearL, nanL, valuesL, doneL := g.label("linear"), g.label("nan"), g.label("values"), g.label("done")
	g.CMPQ(arg(gemmReLU), operand.I8(0))
	g.JEQ(operand.LabelRef(linearL))
	g.zero(spare)
	for j := range J {
		g.VMAXPS(acc(0, j), g.v(spare), acc(0, j)) // of a NaN and 0 the NaN
	}
	g.Label(linearL)

	base, index := reg.R14, reg.R15
	g.MOVQ(arg(gemmCur), y)
	g.MOVQ(arg(gemmArgmax), base)
	if g.w.bytes == 64 {
		g.KXNORW(reg.K4, reg.K4, reg.K4)
		g.KXNORW(reg.K5, reg.K5, reg.K5)
		for j := range J {
			g.VCMPPS(operand.U8(ordered), acc(0, j), acc(1, j), reg.K4, reg.K4)
			g.VCMPPS(operand.U8(ordered), acc(2, j), acc(3, j), reg.K5, reg.K5)
		}
		g.KANDW(reg.K4, reg.K5, reg.K4)
		g.KORTESTW(reg.K4, reg.K4)
		g.JCC(operand.LabelRef(nanL))
	} else { // a sum of all, less itself, is NaN where one is NaN or infinite; additions may go where the multipliers are not
		for j := range J {
			first := g.v(spare)
			if j > 0 {
				first = g.v(spare + 1)
			}
			g.VADDPS(acc(0, j), acc(1, j), first)
			g.VADDPS(acc(2, j), acc(3, j), g.v(spare+2))
			g.VADDPS(first, g.v(spare+2), first)
			if j > 0 {
				g.VADDPS(first, g.v(spare), g.v(spare))
			}
		}
		g.VSUBPS(g.v(spare), g.v(spare), g.v(spare))
		g.VCMPPS(operand.U8(unordered), g.v(spare), g.v(spare), g.v(spare))
		g.VTESTPS(g.v(spare), g.v(spare))
		g.JNZ(operand.LabelRef(nanL))
	}
	for _, nan := range []bool{false, true} {
		if nan {
			g.Label(nanL)
			valuesL = g.label("values")
		}
		g.TESTQ(base, base)
		g.JZ(operand.LabelRef(valuesL))
		g.MOVQ(y, index)
		g.SUBQ(arg(gemmY), index)
		g.SHRQ(operand.U8(2), index)
		g.ADDQ(base, index)
		g.MOVQ(arg(gemmYOut), tmp)
		g.SHRQ(operand.U8(2), tmp)
		if !nan && g.w.bytes == 32 {
			plainL := g.label("plain")
			g.CMPQ(arg(gemmReLU), operand.I8(0))
			g.JEQ(operand.LabelRef(plainL))
			g.windowSigns(t, acc, y, index, tmp)
			g.JMP(operand.LabelRef(doneL))
			g.Label(plainL)
		}
		g.windowMax(t, acc, y, index, tmp, nan, true)
		g.JMP(operand.LabelRef(doneL))
		g.Label(valuesL)
		g.windowMax(t, acc, y, index, tmp, nan, false)
		if !nan {
			g.JMP(operand.LabelRef(doneL))
		}
	}
	g.Label(doneL)
}

// windowMax compares two pairs, then their winners, as poolMax does: a sum wins where it is greater or NaN.
func (g *gen) windowMax(t gemmTile, acc func(u, j int) reg.VecPhysical, y, index, step reg.GPPhysical, nan, argmax bool) {
	spare := 4 * t.j
	wide := g.w.bytes == 64
	x := func(i int) reg.Register { return g.v(spare + i).AsX() } // 16 bytes
	zero := g.v(len(g.w.regs) - 1)
	switch {
	case !argmax:
	case wide: // bytes of 1, 2 and 3, and closed
		g.VPTERNLOGD(operand.U8(0xff), x(5), x(5), x(5))
		g.VPABSB(x(5), x(1))
		g.VPADDB(x(1), x(1), x(2))
		g.VPADDB(x(1), x(2), x(3))
		g.zero(len(g.w.regs) - 1)
		g.KMOVW(arg(gemmReLU), reg.K7)
	default: // -2
		g.VPCMPEQD(g.v(spare+1), g.v(spare+1), g.v(spare+1))
		g.VPADDD(g.v(spare+1), g.v(spare+1), g.v(spare+1))
	}
	challenge := func(v, best reg.VecPhysical, k reg.OpmaskPhysical, mask reg.VecPhysical) {
		if wide {
			if nan || argmax {
				g.VCMPPS(operand.U8(greater), best, v, k)
			}
			if nan {
				g.VCMPPS(operand.U8(unordered), v, v, reg.K6)
				g.KORW(k, reg.K6, k)
				g.VMOVAPS(v, k, best)
				return
			}
		} else {
			if nan || argmax {
				g.VCMPPS(operand.U8(greater), best, v, mask)
			}
			if nan {
				g.VCMPPS(operand.U8(unordered), v, v, g.v(spare+2))
				g.VORPS(g.v(spare+2), mask, mask)
				g.VBLENDVPS(mask, v, best, best)
				return
			}
		}
		g.VMAXPS(best, v, best) // of equal values best
	}
	for j := range t.j {
		a := [4]reg.VecPhysical{acc(0, j), acc(1, j), acc(2, j), acc(3, j)}
		first, second, last := g.v(spare), a[1], a[3]
		challenge(a[1], a[0], reg.K1, first)
		challenge(a[3], a[2], reg.K2, second)
		challenge(a[2], a[0], reg.K3, last)
		g.VMOVUPS(a[0], mem(y, 0))
		switch {
		case !argmax:
		case wide:
			g.VCMPPS(operand.U8(notAbove), zero, a[0], reg.K7, reg.K6)
			g.VMOVDQU8_Z(x(1), reg.K1, x(0))
			g.VPBLENDMB(x(3), x(2), reg.K2, x(4))
			g.VMOVDQU8(x(4), reg.K3, x(0))
			g.VMOVDQU8(x(5), reg.K6, x(0))
			g.VMOVDQU8(x(0), mem(index, 0))
		default: // indices below 0: those of the first pair are its mask
			g.VPADDD(g.v(spare+1), second, second)
			g.VBLENDVPS(last, second, first, first)
			g.VPABSD(first, first)
			if nan {
				shut := g.v(spare + 2)
				g.VXORPS(shut, shut, shut)
				g.VCMPPS(operand.U8(notAbove), shut, a[0], shut)
				g.VPSRLD(operand.U8(24), shut, shut) // to closed
				g.VPBROADCASTD(arg(gemmReLU), last)
				g.VPAND(last, shut, shut)
				g.VPOR(shut, first, first)
			}
			g.VEXTRACTI128(operand.U8(1), first, x(2))
			g.VPACKUSDW(x(2), x(0), x(0))
			g.VPACKUSWB(x(0), x(0), x(0))
			g.VMOVQ(x(0), mem(index, 0))
		}
		if j+1 < t.j {
			g.ADDQ(arg(gemmYOut), y)
			if argmax {
				g.ADDQ(step, index)
			}
		}
	}
}

// windowSigns is windowMax with indices behind a ReLU, without comparisons, which would go where the multipliers are: the sign of a
// difference says which of two finite sums won. (Of −0 and 0 it says that 0 did, but then the window is closed.) The signs of all outputs
// are packed to bytes before they are made indices.
func (g *gen) windowSigns(t gemmTile, acc func(u, j int) reg.VecPhysical, y, index, step reg.GPPhysical) {
	J, spare := t.j, 4*t.j
	var left, right, rows, open []reg.VecPhysical // of each output: the second sum of a row won; the second row did; the largest is above 0
	zero := g.v(len(g.w.regs) - 1)
	g.VXORPS(zero, zero, zero)
	for j := range J {
		a := [4]reg.VecPhysical{acc(0, j), acc(1, j), acc(2, j), acc(3, j)}
		left, right, rows, open = append(left, g.v(spare+j)), append(right, a[1]), append(rows, a[3]), append(open, a[0])
		g.VSUBPS(a[1], a[0], left[j])
		g.VMAXPS(a[0], a[1], a[0]) // of equal values the first
		g.VSUBPS(a[3], a[2], right[j])
		g.VMAXPS(a[2], a[3], a[2])
		g.VSUBPS(a[2], a[0], rows[j])
		g.VMAXPS(a[0], a[2], a[0])
		g.VMOVUPS(a[0], mem(y, 0))
		g.VSUBPS(a[0], zero, open[j])
		if j+1 < J {
			g.ADDQ(arg(gemmYOut), y)
		}
	}
	for _, s := range [][]reg.VecPhysical{left, right, rows, open} { // four bytes of each output in either half
		if J > 1 {
			g.VPACKSSDW(s[1], s[0], s[0])
		} else {
			g.VPACKSSDW(s[0], s[0], s[0])
		}
		if J > 2 {
			g.VPACKSSDW(s[2], s[2], s[2])
			g.VPACKSSWB(s[2], s[0], s[0])
		} else {
			g.VPACKSSWB(s[0], s[0], s[0])
		}
	}
	g.VPXOR(left[0], right[0], right[0])
	g.VPAND(rows[0], right[0], right[0])
	g.VPXOR(right[0], left[0], left[0])                                      // the second sum of the row that won
	number := func(bytes uint32, sign, to reg.VecPhysical) reg.VecPhysical { // where there is no sign
		g.VMOVDQU(g.word(bytes), to)
		g.VPSHUFB(sign, to, to)
		return to
	}
	sum := number(0x01010101, left[0], acc(2, 0))
	g.VPOR(number(0x02020202, rows[0], right[0]), sum, sum)
	g.VPXOR(g.word(0x03030303), sum, sum)
	g.VPOR(number(closed*0x01010101, open[0], rows[0]), sum, sum)
	g.VMOVDQU(g.pattern("halves", func(i int) byte { // both of an output side by side
		if i%4 > 0 {
			return 0
		}
		return byte(i/8 + i/4%2*4)
	}), left[0])
	g.VPERMD(sum, left[0], sum)
	x := sum.AsX()
	g.VMOVQ(x, mem(index, 0))
	if J > 1 {
		g.VMOVHPS(x, at(index, step, 1, 0))
	}
	if J > 2 {
		g.VEXTRACTI128(operand.U8(1), sum, x)
		g.VMOVQ(x, at(index, step, 2, 0))
	}
}
