package reference

import "gcnn/model"

// A backend may compute a convolution by Winograd's algorithm F(2, 5) along its rows where device.WinogradRows says so:
//
//	y = Aᵀ[Σ_c,ky (G·g_ky) ⊙ (Bᵀ·d_ky)]    g'_ky = Gᵀ[Σ (Bᵀ·d_ky) ⊙ (A·dy)]    dx = Σ_tiles B[Σ_f,ky (G·g_ky) ⊙ (A·dy_ky)]
//
// The error is bounded as that of F(4×4, 3×3) is (winograd.go), with one axis. Bᵀ rounds at most 4 times along a path, A twice, G 6 times,
// Gᵀ 6, Aᵀ 4, and B 4, after which three tiles add; a sum of n products n+1 times, and there is one more for the bias.
const (
	rowRoundings              = 4 + 6 + 4 + 2
	rowInputGradientRoundings = 2 + 6 + 4 + 3 + 1
	rowKernelRoundings        = 4 + 2 + 6 + 1
)

const (
	rowTaps  = 5
	rowTile  = 2
	rowPatch = rowTile + rowTaps - 1
)

var rowB, rowG, rowAT = absolutes(rowTaps)

// convRows is what the bounds of a convolution by rows are made of.
type convRows struct {
	*conv
	v, h   model.Window
	tiles  int
	cg, fg int
	u      []float64 // |G||g|: [ky][c][f][rowPatch]
}

func (c *conv) byRows() *convRows {
	r := &convRows{conv: c, cg: c.in[2] / c.spec.Groups, fg: c.spec.Filters / c.spec.Groups}
	r.v, r.h = c.spec.Windows(c.in)
	r.tiles = (r.h.Out + rowTile - 1) / rowTile
	n := r.cg * c.spec.Filters // of a row and column
	for ky := range r.v.Kernel {
		for i := range n {
			var g [rowTaps]float64
			for kx := range g {
				g[kx] = c.kernel.Elems[(ky*rowTaps+kx)*n+i].magnitude()
			}
			r.u = append(r.u, rowG.times(g[:])...)
		}
	}
	return r
}

// times is m·x.
func (m matrix) times(x []float64) []float64 {
	y := make([]float64, len(m))
	for i, row := range m {
		for k, c := range row {
			y[i] += c * x[k]
		}
	}
	return y
}

// patches are |Bᵀ||d|: [n][rows][tiles][channels][rowPatch].
func (r *convRows) patches() []float64 { return r.transform(rowB, magnitudes(r.x), -r.h.Before) }

// gradients are |A||dy|, likewise.
func (r *convRows) gradients(dy *Tensor) []float64 {
	return r.transform(rowAT.transposed(), magnitudes(dy), 0)
}

// transform multiplies each tile, whose first one begins at column first.
func (r *convRows) transform(m matrix, x field, first int) []float64 {
	var all []float64
	d := make([]float64, len(m[0]))
	for row := range x.n * x.h {
		for t := range r.tiles {
			for c := range x.channels {
				for j := range d {
					d[j] = 0
					if col := first + t*rowTile + j; col >= 0 && col < x.w {
						d[j] = x.at((row*x.w+col)*x.channels + c)
					}
				}
				all = append(all, m.times(d)...)
			}
		}
	}
	return all
}

// each visits every product by its places in the patches, in u and in the gradients' tiles.
func (r *convRows) each(visit func(x, k, y int)) {
	channels, filters := r.in[2], r.spec.Filters
	for s := range r.x.Shape[0] {
		for oy := range r.v.Out {
			for ky := range r.v.Kernel {
				iy := oy*r.v.Stride + ky*r.v.Dilation - r.v.Before
				if iy < 0 || iy >= r.v.In {
					continue
				}
				for t := range r.tiles {
					x, y := ((s*r.v.In+iy)*r.tiles+t)*channels, ((s*r.v.Out+oy)*r.tiles+t)*filters
					for f := range filters {
						for c := range r.cg {
							visit((x+f/r.fg*r.cg+c)*rowPatch, ((ky*r.cg+c)*filters+f)*rowPatch, (y+f)*rowPatch)
						}
					}
				}
			}
		}
	}
}

// output widens the balls y of sums.
func (r *convRows) output(y []Ball, sums []sum) {
	v := r.patches()
	m := make([]float64, r.x.Shape[0]*r.v.Out*r.tiles*r.spec.Filters*rowPatch)
	r.each(func(x, k, y int) {
		for p := range rowPatch {
			m[y+p] += v[x+p] * r.u[k+p]
		}
	})
	filters := r.spec.Filters
	for i := range len(m) / rowPatch {
		row, t, f := i/(r.tiles*filters), i/filters%r.tiles, i%filters
		for j, w := range rowAT.times(m[i*rowPatch:][:rowPatch]) {
			if col := t*rowTile + j; col < r.h.Out {
				at := (row*r.h.Out+col)*filters + f
				y[at] = sums[at].winograd(w, r.v.Kernel*r.cg+rowRoundings)
			}
		}
	}
}

// inputGradient widens the balls dx of sums.
func (r *convRows) inputGradient(dx []Ball, sums []sum, dy *Tensor) {
	a := r.gradients(dy)
	m := make([]float64, r.x.Shape[0]*r.v.In*r.tiles*r.in[2]*rowPatch)
	r.each(func(x, k, y int) {
		for p := range rowPatch {
			m[x+p] += a[y+p] * r.u[k+p]
		}
	})
	channels := r.in[2]
	w := make([]float64, len(dx))
	b := rowB.transposed()
	for i := range len(m) / rowPatch {
		row, t, c := i/(r.tiles*channels), i/channels%r.tiles, i%channels
		for j, v := range b.times(m[i*rowPatch:][:rowPatch]) {
			if col := t*rowTile + j - r.h.Before; col >= 0 && col < r.h.In {
				w[(row*r.h.In+col)*channels+c] += v
			}
		}
	}
	for i := range dx {
		dx[i] = sums[i].winograd(w[i], r.v.Kernel*r.fg+rowInputGradientRoundings)
	}
}

// kernelGradient widens the balls dk of sums.
func (r *convRows) kernelGradient(dk []Ball, sums []sum, dy *Tensor) {
	v, a := r.patches(), r.gradients(dy)
	m := make([]float64, len(r.u))
	r.each(func(x, k, y int) {
		for p := range rowPatch {
			m[k+p] += v[x+p] * a[y+p]
		}
	})
	n := r.cg * r.spec.Filters
	gt := rowG.transposed()
	for i := range len(m) / rowPatch {
		ky, at := i/n, i%n
		for kx, w := range gt.times(m[i*rowPatch:][:rowPatch]) {
			at := (ky*rowTaps+kx)*n + at
			dk[at] = sums[at].winograd(w, r.x.Shape[0]*r.v.Out*r.tiles+rowKernelRoundings)
		}
	}
}
