package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in kernel.windowGradArgs.
const (
	wgradDW, wgradX, wgradBias         = 0, 24, 48 // of the first two, three each
	wgradDY, wgradArgmax               = 56, 64
	wgradRows, wgradCols               = 72, 80
	wgradXRow, wgradXCol               = 88, 96
	wgradYRow, wgradYCol               = 104, 112
	wgradArgRow, wgradArgCol           = 120, 128
	wgradRight, wgradDown, wgradDWRow  = 136, 144, 152
	wgradTable                         = 160
	wgradTiles, wgradBiasStep          = 168, 176
	wgradAtX, wgradAtY, wgradAtA       = 184, 192, 200
	wgradHalf, wgradCurRows            = 208, 216
	wgradTileX, wgradTileY, wgradTileA = 224, 232, 240 // of a tile, from the first
	wgradTileBias, wgradCurTiles       = 248, 256
)

const (
	wgradMaxRuns = 3
	wgradMaxTaps = 10
)

// windowGrads writes the tiles of the weight gradient behind max pooling: so many runs of taps, taps of a run, and outputs.
func windowGrads(g *gen) {
	var names []string
	for _, w := range widths {
		g.w = w
		table := fmt.Sprintf("windowGrad%sTiles", w.name)
		g.table = append(g.table, "", fmt.Sprintf("// %s are the tiles, by runs, taps of a run, outputs and, where it is not 0, Right.", table), fmt.Sprintf("var %s = []windowGradTile{", table))
		outs, steps := 1, []int{0, 1, 3} // with one output, a vector of x has to serve two taps where it can
		if w.bytes == 64 {
			outs, steps = 2, steps[:1]
		}
		for r := 1; r <= wgradMaxRuns; r++ {
			for n := 1; r*n <= wgradMaxTaps; n++ {
				for j := 1; j <= outs; j++ {
					for _, step := range steps {
						if step < n {
							name := fmt.Sprintf("windowGrad%sR%dN%dJ%dS%d", w.name, r, n, j, step)
							g.table = append(g.table, fmt.Sprintf("{%d, %d, %d, %d, %d},", r, n, j, step, len(names)))
							names = append(names, name)
							g.windowGrad(name, r, n, j, step)
						}
					}
				}
			}
		}
		g.table = append(g.table, "}")
	}
	g.dispatch("windowGradCall", names)
}

