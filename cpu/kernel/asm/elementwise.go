package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/mmcloughlin/avo/attr"
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

// constant is 64 bytes of one float in read-only memory.
func (g *gen) constant(v float32) operand.Mem { return g.word(math.Float32bits(v)) }

func (g *gen) word(bits uint32) operand.Mem {
	name := fmt.Sprintf("word_%08x", bits)
	if m, ok := g.words[name]; ok {
		return m
	}
	m := g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for range 16 {
		g.AppendDatum(operand.U32(bits))
	}
	g.words[name] = m
	return m
}

// predicates of VCMPPS, all quiet.
const (
	greater   = 0x1e // ordered
	notLess   = 0x15 // or unordered
	less      = 0x11 // ordered
	unordered = 0x03
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

// tanh turns x to tanh x = u/(u+2) with u = e²ᵃ − 1, a = |x|: n = round(2a·log₂e − 0.243), r = 2a − n·ln 2, u = 2ⁿ·(eʳ−1) + (2ⁿ−1). Below tanh x = ¼ n is
// 0 and u has no cancellation; where n is large the error of n·ln 2 no longer counts, so that one multiplication does. The rounding of u+2
// is made good: 1/(u+2) = (1 − tanh x)/2.
func (g *gen) tanh(x, a, t1, t2, t3 reg.Register) {
	const shift = 0x1.8p23 // a float32 above it has its integer part in its lowest bits
	g.VANDPS(g.word(1<<31-1), x, a)
	g.VMOVUPS(g.constant(9.03), t1)
	g.VMINPS(a, t1, a) // NaN stays
	g.VMOVUPS(g.constant(-0.243), t1)
	g.VFMADD231PS(g.constant(2*math.Log2E), a, t1)
	g.VADDPS(g.constant(shift), t1, t1)
	g.VSUBPS(g.constant(shift), t1, t2)
	g.VADDPS(a, a, a)
	g.VFNMADD231PS(g.constant(math.Ln2), t2, a)
	q := []float32{0.0015944057377055287, 0.008287117816507816, 0.041661784052848816, 0.16666820645332336, 0.5} // of eʳ−1 = r + r²·q, minimax on [−0.18, 0.517]
	g.VMOVUPS(g.constant(q[0]), t2)
	for _, c := range q[1:] {
		g.VFMADD213PS(g.constant(c), a, t2)
	}
	g.VPSLLD(operand.U8(23), t1, t1)
	g.VPADDD(g.word(127<<23), t1, t1)
	g.VMULPS(a, a, t3)
	g.VFMADD213PS(a, t3, t2)
	g.VADDPS(g.constant(-1), t1, t3)
	g.VFMADD213PS(t3, t1, t2)
	g.VADDPS(g.constant(2), t2, t3)
	g.VDIVPS(t3, t2, t1)
	g.VADDPS(g.constant(-2), t3, t3)
	g.VSUBPS(t3, t2, t2) // what u+2 lost
	g.VMULPS(t1, t2, t2)
	g.VMOVUPS(g.constant(0.5-0x1p-16), t3)
	g.VFNMADD231PS(g.constant(0.5), t1, t3)
	g.VMAXPS(g.constant(0), t3, t3) // close to 1 it counts no longer
	g.VFNMADD231PS(t3, t2, t1)
	g.VANDPS(g.word(1<<31), x, x)
	g.VORPS(t1, x, x)
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

// elem writes a loop over n vectors; body handles the registers at one offset, with operand i at p(i). floats of the arguments are broadcast
// to the last registers.
func (g *gen) elem(name, doc string, operands, floats int, body func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical)) {
	g.fn(name+g.w.name, doc)
	f := func(i int) reg.VecPhysical { return g.v(len(g.w.regs) - 1 - i) }
	for i := range operands {
		g.MOVQ(arg(8*i), pointers[i])
	}
	for i := range floats {
		g.VBROADCASTSS(arg(elemFloats+4*i), f(i))
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
		elem := func(name, doc string, operands, floats int, body func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical)) {
			if n == 0 {
				g.table = append(g.table, fmt.Sprintf("%s = %d", name, len(names)))
			}
			names = append(names, name+w.name)
			g.elem(name, doc, operands, floats, body)
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

type elemFunc func(name, doc string, operands, floats int, body func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical))

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

// activations read x at p1 and write p0; gradients read dy at p1 and the saved tensor at p2. f0 is alpha.
func (g *gen) activations(elem elemFunc) {
	v := func(i int) reg.VecPhysical { return g.v(i) }
	type access = func(i int) operand.Mem
	type floats = func(i int) reg.VecPhysical
	forward := func(name string, body func(x reg.VecPhysical, f floats)) {
		elem("elem"+name, "computes p0 = "+name+"(p1).", 2, 1, func(p access, f floats) {
			g.VMOVUPS(p(1), v(0))
			body(v(0), f)
			g.VMOVUPS(v(0), p(0))
		})
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
	forward("Tanh", func(x reg.VecPhysical, _ floats) { g.tanh(x, v(1), v(2), v(3), v(4)) })
	backward("Tanh", func(floats) {
		g.VMOVUPS(g.constant(1), v(2))
		g.VFNMADD231PS(v(1), v(1), v(2))
		g.VMULPS(v(2), v(0), v(0))
	})
	forward("Sigmoid", func(x reg.VecPhysical, _ floats) { g.sigmoid(x, v(1), v(2), v(3)) })
	backward("Sigmoid", func(floats) {
		g.VMOVUPS(g.constant(1), v(2))
		g.VSUBPS(v(1), v(2), v(2))
		g.VMULPS(v(1), v(2), v(2))
		g.VMULPS(v(2), v(0), v(0))
	})
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
}

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
		add("channelSquares", func(name string) {
			g.perChannel(name, "adds squares: p0 += (p1 − p2)².", []int{1}, []int{2}, func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
				g.VMOVUPS(p(1), g.v(0))
				g.VSUBPS(f(2), g.v(0), g.v(0))
				g.VMOVUPS(p(0), g.v(1))
				g.VFMADD231PS(g.v(0), g.v(0), g.v(1))
				g.VMOVUPS(g.v(1), p(0))
			})
		})
		for _, relu := range []bool{false, true} {
			add(masked("channelAffine", relu), func(name string) { g.affine(name, relu) })
			add(masked("channelGrads", relu), func(name string) { g.normGrads(name, relu) })
			add(masked("channelInputGrad", relu), func(name string) { g.normInputGrad(name, relu) })
		}
		add("channelExp", g.expShifted)
		if n == 0 {
			g.table = append(g.table, fmt.Sprintf("channelKinds = %d", len(names)), ")")
		}
	}
	g.dispatch("channelCall", names)
}

