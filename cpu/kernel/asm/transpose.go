package main

import (
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transposes writes data movements of 8×8 floats and 16×8 bytes. They change no bits and use AVX2 on every path.
func transposes(g *gen) {
	g.w = avx2
	g.toSamples()
	g.transposeRows()
	g.gatherPlain()
	g.gatherTables()
}

// toSamples transposes 8 vectors to 16 rows of 8 floats. Arguments: dst, src, bytes from one row to the next, number of groups of 8 vectors, a mask of
// 8 words that says which floats of the rows to write, and whether to write all.
func (g *gen) toSamples() {
	g.fn("toSamples8", "turns vectors to rows, 8 at a time.")
	dst, src, ld, n, mask, all, row := reg.RSI, reg.RDX, reg.RBX, reg.RCX, reg.R8, reg.R9, reg.R10
	g.MOVQ(arg(0), dst)
	g.MOVQ(arg(8), src)
	g.MOVQ(arg(16), ld)
	g.MOVQ(arg(24), n)
	g.MOVQ(arg(32), mask)
	g.MOVQ(arg(40), all)
	l := g.label("loop")
	g.Label(l)
	for h := range 2 {
		g.transpose8(func(i int) operand.Mem { return mem(src, 64*i+32*h) })
		part, done := g.label("part"), g.label("done")
		g.MOVQ(dst, row)
		if h == 1 {
			g.LEAQ(at(dst, ld, 8, 0), row)
		}
		g.TESTQ(all, all)
		g.JZ(operand.LabelRef(part))
		for i := range 8 {
			g.VMOVUPS(g.v(i), mem(row, 0))
			g.ADDQ(ld, row)
		}
		g.JMP(operand.LabelRef(done))
		g.Label(part)
		g.VMOVUPS(mem(mask, 0), g.v(8))
		for i := range 8 {
			g.VMASKMOVPS(g.v(i), g.v(8), mem(row, 0))
			g.ADDQ(ld, row)
		}
		g.Label(done)
	}
	g.ADDQ(operand.I32(32), dst)
	g.ADDQ(operand.I32(512), src)
	g.DECQ(n)
	g.JNZ(operand.LabelRef(l))
	g.end()
}

// transposeRows transposes tiles of 8×8 floats that lie side by side. Arguments: dst, src, bytes from one row of each to the next, number of tiles.
func (g *gen) transposeRows() {
	g.fn("transpose8x8", "transposes 8 rows, 8 columns at a time.")
	dst, src, to, from, n, row := reg.RSI, reg.RDX, reg.RBX, reg.RCX, reg.R8, reg.R9
	from3, src4 := reg.R10, reg.R11
	g.MOVQ(arg(0), dst)
	g.MOVQ(arg(8), src)
	g.MOVQ(arg(16), to)
	g.MOVQ(arg(24), from)
	g.MOVQ(arg(32), n)
	g.LEAQ(at(from, from, 2, 0), from3)
	l := g.label("loop")
	g.Label(l)
	g.LEAQ(at(src, from, 4, 0), src4)
	g.transpose8(func(i int) operand.Mem {
		b := []reg.Register{src, src4}[i/4]
		switch i % 4 {
		case 0:
			return mem(b, 0)
		case 3:
			return at(b, from3, 1, 0)
		default:
			return at(b, from, uint8(i%4), 0)
		}
	})
	g.MOVQ(dst, row)
	for i := range 8 {
		g.VMOVUPS(g.v(i), mem(row, 0))
		g.ADDQ(to, row)
	}
	g.MOVQ(row, dst)
	g.ADDQ(operand.I32(32), src)
	g.DECQ(n)
	g.JNZ(operand.LabelRef(l))
	g.end()
}

// transpose8 loads 8 registers of 8 floats and transposes them in registers 0 to 7; 8 to 15 are overwritten.
func (g *gen) transpose8(row func(i int) operand.Mem) {
	v := g.v
	// halves of rows i and i+4 side by side, then pairs within the 128-bit lanes
	for i := range 4 {
		lo, hi := []reg.Register{reg.X0, reg.X1, reg.X2, reg.X3}[i], []reg.Register{reg.X4, reg.X5, reg.X6, reg.X7}[i]
		a, b := row(i), row(i+4)
		g.VMOVUPS(a, lo)
		g.VINSERTF128(operand.U8(1), b, v(i), v(i))
		a.Disp += 16
		b.Disp += 16
		g.VMOVUPS(a, hi)
		g.VINSERTF128(operand.U8(1), b, v(4+i), v(4+i))
	}
	for q := 0; q < 8; q += 4 {
		g.VUNPCKLPS(v(q+1), v(q), v(8+q))
		g.VUNPCKHPS(v(q+1), v(q), v(9+q))
		g.VUNPCKLPS(v(q+3), v(q+2), v(10+q))
		g.VUNPCKHPS(v(q+3), v(q+2), v(11+q))
	}
	for q := 0; q < 8; q += 4 {
		g.VUNPCKLPD(v(10+q), v(8+q), v(q))
		g.VUNPCKHPD(v(10+q), v(8+q), v(q+1))
		g.VUNPCKLPD(v(11+q), v(9+q), v(q+2))
		g.VUNPCKHPD(v(11+q), v(9+q), v(q+3))
	}
}

// Offsets in kernel.gatherArgs: 16 pointers to images, then these.
const gatherDst, gatherN, gatherTables, gatherTablesEnd, gatherTable = 128, 136, 144, 152, 160

// gatherBytes loads 8 bytes of 16 images and gives body each pixel's 16 bytes.
func (g *gen) gatherBytes(body func(pixel int, bytes reg.Register)) {
	dst, n, image := reg.RSI, reg.RCX, reg.RBX
	x := []reg.Register{reg.X0, reg.X1, reg.X2, reg.X3, reg.X4, reg.X5, reg.X6, reg.X7, reg.X8}
	g.MOVQ(arg(gatherDst), dst)
	g.MOVQ(arg(gatherN), n)
	g.XORQ(index, index)
	l := g.label("loop")
	g.Label(l)
	// rows i and i+8 interleave: 16 bytes hold (pixel, image i) and (pixel, image i+8); three more rounds bring the images in order
	for i := range 8 {
		g.MOVQ(arg(8*i), image)
		g.VMOVQ(at(image, index, 1, 0), x[i])
		g.MOVQ(arg(8*(i+8)), image)
		g.VMOVQ(at(image, index, 1, 0), x[8])
		g.VPUNPCKLBW(x[8], x[i], x[i])
	}
	cur, spare := append([]reg.Register(nil), x[:8]...), x[8]
	for range 3 {
		next := make([]reg.Register, 8)
		for i := range 4 {
			a, b := cur[i], cur[i+4]
			g.VPUNPCKLBW(b, a, spare)
			g.VPUNPCKHBW(b, a, b)
			next[2*i], next[2*i+1], spare = spare, b, a
		}
		cur = next
	}
	for p, r := range cur {
		body(p, r)
	}
	g.ADDQ(operand.I32(8), index)
	g.ADDQ(operand.I32(512), dst)
	g.DECQ(n)
	g.JNZ(operand.LabelRef(l))
	g.end()
}

// gatherPlain divides by 255: the product with the rounded reciprocal, corrected by its remainder, is the rounded quotient for all 256 bytes.
func (g *gen) gatherPlain() {
	g.fn("gatherPlain", "makes vectors v/255 of the bytes of 16 images, 8 pixels at a time.")
	for i, c := range []float32{1. / 255, 255} {
		g.VMOVUPS(g.constant(c), g.v(14+i))
	}
	lo, hi := g.v(9), g.v(10)
	g.gatherBytes(func(p int, b reg.Register) {
		g.VPMOVZXBD(b, lo)
		g.VPSRLDQ(operand.U8(8), b, b)
		g.VPMOVZXBD(b, hi)
		for h, r := range []reg.VecPhysical{lo, hi} {
			q := g.v(11 + h)
			g.VCVTDQ2PS(r, r)
			g.VMULPS(g.v(14), r, q)
			g.VFNMADD231PS(g.v(15), q, r)
			g.VFMADD231PS(g.v(14), r, q)
			g.VMOVUPS(q, mem(reg.RSI, 64*p+32*h))
		}
	})
}

// gatherTables looks bytes up, channel after channel.
func (g *gen) gatherTables() {
	g.fn("gatherTables", "makes vectors of table values of the bytes of 16 images, 8 pixels at a time.")
	table := reg.RDX
	g.MOVQ(arg(gatherTable), table)
	lo, hi := g.v(9), g.v(10)
	g.gatherBytes(func(p int, b reg.Register) {
		g.VPMOVZXBD(b, lo)
		g.VPSRLDQ(operand.U8(8), b, b)
		g.VPMOVZXBD(b, hi)
		for h, r := range []reg.VecPhysical{lo, hi} {
			m, out := g.v(11), g.v(12+h)
			g.VPCMPEQD(m, m, m)
			g.VGATHERDPS(m, operand.Mem{Base: table, Index: r, Scale: 4}, out)
			g.VMOVUPS(out, mem(reg.RSI, 64*p+32*h))
		}
		same := g.label("same")
		g.ADDQ(operand.I32(1024), table)
		g.CMPQ(table, arg(gatherTablesEnd))
		g.JNE(operand.LabelRef(same))
		g.MOVQ(arg(gatherTables), table)
		g.Label(same)
	})
}
