package kernel

// UpdateRows is how many rows Update computes at a time where they take more than one column of tiles: the rows of all larger tiles divide
// it, and whole registers make up so many rows.
const UpdateRows = 48

// UpdateSlack is how many floats of dw behind the last row Update overwrites, at most.
const UpdateSlack = Lanes - 1

// Update computes rows rows of positions to dw, which replace what it has, and applies u to the parameters w with their slots s1 and s2,
// which lie as dw does with rows of Outs floats: WTap is Outs. Of finite parameters it has the bits of Do and Kernels.Update in turn;
// where the update divides, both go on at once. dw has UpdateSlack floats more, whose content is lost.
func (g *GradOuter) Update(u *Update, w, dw, s1, s2, x, dy []float32, rows int) {
	w, dw = w[:g.w], dw[:g.w+UpdateSlack]
	slots := u.Rule.Slots()
	if slots > 0 {
		s1 = s1[:g.w]
	}
	if slots > 1 {
		s2 = s2[:g.w]
	}
	if rows == 1 && g.cols != nil && g.k.impl.gradUpdate(g, u, w, dw, s1, s2, vectors(x, g.Grid.x(rows, g.x)), vectors(dy, g.y(rows, Padded(g.Outs)))) {
		return
	}
	g.Do(dw, x, dy, rows, false)
	g.k.Update(u, w, dw[:g.w], s1, s2)
}

// updateColumn is a column of tiles, the largest first.
type updateColumn struct {
	out   int
	tiles []updateTile
}

// updateTile is a tile of so many rows.
type updateTile struct{ rows, id int }
