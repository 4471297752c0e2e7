package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in kernel.linesArgs.
const (
	linesIn                        = 0 // six of them
	linesOut, linesStride          = 48, 56
	linesN, linesOuter             = 64, 72
	linesInOuter, linesOutOuter    = 80, 88
	linesBias, linesReLU, linesEnd = 96, 104, 112
)

// The points of F(4×4, 3×3) are 0, ±a, ±b and ∞; see kernel/winograd.go.
const (
	pointA = 5.0 / 8
	pointB = 3.0 / 2
)

var (
	kernelZero = 1 / (pointA * pointA * pointB * pointB)
	kernelA    = 1 / (2 * pointA * pointA * (pointA*pointA - pointB*pointB))
	kernelB    = 1 / (2 * pointB * pointB * (pointB*pointB - pointA*pointA))
)

// transform is one of the transforms, with its numbers of lines in and out and the constants that it keeps in registers.
type transform struct {
	name, doc string
	in, out   int
	constants []float64
	biased    bool
	body      func(l *line)
}

// winograds writes the one-dimensional transforms over lines of vectors.
func winograds(g *gen) {
	const a, b = pointA, pointB
	var names []string
	for _, w := range widths {
		g.w = w
		for _, t := range []transform{
			{"Input", "x by Bᵀ", 6, 6, []float64{a * a * b * b, a*a + b*b, a, b, a * a, b * b}, false, inputTransform},
			{"Output", "products by Aᵀ", 6, 4, []float64{a, b, a * a, b * b, a * a * a, b * b * b}, true, outputTransform},
			{"Gradient", "the output's gradient by A", 4, 6, []float64{a, b, a * a, b * b}, false, gradientTransform},
			{"Kernel", "kernels by G", 3, 6, []float64{a, b, a * a, b * b, kernelZero, kernelA, kernelB}, false, kernelTransform},
			{"KernelGradient", "products by Gᵀ", 6, 3, []float64{a, b, a * a, b * b, kernelZero, kernelA, kernelB}, false, kernelGradientTransform},
			{"RowOutput", "a row's products by Aᵀ", 6, 2, []float64{a, b}, true, rowOutputTransform},
			{"RowGradient", "a row of the output's gradient by A", 2, 6, []float64{a, b}, false, rowGradientTransform},
			{
				"RowKernel", "rows of kernels by G", 5, 6,
				[]float64{a, b, a * a, b * b, a * a * a * a, b * b * b * b, kernelZero, kernelA, kernelB}, false, rowKernelTransform,
			},
			{
				"RowKernelGradient", "a row's products by Gᵀ", 6, 5,
				[]float64{a, b, a * a, b * b, a * a * a, b * b * b, kernelZero, kernelA, kernelB}, false, rowKernelGradientTransform,
			},
			{
				"RowInputGradient", "a row's products by B and adds four of six", 6, 6,
				[]float64{a, b, a * a, b * b, a * a * b * b, a*a + b*b, a * b * b, a * a * b}, false, rowInputGradientTransform,
			},
		} {
			name := "winograd" + t.name + w.name
			names = append(names, name)
			g.lines(name, t)
		}
	}
	g.dispatch("winogradCall", names)
}

// line is a place in the lines: registers of the inputs are asked for as they are needed.
type line struct {
	*gen
	in     func(j int) operand.Mem
	store  func(i int, r reg.VecPhysical)
	add    func(i int, r reg.VecPhysical) // to what is there
	consts map[float64]reg.VecPhysical
	finish func(r reg.VecPhysical)
}

func (l *line) load(r, j int) reg.VecPhysical {
	l.VMOVUPS(l.in(j), l.v(r))
	return l.v(r)
}

func (l *line) copyOf(r int, v reg.VecPhysical) reg.VecPhysical {
	l.VMOVAPS(v, l.v(r))
	return l.v(r)
}

// c is a constant's register.
func (l *line) c(v float64) reg.VecPhysical {
	r, ok := l.consts[v]
	if !ok {
		panic(fmt.Sprintf("constant %v has no register", v))
	}
	return r
}

