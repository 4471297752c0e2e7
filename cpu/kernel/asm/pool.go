package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in kernel.poolArgs.
const (
	poolX, poolY, poolArg, poolMask      = 0, 8, 16, 24
	poolTaps, poolTapsEnd                = 32, 40
	poolRows, poolCols, poolChannels     = 48, 56, 64
	poolXRow, poolXCol, poolYRow         = 72, 80, 88
	poolYCol, poolCount, poolRowX        = 96, 104, 112
	poolColX, poolRowY, poolColY, poolNC = 120, 128, 136, 144
)

// pools writes max and average pooling, forward and backward. A tap is its byte offset and its index, 16 bytes.
func pools(g *gen) {
	var names []string
	for n, w := range widths {
		g.w = w
		if n == 0 {
			g.table = append(g.table, "", "// The pooling kernels of AVX2; those of AVX-512 are poolKinds later.", "const (")
		}
		add := func(name string, f func(name string)) {
			if n == 0 {
				g.table = append(g.table, fmt.Sprintf("%s = %d", name, len(names)))
			}
			names = append(names, name+w.name)
			f(name + w.name)
		}
		add("poolMax", g.poolMax)
		add("poolMaxGrad", func(name string) { g.poolMaxGrad(name, false) })
		add("poolMaxGradAdd", func(name string) { g.poolMaxGrad(name, true) })
		add("poolAverage", g.poolAverage)
		add("poolAverageGrad", func(name string) { g.poolAverageGrad(name, false) })
		add("poolAverageGradAdd", func(name string) { g.poolAverageGrad(name, true) })
		if n == 0 {
			g.table = append(g.table, fmt.Sprintf("poolKinds = %d", len(names)), ")")
		}
	}
	g.dispatch("poolCall", names)
}

// registers of the pooling loops: x is the position's base, y counts bytes of y from its start.
var (
	poolXP, poolYP = reg.RSI, reg.RDX
	poolTap        = reg.RCX
	poolYBase      = reg.R8
	poolArgBase    = reg.R9
	poolMaskBase   = reg.R10
	poolChannel    = reg.R11
	poolTapAddress = reg.RAX
	poolTemp       = reg.RBX
	poolTapsEndReg = reg.R12
	poolQuarter    = reg.R13
	poolLastNumber = 15
)

// poolLoop writes the loops over rows, columns and channels around body.
func (g *gen) poolLoop(name, doc string, prepare, body func()) {
	g.fn(name, doc)
	g.MOVQ(arg(poolY), poolYBase)
	g.MOVQ(arg(poolArg), poolArgBase)
	g.MOVQ(arg(poolMask), poolMaskBase)
	g.MOVQ(arg(poolTapsEnd), poolTapsEndReg)
	prepare()
	rowL, colL, chL := g.label("row"), g.label("col"), g.label("channel")
	g.MOVQ(arg(poolX), poolTemp)
	g.MOVQ(poolTemp, arg(poolRowX))
	g.MOVQ(operand.U32(0), arg(poolRowY))
	g.Label(rowL)
	g.MOVQ(arg(poolRowX), poolXP)
	g.MOVQ(poolXP, arg(poolColX))
	g.MOVQ(arg(poolRowY), poolYP)
	g.MOVQ(poolYP, arg(poolColY))
	g.MOVQ(arg(poolCols), poolTemp)
	g.MOVQ(poolTemp, arg(poolCount))
	g.Label(colL)
	g.MOVQ(arg(poolColX), poolXP)
	g.MOVQ(arg(poolColY), poolYP)
	g.MOVQ(arg(poolChannels), poolChannel)
	g.Label(chL)
	body()
	g.ADDQ(operand.I32(64), poolXP)
	g.ADDQ(operand.I32(64), poolYP)
	g.DECQ(poolChannel)
	g.JNZ(operand.LabelRef(chL))
	next := func(at int, by int) {
		g.MOVQ(arg(by), poolTemp)
		g.ADDQ(poolTemp, arg(at))
	}
	next(poolColX, poolXCol)
	next(poolColY, poolYCol)
	g.DECQ(arg(poolCount))
	g.JNZ(operand.LabelRef(colL))
	next(poolRowX, poolXRow)
	next(poolRowY, poolYRow)
	g.DECQ(arg(poolRows))
	g.JNZ(operand.LabelRef(rowL))
	g.end()
}

