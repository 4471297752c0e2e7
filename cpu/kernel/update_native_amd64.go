package kernel

import "unsafe"

// gradUpdateArgs is what the assembly of GradOuter.Update reads; strides are in bytes. The generator knows the offsets.
type gradUpdateArgs struct {
	dw, x, dy        unsafe.Pointer
	cols, xcol, ycol int
	dwrow, ld, tiles int
	xtile, dwtile    int
	w, g, s1, s2     unsafe.Pointer // of the update
	at               int            // bytes of it that are done
	raw, step        int            // bytes of the gradient that are there, and how many more with each tile
	_                [6]int         // the assembly's own
	floats           [8][Lanes]float32
}

// updateColumns covers the outputs of a gradient with columns of tiles of so many lanes a register.
func updateColumns(outs, lanes int, tiles []gradTile) []updateColumn {
	var all []updateColumn
	most := 0
	for _, t := range tiles {
		most = max(most, t.j)
	}
	for out := 0; out < outs; {
		c := updateColumn{out: out}
		need := min((outs-out+lanes-1)/lanes, most)
		for k, t := range tiles {
			if t.j == need {
				c.tiles = append(c.tiles, updateTile{t.t, k})
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
		if set == nil || u.Scale != 1 {
			return false
		}
		gradUpdateNative(g, u, set[0].id, w, dw, s1, s2, x, dy)
		return true
	}
}

// gradUpdateNative computes the gradient from the first row on. With one column of tiles an update follows a tile behind; with more, the
// rows of a block are updated while the next block is computed, whose columns are stored from the last on.
func gradUpdateNative(g *GradOuter, u *Update, first int, w, dw, s1, s2, x, dy []float32) {
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
	each := rows
	if len(g.cols) > 1 {
		each = UpdateRows
	}
	for r := 0; r < rows; r += each {
		n := min(each, rows-r)
		for i := len(g.cols) - 1; i >= 0; i-- {
			c := &g.cols[i]
			a.dy = unsafe.Pointer(&dy[c.out])
			row := r
			for _, t := range c.tiles {
				if a.tiles = (r + n - row) / t.rows; a.tiles == 0 {
					continue
				}
				a.dw = unsafe.Pointer(&dw[row*g.Outs+c.out])
				a.x = unsafe.Pointer(&x[row*Lanes])
				a.xtile, a.dwtile = t.rows*64, t.rows*width
				row += a.tiles * t.rows
				if len(g.cols) == 1 {
					a.step = t.rows * width
				}
				gradUpdateCall(first+t.id, (*byte)(unsafe.Pointer(&a)))
			}
		}
		a.raw = (r + n) * width
	}
	done := a.at / 4
	if s2 != nil {
		s2 = s2[done:]
	}
	g.k.Update(u, w[done:], dw[done:len(w)], s1[done:], s2)
}
