package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// constant is a register of AVX2 of one float in read-only memory; see broadcastConstants.
func (g *gen) constant(v float32) operand.Mem { return g.word(math.Float32bits(v)) }

func (g *gen) word(bits uint32) operand.Mem {
	name := fmt.Sprintf("word_%08x", bits)
	if m, ok := g.words[name]; ok {
		return m
	}
	m := g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for range avx2.bytes / 4 {
		g.AppendDatum(operand.U32(bits))
	}
	g.words[name] = m
	return m
}

// pattern is a register of AVX2 of bytes in read-only memory.
func (g *gen) pattern(name string, b func(i int) byte) operand.Mem {
	if m, ok := g.patterns[name]; ok {
		return m
	}
	m := g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range avx2.bytes {
		g.AppendDatum(operand.U8(b(i)))
	}
	g.patterns[name] = m
	return m
}

// broadcastConstants has the instructions of AVX-512 repeat the first word of a constant: the linker aligns data to 32 bytes, and whole
// registers would lie on two cache lines, if not on two pages.
func broadcastConstants(f *ir.File) {
	for _, fn := range f.Functions() {
		for _, i := range fn.Instructions() {
			if !slices.ContainsFunc(i.Operands, isConstant) || !slices.ContainsFunc(i.Operands, operand.IsZMM) {
				continue
			}
			switch i.Opcode {
			case "VMOVUPS":
				i.Opcode = "VBROADCASTSS"
			case "VBROADCASTSS":
			default:
				i.Suffixes = append(i.Suffixes, "BCST")
			}
		}
	}
}

func isConstant(op operand.Op) bool {
	m, ok := op.(operand.Mem)
	return ok && strings.HasPrefix(m.Symbol.Name, "word_")
}

// predicates of VCMPPS, all quiet.
const (
	greater   = 0x1e // ordered
	notAbove  = 0x1a // or unordered
	notLess   = 0x15 // or unordered
	less      = 0x11 // ordered
	unordered = 0x03
	equal     = 0x00 // ordered
)

// keep zeroes x where "a predicate b" does not hold. b may lie in memory; t is overwritten with AVX2.
func (g *gen) keep(x, t reg.Register, predicate uint8, b operand.Op, a reg.Register) {
	if g.w.bytes == 64 {
		g.VCMPPS(operand.U8(predicate), b, a, reg.K1)
		g.VMOVAPS_Z(x, reg.K1, x)
		return
	}
	g.VCMPPS(operand.U8(predicate), b, a, t)
	g.VANDPS(x, t, x)
}

// take sets x to y where "a predicate b" holds.
func (g *gen) take(x, y, t reg.Register, predicate uint8, b operand.Op, a reg.Register) {
	if g.w.bytes == 64 {
		g.VCMPPS(operand.U8(predicate), b, a, reg.K1)
		g.VMOVAPS(y, reg.K1, x)
		return
	}
	g.VCMPPS(operand.U8(predicate), b, a, t)
	g.VBLENDVPS(t, y, x, x)
}

// expCore turns x to eˣ of x in [-88, 89]: n = round(x·log₂e), r = x − n·ln 2, eʳ = 1 + r + r²·q(r) with a minimax q on ±0.3475, times 2ⁿ.
// With minus it leaves n's power in p2 and eʳ−1 in x instead. small says that 2ⁿ is a normal number. t1 to t3 are overwritten.
func (g *gen) expCore(x, t1, t2, t3 reg.Register, small, minus bool) {
	g.VMULPS(g.constant(math.Log2E), x, t1)
	if g.w.bytes == 64 {
		g.VRNDSCALEPS(operand.U8(8), t1, t1)
	} else {
		g.VROUNDPS(operand.U8(8), t1, t1)
	}
	g.VFNMADD231PS(g.constant(0.693359375), t1, x)
	g.VFNMADD231PS(g.constant(-0.00021219444), t1, x)
	q := []float32{0.001392637612298131, 0.008363333530724049, 0.04166655242443085, 0.16666576266288757, 0.5}
	g.VMOVUPS(g.constant(q[0]), t2)
	for _, c := range q[1:] {
		g.VFMADD213PS(g.constant(c), x, t2)
	}
	g.VMULPS(x, x, t3)
	g.VFMADD213PS(x, t3, t2)
	if minus {
		g.VMOVAPS(t2, x)
	} else {
		g.VADDPS(g.constant(1), t2, x)
	}
	switch {
	case !minus && g.w.bytes == 64:
		g.VSCALEFPS(t1, x, x)
	case small || minus:
		g.VCVTPS2DQ(t1, t1)
		g.VPADDD(g.word(127), t1, t1)
		g.VPSLLD(operand.U8(23), t1, t1)
		if !minus {
			g.VMULPS(t1, x, x)
		}
	default: // two steps, since 2¹²⁸ is no float32
		g.VCVTPS2DQ(t1, t1)
		g.VPSRAD(operand.U8(1), t1, t2)
		g.VPSUBD(t2, t1, t1)
		for _, t := range []reg.Register{t1, t2} {
			g.VPADDD(g.word(127), t, t)
			g.VPSLLD(operand.U8(23), t, t)
			g.VMULPS(t, x, x)
		}
	}
}

// clampTo limits x to [lo, hi] and keeps NaN.
func (g *gen) clampTo(x, t reg.Register, lo, hi float32) {
	g.VMOVUPS(g.constant(hi), t)
	g.VMINPS(x, t, x)
	g.VMOVUPS(g.constant(lo), t)
	g.VMAXPS(x, t, x)
}

