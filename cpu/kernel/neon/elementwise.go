package main

import "fmt"

// Offsets in kernel.elemArgs: eight pointers, the number of vectors, positions and their stride, then floats.
const (
	elemN, elemPositions, elemStride, elemFloats = 64, 72, 80, 88
)

// quarter is what a body sees: a quarter of a vector, with registers of its own.
type quarter struct {
	h int // which
	*gen
}

func pointer(i int) string { return fmt.Sprintf("R%d", 1+i) }

// v is register i of a quarter, f is float i of the arguments in every lane.
func (q quarter) v(i int) int { return 5*q.h + i }
func (q quarter) f(i int) int { return 31 - i }

func (q quarter) get(operand, i int) { q.load(pointer(operand), 16*q.h, q.v(i)) }
func (q quarter) put(i, operand int) { q.store(pointer(operand), 16*q.h, q.v(i)) }

// elem writes a loop over n vectors of so many operands; body handles a quarter of a vector.
func (g *gen) elem(name, doc string, operands, floats int, body func(q quarter)) {
	const n, tmp = "R10", "R11"
	g.fn(name, doc)
	for i := range operands {
		g.arg(8*i, pointer(i))
	}
	if floats > 0 {
		g.op("ADD $%d, R0, %s", elemFloats, tmp)
	}
	for i := range floats {
		g.op("VLD1R.P 4(%s), [V%d.S4]", tmp, quarter{}.f(i))
	}
	g.arg(elemN, n)
	g.loop("loop", n, func() {
		for h := range 4 {
			body(quarter{h, g})
		}
		for i := range operands {
			g.op("ADD $64, %[1]s, %[1]s", pointer(i))
		}
	})
	g.op("RET")
}

// elementwise writes the loops over flat slices.
func elementwise(g *gen) {
	var names []string
	g.tables.WriteString("\n// The elementwise kernels.\nconst (\n")
	elem := func(name, doc string, operands, floats int, body func(q quarter)) {
		fmt.Fprintf(&g.tables, "%s = %d\n", name, len(names))
		names = append(names, name+"NEON")
		g.elem(name+"NEON", doc, operands, floats, body)
	}
	g.arithmetic(elem)
	g.updates(elem)
	g.tables.WriteString(")\n")
	g.dispatch("elemCall", names)
	g.sumPositions("sumPositions4", 4)
	g.sumPositions("sumPositions1", 1)
}

type elemFunc func(name, doc string, operands, floats int, body func(q quarter))

func (g *gen) arithmetic(elem elemFunc) {
	elem("elemAdd", "computes p0 = p1 + p2.", 3, 0, func(q quarter) {
		q.get(1, 0)
		q.get(2, 1)
		q.op3("fadd", q.v(0), q.v(0), q.v(1))
		q.put(0, 0)
	})
	elem("elemMul", "computes p0 = p1 · p2.", 3, 0, func(q quarter) {
		q.get(1, 0)
		q.get(2, 1)
		q.op3("fmul", q.v(0), q.v(0), q.v(1))
		q.put(0, 0)
	})
	elem("elemScale", "computes p0 = p1 · f0.", 2, 1, func(q quarter) {
		q.get(1, 0)
		q.op3("fmul", q.v(0), q.v(0), q.f(0))
		q.put(0, 0)
	})
	elem("elemReLU", "computes p0 = max(p1, 0); NaN stays NaN.", 2, 0, func(q quarter) {
		q.get(1, 0)
		q.op2("fcmlt", q.v(1), q.v(0))
		q.op3("bic", q.v(0), q.v(0), q.v(1))
		q.put(0, 0)
	})
	elem("elemReLUGrad", "computes p0 = p1 where p2 is above 0, else 0.", 3, 0, func(q quarter) {
		q.get(1, 0)
		q.get(2, 1)
		q.zero(q.v(2))
		q.op3("fcmgt", q.v(1), q.v(1), q.v(2))
		q.op("VAND V%d.B16, V%d.B16, V%d.B16", q.v(1), q.v(0), q.v(0))
		q.put(0, 0)
	})
}