// lines writes a transform: for outer lines, for n vectors.
func (g *gen) lines(name string, t transform) {
	g.fn(name, "multiplies "+t.doc+".")
	ins := []reg.GPPhysical{reg.RSI, reg.RAX, reg.RCX, reg.RDX, reg.RBX, reg.R8}
	at0, dst, stride, stride3, stride5, bias, tmp := reg.R9, reg.R10, reg.R11, reg.R12, reg.R13, reg.R14, reg.R15
	for j := range t.in {
		g.MOVQ(arg(linesIn+8*j), ins[j])
	}
	g.MOVQ(arg(linesOut), dst)
	g.MOVQ(arg(linesStride), stride)
	g.LEAQ(at(stride, stride, 2, 0), stride3)
	g.LEAQ(at(stride, stride, 4, 0), stride5)
	l := &line{gen: g, consts: map[float64]reg.VecPhysical{}}
	next := len(g.w.regs) - 1
	for _, v := range t.constants {
		g.VBROADCASTSS(g.word(math.Float32bits(float32(v))), g.v(next))
		l.consts[v] = g.v(next)
		next--
	}
	outerL, vecL := g.label("outer"), g.label("vector")
	g.Label(outerL)
	g.XORQ(at0, at0)
	if t.biased {
		g.MOVQ(arg(linesBias), bias)
	}
	g.Label(vecL)
	vectors := 64 / g.w.bytes
	for h := range vectors {
		l.in = func(j int) operand.Mem { return at(ins[j], at0, 1, h*g.w.bytes) }
		d := h * g.w.bytes
		outs := []operand.Mem{mem(dst, d), at(dst, stride, 1, d), at(dst, stride, 2, d), at(dst, stride3, 1, d), at(dst, stride, 4, d), at(dst, stride5, 1, d)}
		l.store = func(i int, r reg.VecPhysical) { g.VMOVUPS(r, outs[i]) }
		l.add = func(i int, r reg.VecPhysical) {
			g.VADDPS(outs[i], r, r)
			g.VMOVUPS(r, outs[i])
		}
		l.finish = func(reg.VecPhysical) {}
		if t.biased {
			// the bias, or zeros, and the bound from below, or −∞, are added to every output: a constant and no branches
			g.VBROADCASTSS(mem(bias, 0), g.v(next))
			g.VBROADCASTSS(arg(linesReLU), g.v(next-1))
			l.finish = func(r reg.VecPhysical) {
				g.VADDPS(g.v(next), r, r)
				g.VMAXPS(r, g.v(next-1), r) // of a NaN and the bound the first operand of Go's order, the NaN
			}
		}
		t.body(l)
	}
	g.ADDQ(operand.I32(64), at0)
	g.ADDQ(operand.I32(64), dst)
	if t.biased {
		g.ADDQ(arg(linesEnd), bias)
	}
	g.CMPQ(at0, arg(linesN))
	g.JNE(operand.LabelRef(vecL))
	g.MOVQ(arg(linesInOuter), tmp)
	for j := range t.in {
		g.ADDQ(tmp, ins[j])
	}
	g.ADDQ(arg(linesOutOuter), dst)
	g.DECQ(arg(linesOuter))
	g.JNZ(operand.LabelRef(outerL))
	g.end()
}

func inputTransform(l *line) {
	a, b := pointA, pointB
	d2, d4 := l.load(2, 2), l.load(4, 4)
	t := l.copyOf(0, d4)
	l.VFNMADD231PS(d2, l.c(a*a+b*b), t)
	l.VFMADD231PS(l.in(0), l.c(a*a*b*b), t)
	l.store(0, t)
	d1, d3 := l.load(1, 1), l.load(3, 3)
	t = l.load(0, 5)
	l.VFNMADD231PS(d3, l.c(a*a+b*b), t)
	l.VFMADD231PS(d1, l.c(a*a*b*b), t)
	l.store(5, t)
	pair := func(i int, p, q float64, last bool) {
		even, odd := l.v(4), l.v(3)
		if !last {
			even, odd = l.copyOf(5, d4), l.copyOf(6, d3)
		}
		l.VFNMADD231PS(d2, l.c(q*q), even)
		l.VFNMADD231PS(d1, l.c(q*q), odd)
		plus := l.copyOf(7, even)
		l.VFMADD231PS(odd, l.c(p), plus)
		l.VFNMADD231PS(odd, l.c(p), even)
		l.store(i, plus)
		l.store(i+1, even)
	}
	pair(1, a, b, false)
	pair(3, b, a, true)
}

