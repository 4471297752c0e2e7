package kernel

// Update computes rows rows of positions to dw, which replace what it has, and applies u to the parameters w with their slots s1 and s2,
// which lie as dw does with rows of Outs floats: WTap is Outs. It has the bits of Do and Kernels.Update in turn; where the update divides,
// both go on at once.
func (g *GradOuter) Update(u *Update, w, dw, s1, s2, x, dy []float32, rows int) {
	w, dw = w[:g.w], dw[:g.w]
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
	g.k.Update(u, w, dw, s1, s2)
}

// updateColumn is a column of tiles: so many registers of outputs, wide ones for updateRows rows and narrow ones for single rows.
type updateColumn struct {
	out       int
	rows      int // of a wide tile
	wide      int // the tile
	single    int
	partial   bool
	lanes     [4]uint16
	laneMasks [4][8]uint32
}
