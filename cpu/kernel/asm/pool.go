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
		g.activatedPools(add)
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

// poolFour are the offsets of the taps of a window of four, which stay in registers, as do their indices.
var poolFour = []reg.Register{reg.RAX, reg.RCX, reg.R12, reg.R15}

const poolFourIndex = 11

// closed is kernel.Closed.
const closed = 255

// poolLoop writes the loops over rows, columns and channels around body, and around four for windows of four taps.
func (g *gen) poolLoop(name, doc string, prepare, body, four func()) {
	g.fn(name, doc)
	g.MOVQ(arg(poolY), poolYBase)
	g.MOVQ(arg(poolArg), poolArgBase)
	g.MOVQ(arg(poolMask), poolMaskBase)
	g.MOVQ(arg(poolTapsEnd), poolTapsEndReg)
	prepare()
	fourL := g.label("four")
	g.MOVQ(arg(poolTaps), poolTap)
	g.MOVQ(poolTapsEndReg, poolTemp)
	g.SUBQ(poolTap, poolTemp)
	g.CMPQ(poolTemp, operand.I8(64))
	g.JEQ(operand.LabelRef(fourL))
	g.poolLoops(body)
	g.Label(fourL)
	g.MOVQ(poolTap, poolTemp)
	for i, o := range poolFour {
		g.VPBROADCASTD(mem(poolTemp, 16*i+8), g.v(poolFourIndex+i))
		g.MOVQ(mem(poolTemp, 16*i), o)
	}
	g.poolLoops(four)
}

func (g *gen) poolLoops(body func()) {
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

// eachFour visits the four taps: body gets a tap's number and the address of a part of its vector.
func (g *gen) eachFour(body func(i int, address func(h int) operand.Mem)) {
	for i, o := range poolFour {
		body(i, func(h int) operand.Mem { return at(poolXP, o, 1, g.w.bytes*h) })
	}
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
	// challenge sets best and its index to x and index where x wins.
	challenge := func(x, index, best, which, t, u reg.Register) {
		if g.w.bytes == 64 {
			g.VCMPPS(operand.U8(greater), best, x, reg.K1)
			g.VCMPPS(operand.U8(unordered), x, x, reg.K2)
			g.KORW(reg.K1, reg.K2, reg.K1)
			g.VMOVAPS(x, reg.K1, best)
			g.VMOVAPS(index, reg.K1, which)
			return
		}
		g.VCMPPS(operand.U8(greater), best, x, t)
		g.VCMPPS(operand.U8(unordered), x, x, u)
		g.VORPS(u, t, t)
		g.VBLENDVPS(t, x, best, best)
		g.VBLENDVPS(t, index, which, which)
	}
	store := func() {
		for h := range g.parts() {
			g.VMOVUPS(best(h), at(poolYBase, poolYP, 1, g.w.bytes*h))
		}
		done := g.label("done")
		g.TESTQ(poolArgBase, poolArgBase)
		g.JZ(operand.LabelRef(done))
		open := g.label("open")
		g.TESTQ(poolMaskBase, poolMaskBase)
		g.JZ(operand.LabelRef(open))
		g.zero(5)
		for h := range g.parts() {
			if g.w.bytes == 64 {
				g.VCMPPS(operand.U8(notAbove), g.v(5), best(h), reg.K1)
				g.VPORD(g.word(closed), which(h), reg.K1, which(h))
			} else {
				g.VCMPPS(operand.U8(notAbove), g.v(5), best(h), g.v(6))
				g.VPAND(g.word(closed), g.v(6), g.v(6))
				g.VPOR(g.v(6), which(h), which(h))
			}
		}
		g.Label(open)
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
	}
	g.poolLoop(name, "computes max pooling and, where there is room for them, the indices of the maxima; those not above 0 are closed behind a ReLU.", func() {}, func() {
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
				g.VMOVUPS(mem(poolTapAddress, g.w.bytes*h), g.v(5+h))
				challenge(g.v(5+h), number, best(h), which(h), g.v(7+h), g.v(9+h))
			}
		})
		store()
	}, func() {
		// two pairs, then their winners
		for h := range g.parts() {
			second, secondIndex := g.v(4), g.v(5)
			g.eachFour(func(i int, address func(h int) operand.Mem) {
				b, w := best(h), which(h)
				if i >= 2 {
					b, w = second, secondIndex
				}
				if i%2 == 0 {
					g.VMOVUPS(address(h), b)
					g.VMOVAPS(g.v(poolFourIndex+i), w)
					return
				}
				g.VMOVUPS(address(h), g.v(6))
				challenge(g.v(6), g.v(poolFourIndex+i), b, w, g.v(7), g.v(8))
			})
			challenge(second, secondIndex, best(h), which(h), g.v(7), g.v(8))
		}
		store()
	})
}