// sumsAndDifferences leaves m1+m2, m1−m2, m3+m4 and m3−m4 in registers 1 to 4; it uses 5 and 6.
func (l *line) sumsAndDifferences() (sa, da, sb, db reg.VecPhysical) {
	m1, m3 := l.load(5, 1), l.load(6, 3)
	m2, m4 := l.load(2, 2), l.load(4, 4)
	sa, da, sb, db = l.v(1), l.v(2), l.v(3), l.v(4)
	l.VADDPS(m2, m1, sa)
	l.VSUBPS(m2, m1, da)
	l.VADDPS(m4, m3, sb)
	l.VSUBPS(m4, m3, db)
	return sa, da, sb, db
}

func outputTransform(l *line) {
	a, b := pointA, pointB
	sa, da, sb, db := l.sumsAndDifferences()
	y := l.load(0, 0)
	l.VADDPS(sa, y, y)
	l.VADDPS(sb, y, y)
	l.finish(y)
	l.store(0, y)
	y = l.v(5)
	l.VMULPS(l.c(a), da, y)
	l.VFMADD231PS(db, l.c(b), y)
	l.finish(y)
	l.store(1, y)
	y = l.v(6)
	l.VMULPS(l.c(a*a), sa, y)
	l.VFMADD231PS(sb, l.c(b*b), y)
	l.finish(y)
	l.store(2, y)
	y = l.load(0, 5)
	l.VFMADD231PS(da, l.c(a*a*a), y)
	l.VFMADD231PS(db, l.c(b*b*b), y)
	l.finish(y)
	l.store(3, y)
}

func gradientTransform(l *line) {
	y0, y1, y2, y3 := l.load(0, 0), l.load(1, 1), l.load(2, 2), l.load(3, 3)
	l.store(0, y0)
	l.store(5, y3)
	for i, p := range []float64{pointA, pointB} {
		even, odd := l.copyOf(4, y0), l.copyOf(5, y1)
		l.VFMADD231PS(y2, l.c(p*p), even)
		l.VFMADD231PS(y3, l.c(p*p), odd)
		plus := l.copyOf(6, even)
		l.VFMADD231PS(odd, l.c(p), plus)
		l.VFNMADD231PS(odd, l.c(p), even)
		l.store(1+2*i, plus)
		l.store(2+2*i, even)
	}
}

func kernelTransform(l *line) {
	g0, g1, g2 := l.load(0, 0), l.load(1, 1), l.load(2, 2)
	l.store(5, g2)
	for i, p := range []struct{ p, n float64 }{{pointA, kernelA}, {pointB, kernelB}} {
		even := l.copyOf(3, g0)
		l.VFMADD231PS(g2, l.c(p.p*p.p), even)
		plus := l.copyOf(4, even)
		l.VFMADD231PS(g1, l.c(p.p), plus)
		l.VFNMADD231PS(g1, l.c(p.p), even)
		l.VMULPS(l.c(p.n), plus, plus)
		l.VMULPS(l.c(p.n), even, even)
		l.store(1+2*i, plus)
		l.store(2+2*i, even)
	}
	l.VMULPS(l.c(kernelZero), g0, g0)
	l.store(0, g0)
}

func kernelGradientTransform(l *line) {
	a, b := pointA, pointB
	sa, da, sb, db := l.sumsAndDifferences()
	l.VMULPS(l.c(kernelA), sa, sa)
	l.VMULPS(l.c(kernelA), da, da)
	l.VMULPS(l.c(kernelB), sb, sb)
	l.VMULPS(l.c(kernelB), db, db)
	g := l.load(0, 0)
	l.VMULPS(l.c(kernelZero), g, g)
	l.VADDPS(sa, g, g)
	l.VADDPS(sb, g, g)
	l.store(0, g)
	l.VMULPS(l.c(a), da, da)
	l.VFMADD231PS(db, l.c(b), da)
	l.store(1, da)
	g = l.load(0, 5)
	l.VFMADD231PS(sa, l.c(a*a), g)
	l.VFMADD231PS(sb, l.c(b*b), g)
	l.store(2, g)
}

func rowOutputTransform(l *line) {
	sa, da, sb, db := l.sumsAndDifferences()
	y := l.load(0, 0)
	l.VADDPS(sa, y, y)
	l.VADDPS(sb, y, y)
	l.finish(y)
	l.store(0, y)
	y = l.load(5, 5)
	l.VFMADD231PS(da, l.c(pointA), y)
	l.VFMADD231PS(db, l.c(pointB), y)
	l.finish(y)
	l.store(1, y)
}