// exp turns x to eˣ; subnormal results are 0.
func (g *gen) exp(x, t1, t2, t3 reg.Register) {
	g.clampTo(x, t1, -88, 89)
	g.expCore(x, t1, t2, t3, false, false)
	g.keep(x, t1, notLess, g.constant(0x1p-126), x)
}

// log turns x, at least 2⁻¹²⁶, to ln x, infinity and NaN to themselves: x = 2ⁿ·(1+f) with 1+f from √½ to √2, and
// ln(1+f) = f − f²/2 + f³·p(f) with the polynomial of Cephes' logf. t1 to t4 are overwritten.
func (g *gen) log(x, t1, t2, t3, t4 reg.Register) {
	g.VPSUBD(g.word(math.Float32bits(math.Sqrt2/2)), x, t1)
	g.VPSRAD(operand.U8(23), t1, t1)
	g.VPSLLD(operand.U8(23), t1, t2)
	g.VPSUBD(t2, x, t2)
	g.VSUBPS(g.constant(1), t2, t2)
	g.VCVTDQ2PS(t1, t1)
	p := []float32{7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
		2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1}
	g.VMOVUPS(g.constant(p[0]), t3)
	for _, c := range p[1:] {
		g.VFMADD213PS(g.constant(c), t2, t3)
	}
	g.VMULPS(t2, t2, t4)
	g.VMULPS(t4, t3, t3)
	g.VMULPS(t2, t3, t3)
	g.VFMADD231PS(g.constant(-2.12194440e-4), t1, t3)
	g.VFNMADD231PS(g.constant(0.5), t4, t3)
	g.VADDPS(t2, t3, t3)
	g.VFMADD231PS(g.constant(0.693359375), t1, t3)
	g.take(t3, x, t4, notLess, g.constant(float32(math.Inf(1))), x)
	g.VMOVAPS(t3, x)
}

// expm1 turns x ≤ 0 to eˣ − 1 = 2ⁿ·(eʳ−1) + (2ⁿ−1).
func (g *gen) expm1(x, t1, t2, t3 reg.Register) {
	g.VMOVUPS(g.constant(-87), t1)
	g.VMAXPS(x, t1, x)
	g.expCore(x, t1, t2, t3, true, true)
	g.VSUBPS(g.constant(1), t1, t2)
	g.VFMADD213PS(t2, t1, x)
}

// sigmoid turns x to 1/(1+e⁻ˣ).
func (g *gen) sigmoid(x, t1, t2, t3 reg.Register) {
	g.VXORPS(g.word(1<<31), x, x)
	g.exp(x, t1, t2, t3)
	g.VMOVUPS(g.constant(1), t1)
	g.VADDPS(t1, x, x)
	g.VDIVPS(x, t1, x)
	g.keep(x, t1, notLess, g.constant(0x1p-126), x)
}

// normal leaves e = e^(−a²/2) and q = Φ(−a)/e of a = |x| up to 14, which is left in a. q = t·P(t)/2 with t = 1/(1 + 0.4·a/√2) and P the
// minimax polynomial of erfc(z)·e^(z²)/t; the rounding of a² is made good. t1 to t3 are overwritten.
func (g *gen) normal(x, a, e, q, t1, t2, t3 reg.Register) {
	g.VANDPS(g.word(1<<31-1), x, a)
	g.VMOVUPS(g.constant(14), t1)
	g.VMINPS(a, t1, a)
	g.VMULPS(a, a, e)
	g.VMOVAPS(e, q)
	g.VFMSUB231PS(a, a, q)
	g.VMULPS(g.constant(-0.5), q, q)
	g.VMULPS(g.constant(-0.5), e, e)
	g.exp(e, t1, t2, t3)
	g.VFMADD231PS(e, q, e)
	g.VMOVUPS(g.constant(1), t1)
	g.VMOVAPS(t1, t2)
	g.VFMADD231PS(g.constant(0.28284271247461901), a, t2)
	g.VDIVPS(t2, t1, t2)
	p := []float32{-0.029627010226249695, 0.1426926851272583, -0.24076268076896667, 0.14436976611614227, -0.052301231771707535, 0.08661243319511414,
		0.11817140877246857, 0.17189405858516693, 0.20759816467761993, 0.22567656636238098, 0.2256758213043213}
	g.VMOVUPS(g.constant(p[0]), q)
	for _, c := range p[1:] {
		g.VFMADD213PS(g.constant(c), t2, q)
	}
	g.VMULPS(g.constant(0.5), t2, t2)
	g.VMULPS(t2, q, q)
}

// softplus turns x to max(x, 0) + ln(1+u), u = e^−|x|, by ln(1+u) = 2·artanh(s), s = u/(2+u), with a minimax polynomial in s².
func (g *gen) softplus(x, u, t1, t2, t3 reg.Register) {
	g.VORPS(g.word(1<<31), x, u)
	g.exp(u, t1, t2, t3)
	g.VADDPS(g.constant(2), u, t1)
	g.VDIVPS(t1, u, u)
	g.VMULPS(u, u, t1)
	p := []float32{0.11625506728887558, 0.10850697010755539, 0.14296333491802216, 0.19999849796295166, 0.3333333432674408}
	g.VMOVUPS(g.constant(p[0]), t2)
	for _, c := range p[1:] {
		g.VFMADD213PS(g.constant(c), t1, t2)
	}
	g.VADDPS(u, u, u)
	g.VMULPS(u, t1, t1)
	g.VFMADD213PS(u, t1, t2)
	g.VMOVUPS(g.constant(0), t3)
	g.VMAXPS(x, t3, x)
	g.VADDPS(t2, x, x)
}
