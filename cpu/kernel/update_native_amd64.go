package kernel

import "unsafe"

// gradUpdateArgs is what the assembly of GradOuter.Update reads; strides are in bytes. The generator knows the offsets.
type gradUpdateArgs struct {
	dw, x, dy        unsafe.Pointer
	cols, xcol, ycol int
	dwrow, ld, tiles int
	partial          int
	masks            unsafe.Pointer
	xtile, dwtile    int
	w, g, s1, s2     unsafe.Pointer // of the update
	at, end          int            // bytes of it: from, to
	step, raw        int            // how much further the end is with each tile, and from where
	_                [3]int         // the assembly's own
	floats           [8][Lanes]float32
}

// updateRows is how many rows of a gradient are computed at a time; all larger tiles divide it.
const updateRows = 8

// updateColumns covers the outputs of a gradient with columns of tiles of so many lanes a register.
func updateColumns(outs, lanes int, tiles []gradTile) []updateColumn {
	var all []updateColumn
	most := 0
	for _, t := range tiles {
		most = max(most, t.j)
	}
	for out := 0; out < outs; {
		need := min((outs-out+lanes-1)/lanes, most)
		for need&(need-1) != 0 { // tiles have 1, 2 or 4 registers
			if need == 3 && outs-out <= 4*lanes {
				need = 4 // a register to spare costs less than a tile
				break
			}
			need &= need - 1
		}
		c := updateColumn{out: out}
		for k, t := range tiles {
			if t.j == need && t.t == 1 {
				c.single = k
			} else if t.j == need {
				c.wide, c.rows = k, t.t
			}
		}
		for j := range need {
			for l := range lanes {
				if out+j*lanes+l >= outs {
					c.partial = true
					continue
				}
				c.lanes[j] |= 1 << l
				if lanes == 8 {
					c.laneMasks[j][l] = ^uint32(0)
				}
			}
		}
		all = append(all, c)
		out += need * lanes
	}
	return all
}

// setUpdates installs GradOuter.Update for so many lanes a register. Rules without tiles do not divide.
func setUpdates(i *implementation, lanes int, tiles map[Rule][]gradTile) {
	i.planUpdate = func(g *GradOuter) []updateColumn {
		if len(g.Taps) != 1 || g.Taps[0].X != 0 || g.Taps[0].W != 0 || g.WTap != g.Outs {
			return nil
		}
		return updateColumns(g.Outs, lanes, tiles[Adam])
	}
	i.gradUpdate = func(g *GradOuter, u *Update, w, dw, s1, s2, x, dy []float32) bool {
		set := tiles[u.Rule]
		if set != nil {
			gradUpdateNative(g, u, set[0].id, w, dw, s1, s2, x, dy, lanes)
		}
		return set != nil
	}
}

// gradUpdateNative computes the gradient in blocks of rows. With one column of tiles an update follows a tile behind; with more, the rows
// of a block are updated while the next block is computed.
func gradUpdateNative(g *GradOuter, u *Update, first int, w, dw, s1, s2, x, dy []float32, lanes int) {
	width := g.Outs * 4
	a := gradUpdateArgs{cols: g.Cols, xcol: g.XCol * 64, ycol: g.YCol * 64, dwrow: width, ld: Padded(g.Outs) * 4,
		w: base(w), g: base(dw), s1: base(s1), s2: base(s2)}
	for i, f := range [...]float32{u.Rate, u.Mu, u.Rho, u.C1, u.C2, u.Epsilon, u.Decay, u.Scale} {
		v := &a.floats[i]
		for l := range v {
			v[l] = f
		}
	}
	rows := int(g.Taps[0].N)
	call := func(c *updateColumn, row, n int) {
		t, id := c.rows, c.wide
		if n < updateRows {
			t, id = 1, c.single
		}
		a.dw = unsafe.Pointer(&dw[row*g.Outs+c.out])
		a.x = unsafe.Pointer(&x[row*Lanes])
		a.dy = unsafe.Pointer(&dy[c.out])
		a.tiles, a.xtile, a.dwtile = n/t, t*64, t*width
		a.partial = 0
		if c.partial {
			a.partial = 1
			if a.masks = unsafe.Pointer(&c.laneMasks); lanes == 16 {
				a.masks = unsafe.Pointer(&c.lanes)
			}
		}
		if len(g.cols) == 1 {
			a.step = t * width
		}
		gradUpdateCall(first+id, (*byte)(unsafe.Pointer(&a)))
	}
	whole := rows / updateRows * updateRows
	if len(g.cols) == 1 {
		if whole > 0 {
			call(&g.cols[0], 0, whole)
		}
		if whole < rows {
			call(&g.cols[0], whole, rows-whole)
		}
	} else {
		for r := 0; r < rows; r += updateRows {
			n := min(updateRows, rows-r)
			for i := range g.cols {
				call(&g.cols[i], r, n)
			}
			a.raw = (r + n) * width
			a.end = a.raw &^ 63
		}
	}
	done := a.at / 4
	if s2 != nil {
		s2 = s2[done:]
	}
	g.k.Update(u, w[done:], dw[done:], s1[done:], s2)
}