// poolMaxGrad sends dy to the taps that won.
func (g *gen) poolMaxGrad(name string, add bool) {
	d := func(h int) reg.VecPhysical { return g.v(h) }
	which := func(h int) reg.VecPhysical { return g.v(2 + h) }
	load := func() {
		g.MOVQ(poolYP, poolQuarter)
		g.SHRQ(operand.U8(2), poolQuarter)
		for h := range g.parts() {
			g.VMOVUPS(at(poolYBase, poolYP, 1, g.w.bytes*h), d(h))
			g.VPMOVZXBD(at(poolArgBase, poolQuarter, 1, g.w.bytes/4*h), which(h))
		}
	}
	send := func(h int, index reg.Register, out operand.Mem) {
		if g.w.bytes == 64 {
			g.VPCMPEQD(index, which(h), reg.K1)
			g.VMOVAPS_Z(d(h), reg.K1, g.v(5))
		} else {
			g.VPCMPEQD(index, which(h), g.v(5))
			g.VANDPS(d(h), g.v(5), g.v(5))
		}
		if add {
			g.VADDPS(out, g.v(5), g.v(5))
		}
		g.VMOVUPS(g.v(5), out)
	}
	g.poolLoop(name, "sends the gradient of max pooling to the maxima.", func() {}, func() {
		load()
		g.eachTap(0, func() {
			g.VPBROADCASTD(mem(poolTap, 8), g.v(4))
			for h := range g.parts() {
				send(h, g.v(4), mem(poolTapAddress, g.w.bytes*h))
			}
		})
	}, func() {
		load()
		g.eachFour(func(i int, address func(h int) operand.Mem) {
			for h := range g.parts() {
				send(h, g.v(poolFourIndex+i), address(h))
			}
		})
	})
}

// loadCount broadcasts the number of taps, which lies at poolNC as a float.
func (g *gen) loadCount() { g.VBROADCASTSS(arg(poolNC), g.v(poolLastNumber)) }

// divideByTaps divides by the number of taps; a quarter is exact.
func (g *gen) divideByTaps(h int, four bool) {
	if four {
		g.VMULPS(g.constant(0.25), g.v(h), g.v(h))
	} else {
		g.VDIVPS(g.v(poolLastNumber), g.v(h), g.v(h))
	}
}

func (g *gen) poolAverage(name string) {
	store := func(four bool) {
		for h := range g.parts() {
			g.divideByTaps(h, four)
			g.VMOVUPS(g.v(h), at(poolYBase, poolYP, 1, g.w.bytes*h))
		}
	}
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
		store(false)
	}, func() {
		g.eachFour(func(i int, address func(h int) operand.Mem) {
			for h := range g.parts() {
				if i == 0 {
					g.VMOVUPS(address(h), g.v(h))
				} else {
					g.VADDPS(address(h), g.v(h), g.v(h))
				}
			}
		})
		store(true)
	})
}

func (g *gen) poolAverageGrad(name string, add bool) {
	load := func(four bool) {
		for h := range g.parts() {
			g.VMOVUPS(at(poolYBase, poolYP, 1, g.w.bytes*h), g.v(h))
			g.divideByTaps(h, four)
		}
	}
	send := func(h int, out operand.Mem) {
		if !add {
			g.VMOVUPS(g.v(h), out)
			return
		}
		g.VADDPS(out, g.v(h), g.v(2+h))
		g.VMOVUPS(g.v(2+h), out)
	}
	g.poolLoop(name, "spreads the gradient of average pooling.", g.loadCount, func() {
		load(false)
		g.eachTap(0, func() {
			for h := range g.parts() {
				send(h, mem(poolTapAddress, g.w.bytes*h))
			}
		})
	}, func() {
		load(true)
		g.eachFour(func(_ int, address func(h int) operand.Mem) {
			for h := range g.parts() {
				send(h, address(h))
			}
		})
	})
}