// windowGrad writes a tile whose sums, one vector for each tap and output and one for each bias, stay in registers: for rows of windows,
// for the two rows of sums, for windows, for the two sums, for taps. A sum's gradient is made of the window's as it is needed: it is
// zero but where the sum won. Where step is not 0, the second sum's taps are the first's so many vectors further. AVX2 does half of the
// lanes. Tiles follow each other: the next has the other half of the lanes or the next outputs.
func (g *gen) windowGrad(name string, R, N, J, step int) {
	T := R * N
	acc := func(t, j int) reg.VecPhysical { return g.v(t*J + j) }
	bias := func(j int) reg.VecPhysical { return g.v(T*J + j) }
	next := (T + 1) * J
	doc := fmt.Sprintf("adds the gradient of %d runs of %d taps and of the bias, for %d outputs", R, N, J)
	if step > 0 {
		doc += fmt.Sprintf(" and sums %d vectors apart", step)
	}
	repeat := g.pattern("repeat", func(i int) byte { return byte(i / 4) }) // each index four times, for its float
	g.fn(name, doc+".")
	left := []reg.GPPhysical{reg.RAX, reg.RBX, reg.RCX}[:R] // of x, one for each run: at the first sum, and at the one beside it
	right := []reg.GPPhysical{reg.RDX, reg.RSI, reg.R8}[:R]
	dy, index, argcol, cols, xcol, ycol, tmp := reg.R9, reg.R10, reg.R11, reg.R12, reg.R13, reg.R14, reg.R15
	each := func(f func(r reg.VecPhysical, m operand.Mem)) {
		for r := range R {
			g.MOVQ(arg(wgradDW+8*r), tmp)
			g.ADDQ(arg(wgradTileY), tmp)
			for n := range N {
				for j := range J {
					f(acc(r*N+n, j), mem(tmp, 64*j))
				}
				if n+1 < N {
					g.ADDQ(arg(wgradDWRow), tmp)
				}
			}
		}
		g.MOVQ(arg(wgradBias), tmp)
		g.ADDQ(arg(wgradTileBias), tmp)
		for j := range J {
			f(bias(j), mem(tmp, 64*j))
		}
	}
	tileL, rowL, halfL, colL := g.label("tile"), g.label("row"), g.label("half"), g.label("col")
	for _, at := range []int{wgradTileX, wgradTileY, wgradTileA, wgradTileBias, wgradHalf} {
		g.MOVQ(operand.U32(0), arg(at))
	}
	g.MOVQ(arg(wgradXCol), xcol)
	g.MOVQ(arg(wgradYCol), ycol)
	g.MOVQ(arg(wgradArgCol), argcol)
	set := func(from, to int) {
		g.MOVQ(arg(from), tmp)
		g.MOVQ(tmp, arg(to))
	}
	set(wgradTiles, wgradCurTiles)

	g.Label(tileL)
	each(func(r reg.VecPhysical, m operand.Mem) { g.VMOVUPS(m, r) })
	set(wgradTileX, wgradAtX)
	set(wgradTileY, wgradAtY)
	set(wgradTileA, wgradAtA)
	set(wgradRows, wgradCurRows)

	g.Label(rowL)
	g.Label(halfL)
	g.MOVQ(arg(wgradAtX), tmp)
	for r := range R {
		g.MOVQ(arg(wgradX+8*r), left[r])
		g.ADDQ(tmp, left[r])
		if step == 0 {
			g.MOVQ(arg(wgradRight), right[r])
			g.ADDQ(left[r], right[r])
		}
	}
	for _, p := range []struct {
		r        reg.GPPhysical
		base, at int
	}{{dy, wgradDY, wgradAtY}, {index, wgradArgmax, wgradAtA}} {
		g.MOVQ(arg(p.base), p.r)
		g.ADDQ(arg(p.at), p.r)
	}
	g.MOVQ(arg(wgradTable), tmp)
	g.ADDQ(arg(wgradHalf), tmp)
	table := [2]reg.VecPhysical{}
	var grads [2][]reg.VecPhysical
	var x []reg.VecPhysical
	if g.w.bytes == 64 {
		last := len(g.w.regs) - 1
		for u := range table {
			table[u] = g.v(last - u)
			g.VPBROADCASTB(mem(tmp, 32*u), table[u].AsX())
			for j := range J {
				grads[u] = append(grads[u], g.v(next+u*J+j))
			}
		}
		x = g.w.regs[next+2*J : last-1]
	} else {
		for u := range table {
			table[u] = g.v(next + u)
			g.VMOVUPS(mem(tmp, 32*u), table[u])
			grads[u] = []reg.VecPhysical{g.v(next + 2 + u)}
		}
		x = g.w.regs[next+4:]
	}
	g.MOVQ(arg(wgradCols), cols)
	g.Label(colL)
	for j := range J {
		a, b := grads[0][j], grads[1][j]
		if g.w.bytes == 64 {
			g.VPCMPEQB(mem(index, 16*j), table[0].AsX(), reg.K2)
			g.VPCMPEQB(mem(index, 16*j), table[1].AsX(), reg.K3)
			g.VMOVUPS_Z(mem(dy, 64*j), reg.K2, a)
			g.VMOVUPS_Z(mem(dy, 64*j), reg.K3, b)
		} else { // the table maps an index to a mask: nothing but the products keeps the multipliers' ports busy
			g.VPBROADCASTQ(mem(index, 0), b)
			g.VPSHUFB(repeat, b, b)
			g.VPSHUFB(b, table[0], a)
			g.VPSHUFB(b, table[1], b)
			g.VANDPS(mem(dy, 0), a, a)
			g.VANDPS(mem(dy, 0), b, b)
		}
		g.VADDPS(a, bias(j), bias(j))
		g.VADDPS(b, bias(j), bias(j))
	}
	if step == 0 {
		for u, p := range [][]reg.GPPhysical{left, right} {
			for t := range T {
				from := mem(p[t/N], 64*(t%N))
				if J == 1 {
					g.VFMADD231PS(from, grads[u][0], acc(t, 0))
					continue
				}
				v := x[(u*T+t)%len(x)]
				g.VMOVUPS(from, v)
				for j := range J {
					g.VFMADD231PS(v, grads[u][j], acc(t, j))
				}
			}
		}
	} else {
		for r := range R {
			for n := range N + step {
				v := x[n%len(x)]
				g.VMOVUPS(mem(left[r], 64*n), v)
				if n >= step {
					g.VFMADD231PS(v, grads[1][0], acc(r*N+n-step, 0))
				}
				if n < N {
					g.VFMADD231PS(v, grads[0][0], acc(r*N+n, 0))
				}
			}
		}
	}
	for r := range R {
		g.ADDQ(xcol, left[r])
		if step == 0 {
			g.ADDQ(xcol, right[r])
		}
	}
	g.ADDQ(ycol, dy)
	g.ADDQ(argcol, index)
	g.DECQ(cols)
	g.JNZ(operand.LabelRef(colL))

	g.MOVQ(arg(wgradDown), tmp)
	g.ADDQ(tmp, arg(wgradAtX))
	g.XORQ(operand.I8(64), arg(wgradHalf)) // of the table
	g.JNZ(operand.LabelRef(halfL))
	g.ADDQ(tmp, tmp)
	g.SUBQ(tmp, arg(wgradAtX))
	for _, step := range [][2]int{{wgradXRow, wgradAtX}, {wgradYRow, wgradAtY}, {wgradArgRow, wgradAtA}} {
		g.MOVQ(arg(step[0]), tmp)
		g.ADDQ(tmp, arg(step[1]))
	}
	g.DECQ(arg(wgradCurRows))
	g.JNZ(operand.LabelRef(rowL))
	each(func(r reg.VecPhysical, m operand.Mem) { g.VMOVUPS(r, m) })

	if g.w.bytes == 64 {
		g.ADDQ(operand.I32(64*J), arg(wgradTileY))
		g.ADDQ(operand.I32(16*J), arg(wgradTileA))
	} else {
		g.ADDQ(operand.I8(32), arg(wgradTileY))
		g.ADDQ(operand.I8(8), arg(wgradTileA))
		g.XORQ(operand.I8(32), arg(wgradTileX))
	}
	g.MOVQ(arg(wgradBiasStep), tmp)
	g.ADDQ(tmp, arg(wgradTileBias))
	g.DECQ(arg(wgradCurTiles))
	g.JNZ(operand.LabelRef(tileL))
	g.end()
}