// masked is the name of a kernel of batch normalisation, with a ReLU behind it or without.
func masked(name string, relu bool) string {
	if relu {
		return name + "ReLU"
	}
	return name
}

// affine writes batch normalisation's forward pass.
func (g *gen) affine(name string, relu bool) {
	doc := "computes p0 = p1·p2 + p3."
	if relu {
		doc = "computes p0 = max(p1·p2 + p3, 0)."
	}
	g.perChannel(name, doc, []int{0, 1}, []int{2, 3}, func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
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
func (g *gen) normGrads(name string, relu bool) {
	doc, floats := "adds gradients and products: p0 += p2, p1 += p2·(p3 − p4).", []int{4}
	if relu {
		doc, floats = "adds gradients and products where p3·p5 + p6 is above 0: p0 += p2, p1 += p2·(p3 − p4).", []int{4, 5, 6}
	}
	g.perChannel(name, doc, []int{2, 3}, floats, func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
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
func (g *gen) normInputGrad(name string, relu bool) {
	doc, floats := "computes p0 = p1·p3 + p4 − (p2 − p5)·p6.", []int{3, 4, 5, 6}
	if relu {
		doc, floats = "computes p0 = p1·p3 + p4 − (p2 − p5)·p6, p1 = 0 where p2·p3 + p7 is not above 0.", []int{3, 4, 5, 6, 7}
	}
	g.perChannel(name, doc, []int{0, 1, 2}, floats, func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical) {
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
// float for each channel and are broadcast to the last registers.
func (g *gen) perChannel(name, doc string, moving, floats []int, body func(p func(i int) operand.Mem, f func(i int) reg.VecPhysical)) {
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
	for _, i := range floats {
		g.VBROADCASTSS(at(pointers[i], channel, 1, 0), f(i))
	}
	for h := 0; h < 64; h += g.w.bytes {
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

// expShifted computes p0 = e^(p1 − p2) for n vectors, p2 one vector, and adds them to the vector p3.
func (g *gen) expShifted(name string) {
	g.fn(name, "computes p0 = e^(p1 − p2), and adds to p3.")
	for i := range 4 {
		g.MOVQ(arg(8*i), pointers[i])
	}
	g.MOVQ(arg(elemN), reg.RCX)
	l := g.label("loop")
	g.Label(l)
	for h := 0; h < 64; h += g.w.bytes {
		g.VMOVUPS(mem(pointers[1], h), g.v(0))
		g.VSUBPS(mem(pointers[2], h), g.v(0), g.v(0))
		g.exp(g.v(0), g.v(1), g.v(2), g.v(3))
		g.VMOVUPS(g.v(0), mem(pointers[0], h))
		g.VADDPS(mem(pointers[3], h), g.v(0), g.v(0))
		g.VMOVUPS(g.v(0), mem(pointers[3], h))
	}
	g.ADDQ(operand.I32(64), pointers[0])
	g.ADDQ(operand.I32(64), pointers[1])
	g.DECQ(reg.RCX)
	g.JNZ(operand.LabelRef(l))
	g.end()
}
