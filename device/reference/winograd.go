package reference

import "math"

// A backend may compute a convolution by Winograd's algorithm F(4×4, 3×3) where device.Winograd says so (Lavin and Gray, 2015):
//
//	y = Aᵀ[Σ_c (G·g·Gᵀ) ⊙ (Bᵀ·d·B)]A    g' = Gᵀ[Σ (Bᵀ·d·B) ⊙ (A·dy·Aᵀ)]G
//
// In exact arithmetic that is the direct sum. Every rounded operation of it adds to, multiplies or scales numbers, and each input
// reaches a result along one path through each transform, so that the computed value is the exact expression with each of its
// terms times at most k factors (1+δ), |δ| ≤ u. The error is therefore at most γ_k times the same expression of absolute values
// (Higham, §3.1; for these algorithms Barabasz, Anderson, Soodhalter and Gregg, 2020, theorem 3):
//
//	|ŷ − y| ≤ γ_k·|Aᵀ|[Σ_c (|G|·|g|·|Gᵀ|) ⊙ (|Bᵀ|·|d|·|B|)]|A|
//
// An axis of Bᵀ, A or G rounds at most 4 times along a path, the rounding of a constant counted, one of Aᵀ at most 5 and one of Gᵀ
// at most 6; a sum of n products n+1 times. With two axes each k = n + 2·(4+4+5) + 1 for y, and for its input's gradient, and
// k = n + 2·(4+4+6) + 1 for g'; one more for the bias.
const (
	winogradRoundings       = 2*(4+4+5) + 2
	winogradKernelRoundings = 2*(4+4+6) + 2
)

type matrix [][]float64

// The absolute values of Bᵀ, G and Aᵀ.
var absB, absG, absAT = absolutes(3)

func absolutes(taps int) (bt, g, at matrix) {
	bt, g, at = winogradMatrices(taps)
	return bt.absolute(), g.absolute(), at.absolute()
}

// winogradMatrices are those for so many taps and the points 0, ±5/8, ±3/2 and ∞: row i of Bᵀ has the coefficients of Π(x−p) over the other finite
// points p, of all for ∞; G divides a point's powers by the product of its distances; Aᵀ has the powers.
func winogradMatrices(taps int) (bt, g, at matrix) {
	points := []float64{0, 5.0 / 8, -5.0 / 8, 3.0 / 2, -3.0 / 2}
	n := len(points)
	polynomial := func(skip int) (c []float64, distance float64) {
		c, distance = []float64{1}, 1
		for i, p := range points {
			if i == skip {
				continue
			}
			next := make([]float64, len(c)+1)
			for k, v := range c {
				next[k+1] += v
				next[k] -= p * v
			}
			c = next
			if skip < n {
				distance *= points[skip] - p
			}
		}
		return append(c, make([]float64, n+1-len(c))...), distance
	}
	outputs := n + 2 - taps
	at = make(matrix, outputs)
	for i := range at {
		at[i] = make([]float64, n+1)
		for j, p := range points {
			at[i][j] = math.Pow(p, float64(i))
		}
	}
	at[outputs-1][n] = 1
	for i := range n + 1 {
		c, distance := polynomial(i)
		row := make([]float64, taps)
		row[taps-1] = 1
		for k := range row {
			if i < n {
				row[k] = math.Pow(points[i], float64(k)) / distance
			}
		}
		bt, g = append(bt, c), append(g, row)
	}
	return bt, g, at
}

func (m matrix) absolute() matrix {
	for _, row := range m {
		for k := range row {
			row[k] = math.Abs(row[k])
		}
	}
	return m
}

func (m matrix) transposed() matrix {
	t := make(matrix, len(m[0]))
	for j := range t {
		for i := range m {
			t[j] = append(t[j], m[i][j])
		}
	}
	return t
}

// both is m·x·mᵀ of a square x of len(m[0]) rows, row by row.
func (m matrix) both(x []float64) []float64 {
	in, out := len(m[0]), len(m)
	y := make([]float64, out*out)
	half := make([]float64, out*in)
	for i, row := range m {
		for k, c := range row {
			for j := range in {
				half[i*in+j] += c * x[k*in+j]
			}
		}
	}
	for i := range out {
		for j, row := range m {
			for k, c := range row {
				y[i*out+j] += c * half[i*in+k]
			}
		}
	}
	return y
}

