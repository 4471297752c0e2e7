package main

import (
	"bytes"
	"fmt"
	"go/format"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
	"github.com/mmcloughlin/avo/reg"
)

// width is the width of the registers: 16 lanes are two of AVX2's or one of AVX-512's.
type width struct {
	name  string // as in the functions' names
	bytes int
	regs  []reg.VecPhysical
}

var (
	avx2   = width{"AVX2", 32, []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15}}
	avx512 = width{"AVX512", 64, []reg.VecPhysical{reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31}}
	widths = []width{avx2, avx512}
)

// gen writes one assembly file.
type gen struct {
	*build.Context
	w               width
	labels          int
	table           []string               // lines of the file's Go table
	words, patterns map[string]operand.Mem // the file's constants
}

// file is a generated assembly file with its stubs and, where table is not empty, a Go file.
type file struct {
	name  string
	write func(g *gen)
}

// generate makes all files by name.
func generate() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, f := range []file{{"gemm", gemms}, {"grad", grads}, {"windowgrad", windowGrads}, {"update", gradUpdates}, {"positions", positions}, {"outputs", outputs}, {"elementwise", elementwise}, {"pool", pools}, {"transpose", transposes}, {"peak", peaks}, {"winograd", winograds}, {"lrn", lrns}} {
		g := &gen{Context: build.NewContext(), words: map[string]operand.Mem{}, patterns: map[string]operand.Mem{}}
		g.ConstraintExpr("amd64")
		f.write(g)
		ir, err := g.Result()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if err := pass.Compile.Execute(ir); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		broadcastConstants(ir)
		cfg := printer.Config{Name: "gcnn/cpu/kernel/asm", Pkg: "kernel"}
		if out[f.name+"_amd64.s"], err = printer.NewGoAsm(cfg).Print(ir); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		stubs, err := printer.NewStubs(cfg).Print(ir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		var b bytes.Buffer
		b.Write(stubs)
		for _, l := range g.table {
			b.WriteString(l + "\n")
		}
		if out[f.name+"_amd64.go"], err = format.Source(b.Bytes()); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return out, nil
}

// fn begins a function of one pointer to its arguments, which is loaded to args.
func (g *gen) fn(name, doc string) {
	g.Function(name)
	g.Attributes(attr.NOSPLIT)
	g.Pragma("noescape")
	g.Doc(name + " " + doc)
	g.SignatureExpr("func(a *byte)")
	g.MOVQ(operand.NewParamAddr("a", 0), args)
}

// dispatch adds a Go function that calls one of the functions by its number: direct calls, so that arguments stay on the stack.
func (g *gen) dispatch(name string, names []string) {
	g.table = append(g.table, "", fmt.Sprintf("// %s calls function i.", name), fmt.Sprintf("func %s(i int, a *byte) {", name), "switch i {")
	for i, n := range names {
		g.table = append(g.table, fmt.Sprintf("case %d:", i), n+"(a)")
	}
	g.table = append(g.table, "}", "}")
}

// end returns.
func (g *gen) end() {
	g.VZEROUPPER()
	g.RET()
}

// label makes a fresh name.
func (g *gen) label(s string) string {
	g.labels++
	return fmt.Sprintf("%s%d", s, g.labels)
}

// args holds the pointer to the arguments in every function.
var args = reg.RDI

// arg is the argument at a byte offset.
func arg(offset int) operand.Mem { return operand.Mem{Base: args, Disp: offset} }

// mem is base + displacement, and at base + index·scale + displacement.
func mem(base reg.Register, disp int) operand.Mem { return operand.Mem{Base: base, Disp: disp} }

func at(base, index reg.Register, scale uint8, disp int) operand.Mem {
	if index == nil {
		return mem(base, disp)
	}
	return operand.Mem{Base: base, Index: index, Scale: scale, Disp: disp}
}

func (g *gen) v(i int) reg.VecPhysical { return g.w.regs[i] }

// zero clears registers.
func (g *gen) zero(regs ...int) {
	for _, r := range regs {
		if g.w.bytes == 32 {
			g.VXORPS(g.v(r), g.v(r), g.v(r))
		} else {
			g.VPXORD(g.v(r), g.v(r), g.v(r))
		}
	}
}