// updates are the optimisers' rules: w at p0, g at p1, slots at p2 and p3; the floats are kernel.Update's. Each rounds as the amd64
// kernels do.
func (g *gen) updates(elem elemFunc) {
	const rate, mu, rho, c1, c2, epsilon, decay, scale = 0, 1, 2, 3, 4, 5, 6, 7
	const w, d, a, b, t = 0, 1, 2, 3, 4
	rule := func(name string, slots int, body func(q quarter)) {
		elem("elem"+name, "is a step of "+name+".", 2+slots, 8, func(q quarter) {
			q.get(0, w)
			q.get(1, d)
			q.move(q.v(t), q.v(w))
			q.fmls(q.v(w), q.v(t), q.f(decay))
			q.op3("fmul", q.v(d), q.v(d), q.f(scale))
			if slots > 0 {
				q.get(2, a)
			}
			if slots > 1 {
				q.get(3, b)
			}
			body(q)
			q.put(w, 0)
		})
	}
	rule("SGD", 0, func(q quarter) { q.fmls(q.v(w), q.v(d), q.f(rate)) })
	momentum := func(nesterov bool) func(q quarter) {
		return func(q quarter) {
			q.op3("fmul", q.v(d), q.v(d), q.f(rate))
			q.op2("fneg", q.v(d), q.v(d))
			step := func(to, from int) { // to = mu·from − d
				q.move(q.v(to), q.v(d))
				q.fmla(q.v(to), q.v(from), q.f(mu))
			}
			step(t, a)
			q.put(t, 2)
			last := t
			if nesterov {
				step(a, t)
				last = a
			}
			q.op3("fadd", q.v(w), q.v(w), q.v(last))
		}
	}
	rule("Momentum", 1, momentum(false))
	rule("Nesterov", 1, momentum(true))
	rule("Adam", 2, func(q quarter) {
		q.op3("fsub", q.v(t), q.v(d), q.v(a))
		q.fmla(q.v(a), q.v(t), q.f(c1))
		q.op2("fneg", q.v(t), q.v(b))
		q.fmla(q.v(t), q.v(d), q.v(d))
		q.fmla(q.v(b), q.v(t), q.f(c2))
		q.put(a, 2)
		q.put(b, 3)
		q.op2("fsqrt", q.v(b), q.v(b))
		q.op3("fadd", q.v(b), q.v(b), q.f(epsilon))
		q.op3("fmul", q.v(a), q.v(a), q.f(rate))
		q.op3("fdiv", q.v(a), q.v(a), q.v(b))
		q.op3("fsub", q.v(w), q.v(w), q.v(a))
	})
	// rms leaves rate·g/√(v+ε) in d.
	rms := func(q quarter) {
		q.op3("fmul", q.v(a), q.v(a), q.f(rho))
		q.op3("fmul", q.v(t), q.v(d), q.v(d))
		q.fmla(q.v(a), q.v(t), q.f(c2))
		q.put(a, 2)
		q.op3("fadd", q.v(a), q.v(a), q.f(epsilon))
		q.op2("fsqrt", q.v(a), q.v(a))
		q.op3("fmul", q.v(d), q.v(d), q.f(rate))
		q.op3("fdiv", q.v(d), q.v(d), q.v(a))
	}
	rule("RMSprop", 1, func(q quarter) {
		rms(q)
		q.op3("fsub", q.v(w), q.v(w), q.v(d))
	})
	rule("RMSpropMomentum", 2, func(q quarter) {
		rms(q)
		q.fmla(q.v(d), q.v(b), q.f(mu))
		q.put(d, 3)
		q.op3("fsub", q.v(w), q.v(w), q.v(d))
	})
}

// sumPositions adds positions to n vectors that stay in registers: p0 += Σ p1, a stride apart.
func (g *gen) sumPositions(name string, n int) {
	const acc, x, positions, stride = "R1", "R2", "R3", "R4"
	g.fn(name+"NEON", fmt.Sprintf("adds positions to %d vectors: p0 += Σ p1.", n))
	g.arg(0, acc)
	g.arg(8, x)
	g.arg(elemPositions, positions)
	g.arg(elemStride, stride)
	for i := range 2 * n {
		g.load2(acc, 32*i, 2*i, 2*i+1)
	}
	g.loop("position", positions, func() {
		for i := range 2 * n {
			r := 4*n + 2*i%8
			g.load2(x, 32*i, r, r+1)
			g.op3("fadd", 2*i, 2*i, r)
			g.op3("fadd", 2*i+1, 2*i+1, r+1)
		}
		g.op("ADD %s, %s, %s", stride, x, x)
	})
	for i := range 2 * n {
		g.store2(acc, 32*i, 2*i, 2*i+1)
	}
	g.op("RET")
}