// field is maps of absolute values, [n, h, w, channels], zero outside.
type field struct {
	n, h, w, channels int
	at                func(i int) float64
}

func magnitudes(t *Tensor) field {
	return field{t.Shape[0], t.Shape[1], t.Shape[2], t.Shape[3], func(i int) float64 { return t.Elems[i].magnitude() }}
}

// square is size×size values of a channel from a row and a column on.
func (f field) square(s, row, col, channel, size int) []float64 {
	x := make([]float64, size*size)
	for i := range size {
		for j := range size {
			if r, c := row+i, col+j; r >= 0 && r < f.h && c >= 0 && c < f.w {
				x[i*size+j] = f.at(((s*f.h+r)*f.w+c)*f.channels + channel)
			}
		}
	}
	return x
}

const tile = 4 // outputs of a tile, by rows and columns

// winogradOutput is the bound's expression for each output of a convolution of x with a kernel [3, 3, c, f] given by its planes; the
// first patch reaches before rows and columns over the border.
func winogradOutput(x field, before [2]int, h, w, f int, kernel func(ky, kx, c, f int) float64) []float64 {
	const planes = (tile + 2) * (tile + 2)
	u := make([]float64, planes*x.channels*f)
	for c := range x.channels {
		for j := range f {
			g := make([]float64, 9)
			for t := range g {
				g[t] = kernel(t/3, t%3, c, j)
			}
			for p, v := range absG.both(g) {
				u[(p*x.channels+c)*f+j] = v
			}
		}
	}
	y := make([]float64, x.n*h*w*f)
	for s := range x.n {
		for row := 0; row < h; row += tile {
			for col := 0; col < w; col += tile {
				m := make([]float64, f*planes)
				for c := range x.channels {
					for p, v := range absB.both(x.square(s, row-before[0], col-before[1], c, tile+2)) {
						for j, w := range u[(p*x.channels+c)*f:][:f] {
							m[j*planes+p] += v * w
						}
					}
				}
				for j := range f {
					for i, v := range absAT.both(m[j*planes:][:planes]) {
						if r, c := row+i/tile, col+i%tile; r < h && c < w {
							y[((s*h+r)*w+c)*f+j] = v
						}
					}
				}
			}
		}
	}
	return y
}

// winogradKernel is the bound's expression for each element of the kernel's gradient [3, 3, c, f].
func winogradKernel(x, dy field, before [2]int) []float64 {
	const planes = (tile + 2) * (tile + 2)
	m := make([]float64, x.channels*dy.channels*planes)
	a, gt := absAT.transposed(), absG.transposed()
	for s := range x.n {
		for row := 0; row < dy.h; row += tile {
			for col := 0; col < dy.w; col += tile {
				var d [][]float64
				for j := range dy.channels {
					d = append(d, a.both(dy.square(s, row, col, j, tile)))
				}
				for c := range x.channels {
					v := absB.both(x.square(s, row-before[0], col-before[1], c, tile+2))
					for j := range d {
						sums := m[(c*dy.channels+j)*planes:][:planes]
						for p := range sums {
							sums[p] += v[p] * d[j][p]
						}
					}
				}
			}
		}
	}
	g := make([]float64, 9*x.channels*dy.channels)
	for i := range x.channels * dy.channels {
		for t, v := range gt.both(m[i*planes:][:planes]) {
			g[t*x.channels*dy.channels+i] = v
		}
	}
	return g
}

// winograd is the sum, once it is complete, where it may be computed with terms roundings of what the expression of absolute
// values w bounds. Numbers that underflow pass through constants of at most 2⁴ on each axis, in 36 products.
func (s *sum) winograd(w float64, terms int) Ball {
	if s.n == 0 {
		return Ball{}
	}
	direct := s.ball()
	return Ball{s.v, max(direct.R, known(s.outer-s.inner+gamma(terms)*(w+s.outer)+float64(36*s.n)*0x1p8*tiny))}
}
