package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tanhTop is where tanh x is 1 to within half an ulp.
const tanhTop = 9.02

// tanhPieces are tanh a of a ≥ 0 by polynomials in a − x₀ on eight intervals: x₀, then the coefficients from the constant on. They
// are minimax in units in the last place of tanh a, rounded one after the other with those that follow fitted again; x₀ lies near the middle
// where the constant is almost a float32. The intervals are where the float32 1 + a/0.64 has the same exponent and first bit of
// its fraction, so that three bits of it number them. The largest error is 1.43 ulp (TestExhaustive).
var tanhPieces = [8][8]float32{
	{0, 0, 1, -2.80369e-06, -0.3331974, -0.0021134634, 0.14762351, -0.044471506},                                    // [0, 0.32)
	{0.470955, 0.43897063, 0.8073048, -0.35438293, -0.11354717, 0.16793633, -0.016954709, -0.05448418},              // [0.32, 0.64)
	{0.947371, 0.73859054, 0.4544847, -0.33567888, 0.09638003, 0.040737443, -0.051031146, 0.016099822},              // [0.64, 1.28)
	{1.5818261, 0.9188866, 0.15564707, -0.14302354, 0.07956682, -0.025377516, -0.00026521017, 0.0048413747},         // [1.28, 1.92)
	{2.5731418, 0.9884254, 0.023015816, -0.022748452, 0.014802512, -0.0070642442, 0.0026103961, -0.00065505435},     // [1.92, 3.2)
	{3.8793452, 0.99914634, 0.0017067497, -0.0017056606, 0.0011319488, -0.0005610035, 0.00023900323, -8.456035e-05}, // [3.2, 4.48)
	{5.8370013, 0.999983, 3.4273613e-05, -3.4593e-05, 2.1604907e-05, -1.0139343e-05, 5.8628702e-06, -2.283422e-06},  // [4.48, 7.04)
	{7.97123, 0.99999976, 4.774188e-07, -4.7643516e-07, 3.127444e-07, -1.5968963e-07, 7.417001e-08, -2.2005487e-08}, // [7.04, 9.02)
}

// tanhTable is column i of tanhPieces by the bits that number the pieces.
func (g *gen) tanhTable(i int) operand.Mem {
	name := fmt.Sprintf("tanh_%d", i)
	if m, ok := g.words[name]; ok {
		return m
	}
	const pieces, first = len(tanhPieces), 0x3f800000 >> 22 // of 1 + 0/0.64
	m := g.StaticGlobal(name)
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for bits := range pieces {
		g.AppendDatum(operand.F32(tanhPieces[(bits+pieces-first%pieces)%pieces][i]))
	}
	g.words[name] = m
	return m
}

// tanhTables makes the tables ready: with AVX-512 they stay in registers from first on.
func (g *gen) tanhTables(first int) func(i int) operand.Op {
	if g.w.bytes == 32 {
		return func(i int) operand.Op { return g.tanhTable(i) }
	}
	for i := range tanhPieces[0] {
		g.VBROADCASTF32X8(g.tanhTable(i), g.v(first+i))
	}
	return func(i int) operand.Op { return g.v(first + i) }
}

// tanh turns x to tanh x; a and t1 to t3 are overwritten.
func (g *gen) tanh(table func(i int) operand.Op, x, a, t1, t2, t3 reg.Register) {
	g.VANDPS(g.word(1<<31-1), x, a)
	g.VMOVUPS(g.constant(tanhTop), t1)
	g.VMINPS(a, t1, a) // NaN stays
	g.VMOVUPS(g.constant(1), t1)
	g.VFMADD231PS(g.constant(1/0.64), a, t1)
	g.VPSRLD(operand.U8(22), t1, t1)
	g.VPERMPS(table(0), t1, t2)
	g.VSUBPS(t2, a, a)
	const last = len(tanhPieces[0]) - 1
	g.VPERMPS(table(last), t1, t2)
	for i := last - 1; i > 0; i-- {
		g.VPERMPS(table(i), t1, t3)
		g.VFMADD213PS(t3, a, t2)
	}
	if g.w.bytes == 64 {
		g.VPTERNLOGD(operand.U8(0xec), g.word(1<<31), t2, x) // x's sign, t2's value
		return
	}
	g.VANDPS(g.word(1<<31), x, x)
	g.VORPS(t2, x, x)
}