// parts is the number of registers of a vector.
func (g *gen) parts() int { return 64 / g.w.bytes }

// eachTap writes a loop over the taps from first on; the address of a tap's vector is in poolTapAddress.
func (g *gen) eachTap(first int, body func()) {
	loop, done := g.label("tap"), g.label("taps")
	g.MOVQ(arg(poolTaps), poolTap)
	if first > 0 {
		g.ADDQ(operand.I32(16*int32(first)), poolTap)
		g.CMPQ(poolTap, poolTapsEndReg)
		g.JEQ(operand.LabelRef(done))
	}
	g.Label(loop)
	g.MOVQ(mem(poolTap, 0), poolTapAddress)
	g.ADDQ(poolXP, poolTapAddress)
	body()
	g.ADDQ(operand.I32(16), poolTap)
	g.CMPQ(poolTap, poolTapsEndReg)
	g.JNE(operand.LabelRef(loop))
	g.Label(done)
}

// poolMax keeps the largest value and its tap's index: a tap wins where it is greater or NaN.
func (g *gen) poolMax(name string) {
	best := func(h int) reg.VecPhysical { return g.v(h) }
	which := func(h int) reg.VecPhysical { return g.v(2 + h) }
	number := g.v(4)
	g.poolLoop(name, "computes max pooling and, where there is room for them, the indices of the maxima.", func() {}, func() {
		g.MOVQ(arg(poolTaps), poolTap)
		g.MOVQ(mem(poolTap, 0), poolTapAddress)
		g.VPBROADCASTD(mem(poolTap, 8), number)
		for h := range g.parts() {
			g.VMOVUPS(at(poolXP, poolTapAddress, 1, g.w.bytes*h), best(h))
			g.VMOVAPS(number, which(h))
		}
		g.eachTap(1, func() {
			g.VPBROADCASTD(mem(poolTap, 8), number)
			for h := range g.parts() {
				x, m := g.v(5+h), g.v(7+h)
				g.VMOVUPS(mem(poolTapAddress, g.w.bytes*h), x)
				if g.w.bytes == 64 {
					g.VCMPPS(operand.U8(greater), best(h), x, reg.K1)
					g.VCMPPS(operand.U8(unordered), x, x, reg.K2)
					g.KORW(reg.K1, reg.K2, reg.K1)
					g.VMOVAPS(x, reg.K1, best(h))
					g.VMOVAPS(number, reg.K1, which(h))
					continue
				}
				g.VCMPPS(operand.U8(greater), best(h), x, m)
				g.VCMPPS(operand.U8(unordered), x, x, g.v(9+h))
				g.VORPS(g.v(9+h), m, m)
				g.VBLENDVPS(m, x, best(h), best(h))
				g.VBLENDVPS(m, number, which(h), which(h))
			}
		})
		for h := range g.parts() {
			g.VMOVUPS(best(h), at(poolYBase, poolYP, 1, g.w.bytes*h))
		}
		done := g.label("done")
		g.TESTQ(poolArgBase, poolArgBase)
		g.JZ(operand.LabelRef(done))
		g.MOVQ(poolYP, poolQuarter)
		g.SHRQ(operand.U8(2), poolQuarter)
		if g.w.bytes == 64 {
			g.VPMOVDB(which(0), at(poolArgBase, poolQuarter, 1, 0))
		} else {
			g.VPACKUSDW(which(1), which(0), which(0))
			g.VPERMQ(operand.U8(0xd8), which(0), which(0))
			g.VEXTRACTI128(operand.U8(1), which(0), reg.X5)
			g.VPACKUSWB(reg.X5, reg.X2, reg.X2)
			g.VMOVDQU(reg.X2, at(poolArgBase, poolQuarter, 1, 0))
		}
		g.Label(done)
	})
}