func rowGradientTransform(l *line) {
	y0, y1 := l.load(0, 0), l.load(1, 1)
	l.store(0, y0)
	l.store(5, y1)
	for i, p := range []float64{pointA, pointB} {
		plus, minus := l.copyOf(2, y0), l.copyOf(3, y0)
		l.VFMADD231PS(y1, l.c(p), plus)
		l.VFNMADD231PS(y1, l.c(p), minus)
		l.store(1+2*i, plus)
		l.store(2+2*i, minus)
	}
}

func rowKernelTransform(l *line) {
	g0, g1 := l.load(0, 0), l.load(1, 1)
	for i, p := range []struct{ p, n float64 }{{pointA, kernelA}, {pointB, kernelB}} {
		even, odd := l.copyOf(2, g0), l.copyOf(3, g1)
		l.VFMADD231PS(l.in(2), l.c(p.p*p.p), even)
		l.VFMADD231PS(l.in(4), l.c(p.p*p.p*p.p*p.p), even)
		l.VFMADD231PS(l.in(3), l.c(p.p*p.p), odd)
		plus := l.copyOf(4, even)
		l.VFMADD231PS(odd, l.c(p.p), plus)
		l.VFNMADD231PS(odd, l.c(p.p), even)
		l.VMULPS(l.c(p.n), plus, plus)
		l.VMULPS(l.c(p.n), even, even)
		l.store(1+2*i, plus)
		l.store(2+2*i, even)
	}
	l.VMULPS(l.c(kernelZero), g0, g0)
	l.store(0, g0)
	l.store(5, l.load(5, 4))
}

func rowKernelGradientTransform(l *line) {
	a, b := pointA, pointB
	sa, da, sb, db := l.sumsAndDifferences()
	for _, m := range []struct {
		r reg.VecPhysical
		n float64
	}{{sa, kernelA}, {da, kernelA}, {sb, kernelB}, {db, kernelB}} {
		l.VMULPS(l.c(m.n), m.r, m.r)
	}
	g := l.load(0, 0)
	l.VMULPS(l.c(kernelZero), g, g)
	l.VADDPS(sa, g, g)
	l.VADDPS(sb, g, g)
	l.store(0, g)
	pair := func(i int, x, y reg.VecPhysical, p, q float64) {
		l.VMULPS(l.c(p), x, l.v(5))
		l.VFMADD231PS(y, l.c(q), l.v(5))
		l.store(i, l.v(5))
	}
	pair(1, da, db, a, b)
	pair(2, sa, sb, a*a, b*b)
	pair(3, da, db, a*a*a, b*b*b)
	// the fourth powers have no registers of their own
	g = l.load(0, 5)
	l.VMULPS(l.c(a*a), sa, sa)
	l.VMULPS(l.c(b*b), sb, sb)
	l.VFMADD231PS(sa, l.c(a*a), g)
	l.VFMADD231PS(sb, l.c(b*b), g)
	l.store(4, g)
}

func rowInputGradientTransform(l *line) {
	a, b := pointA, pointB
	sa, da, sb, db := l.sumsAndDifferences()
	m0, m5 := l.load(0, 0), l.load(5, 5)
	x := l.v(6)
	l.VMULPS(l.c(a*a*b*b), m0, x)
	l.add(0, x)
	l.VMULPS(l.c(a*a*b*b), m5, x)
	l.VFNMADD231PS(da, l.c(a*b*b), x)
	l.VFNMADD231PS(db, l.c(a*a*b), x)
	l.add(1, x)
	l.VMULPS(l.c(a), da, da)
	l.VFMADD231PS(db, l.c(b), da)
	l.VFNMADD231PS(m5, l.c(a*a+b*b), da)
	l.add(3, da)
	l.store(5, m5)
	l.VMULPS(l.c(a*a+b*b), m0, x)
	l.VFMADD231PS(sa, l.c(b*b), x)
	l.VFMADD231PS(sb, l.c(a*a), x)
	l.zero(4) // db is spent
	l.VSUBPS(x, db, x)
	l.add(2, x)
	l.VADDPS(sa, m0, m0)
	l.VADDPS(sb, m0, m0)
	l.store(4, m0)
}
