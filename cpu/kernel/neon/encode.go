package main

import "fmt"

// three holds instructions of three registers that Go's assembler lacks, Vd = Vn op Vm, with the registers 0: bits 0-4 are Vd, 5-9 Vn,
// 16-20 Vm. Floats are four of 32 bits; logic takes all 128 bits. From the Arm Architecture Reference Manual, C7.2.
var three = map[string]uint32{
	"fadd":  0x4e20d400,
	"fsub":  0x4ea0d400,
	"fmul":  0x6e20dc00,
	"fdiv":  0x6e20fc00,
	"fcmgt": 0x6ea0e400, // Vd = Vn > Vm ? all ones : 0; false where one is NaN
	"fcmeq": 0x4e20e400,
	"bic":   0x4e601c00, // Vd = Vn and not Vm
	"orn":   0x4ee01c00, // Vd = Vn or not Vm
	"bit":   0x6ea01c00, // Vd takes Vn's bits where Vm has ones
}

// two holds instructions of two registers, Vd = op Vn.
var two = map[string]uint32{
	"fsqrt": 0x6ea1f800,
	"fneg":  0x6ea0f800,
	"fcmlt": 0x4ea0e800, // Vd = Vn < 0 ? all ones : 0; false for NaN and −0
}

// fmlaElement is Vd = Vd + Vn·Vm[i], fused: bits 0-4 are Vd, 5-9 Vn, 16-20 Vm, 21 the low and 11 the high bit of i.
const fmlaElement = 0x4f801000

// logic says whether an instruction of three registers works on bytes.
func logic(op string) bool { return op == "bic" || op == "orn" || op == "bit" }

// encode3 encodes an instruction of three registers and names it as Arm does.
func encode3(op string, d, n, m int) (word uint32, text string) {
	shape := "4s"
	if logic(op) {
		shape = "16b"
	}
	return three[op] | reg(d) | reg(n)<<5 | reg(m)<<16, fmt.Sprintf("%s v%d.%[3]s, v%[4]d.%[3]s, v%[5]d.%[3]s", op, d, shape, n, m)
}

// encode2 is encode3 for two registers.
func encode2(op string, d, n int) (word uint32, text string) {
	zero := ""
	if op == "fcmlt" {
		zero = ", #0.0"
	}
	return two[op] | reg(d) | reg(n)<<5, fmt.Sprintf("%s v%d.4s, v%d.4s%s", op, d, n, zero)
}

// encodeFMLA encodes Vd = Vd + Vn·Vm[i].
func encodeFMLA(d, n, m, i int) (word uint32, text string) {
	if i < 0 || i > 3 {
		panic(fmt.Sprintf("element %d of four", i))
	}
	e := uint32(i)
	return fmlaElement | reg(d) | reg(n)<<5 | reg(m)<<16 | e&1<<21 | e>>1<<11, fmt.Sprintf("fmla v%d.4s, v%d.4s, v%d.s[%d]", d, n, m, i)
}

// reg checks a vector register's number: the generator allots registers, and one too many would change the instruction.
func reg(n int) uint32 {
	if n < 0 || n > 31 {
		panic(fmt.Sprintf("there is no register v%d", n))
	}
	return uint32(n)
}