// poolMaxGrad sends dy to the taps that won.
func (g *gen) poolMaxGrad(name string, add bool) {
	d := func(h int) reg.VecPhysical { return g.v(h) }
	which := func(h int) reg.VecPhysical { return g.v(2 + h) }
	zero := g.v(poolLastNumber)
	g.poolLoop(name, "sends the gradient of max pooling to the maxima.", func() { g.zero(poolLastNumber) }, func() {
		g.MOVQ(poolYP, poolQuarter)
		g.SHRQ(operand.U8(2), poolQuarter)
		for h := range g.parts() {
			g.VMOVUPS(at(poolYBase, poolYP, 1, g.w.bytes*h), d(h))
			g.VPMOVZXBD(at(poolArgBase, poolQuarter, 1, g.w.bytes/4*h), which(h))
		}
		free := g.label("free")
		g.TESTQ(poolMaskBase, poolMaskBase)
		g.JZ(operand.LabelRef(free))
		for h := range g.parts() {
			g.VMOVUPS(at(poolMaskBase, poolYP, 1, g.w.bytes*h), g.v(4))
			g.keep(d(h), g.v(5), greater, zero, g.v(4))
		}
		g.Label(free)
		g.eachTap(0, func() {
			g.VPBROADCASTD(mem(poolTap, 8), g.v(4))
			for h := range g.parts() {
				out := mem(poolTapAddress, g.w.bytes*h)
				if g.w.bytes == 64 {
					g.VPCMPEQD(g.v(4), which(h), reg.K1)
					g.VMOVAPS_Z(d(h), reg.K1, g.v(5))
				} else {
					g.VPCMPEQD(g.v(4), which(h), g.v(5))
					g.VANDPS(d(h), g.v(5), g.v(5))
				}
				if add {
					g.VADDPS(out, g.v(5), g.v(5))
				}
				g.VMOVUPS(g.v(5), out)
			}
		})
	})
}

// loadCount broadcasts the number of taps, which lies at poolNC as a float.
func (g *gen) loadCount() { g.VBROADCASTSS(arg(poolNC), g.v(poolLastNumber)) }

func (g *gen) poolAverage(name string) {
	g.poolLoop(name, "computes average pooling.", g.loadCount, func() {
		g.MOVQ(arg(poolTaps), poolTap)
		g.MOVQ(mem(poolTap, 0), poolTapAddress)
		for h := range g.parts() {
			g.VMOVUPS(at(poolXP, poolTapAddress, 1, g.w.bytes*h), g.v(h))
		}
		g.eachTap(1, func() {
			for h := range g.parts() {
				g.VADDPS(mem(poolTapAddress, g.w.bytes*h), g.v(h), g.v(h))
			}
		})
		for h := range g.parts() {
			g.VDIVPS(g.v(poolLastNumber), g.v(h), g.v(h))
			g.VMOVUPS(g.v(h), at(poolYBase, poolYP, 1, g.w.bytes*h))
		}
	})
}

func (g *gen) poolAverageGrad(name string, add bool) {
	g.poolLoop(name, "spreads the gradient of average pooling.", g.loadCount, func() {
		for h := range g.parts() {
			g.VMOVUPS(at(poolYBase, poolYP, 1, g.w.bytes*h), g.v(h))
			g.VDIVPS(g.v(poolLastNumber), g.v(h), g.v(h))
		}
		g.eachTap(0, func() {
			for h := range g.parts() {
				out := mem(poolTapAddress, g.w.bytes*h)
				if !add {
					g.VMOVUPS(g.v(h), out)
					continue
				}
				g.VADDPS(out, g.v(h), g.v(2+h))
				g.VMOVUPS(g.v(2+h), out)
			}
		})
	})
}
