package kernel

import "fmt"

// Init says what a sum starts from.
type Init uint8

// The starts of a sum.
const (
	Zero       Init = iota
	Bias            // bias[j]
	Accumulate      // y itself
)

// GemmSpec describes a tap product: for each position q of the grid and output j, in each of the 16 lanes,
//
//	y[q + j·YOut] = init + Σ_t w[t·WTap + j·WOut] · x[q + off(t)]
//
// with the taps t of the runs in order. It is the forward and the input gradient of convolution and dense.
type GemmSpec struct {
	Grid
	Taps       []Run
	Outs       int // outputs j, at least 1
	YOut       int // vectors from one output to the next; 0 means 1
	WTap, WOut int // floats from one tap, one output, to the next
	Init       Init
	ReLU       bool // y = max(y, 0) at the end; NaN stays NaN
	Packed     int  // where not 0, w is this many rows packed as PackWeights leaves them; WTap and WOut count for nothing
}

// PackedOuts is how many outputs a block of packed weights has. Register tiles of all sizes divide it.
const PackedOuts = 24

// PackWeights copies rows of so many weights, ld floats apart, to blocks of PackedOuts columns that follow each other, the last
// with the columns that remain: a tile of outputs finds its weights side by side however many there are. The blocks have room for
// capacity rows; row first comes first in w.
func PackWeights(dst, w []float32, outs, ld, first, rows, capacity int) {
	for j := 0; j < outs; j += PackedOuts {
		width := min(PackedOuts, outs-j)
		d := dst[j*capacity+first*width:]
		for r := range rows {
			copy(d[r*width:][:width], w[r*ld+j:])
		}
	}
}

// Gemm is a GemmSpec made ready.
type Gemm struct {
	GemmSpec
	x, w   int // extent of a position in vectors of x, of the taps in floats of w
	run    gemmFunc
	aux    gemmPlan
	blocks []*Gemm // of packed weights, PackedOuts outputs each; they have no blocks themselves
}

type gemmFunc func(g *Gemm, y, x, w, bias []float32, rows int)

// NewGemm checks a spec and makes it ready. The spec's taps are kept, not copied. Errors wrap ErrSpec.
func (k *Kernels) NewGemm(s GemmSpec) (*Gemm, error) {
	if s.YOut == 0 {
		s.YOut = 1
	}
	x, rows, err := checkRuns(s.Taps)
	if err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	if s.Packed > 0 {
		s.WTap, s.WOut = 1, 1
	}
	if s.Outs < 1 || s.YOut < 1 || s.WTap < 1 || s.WOut < 1 || s.Init > Accumulate {
		return nil, fmt.Errorf("%w: outputs and strides are at least 1, got Outs %d, YOut %d, WTap %d, WOut %d, Init %d",
			ErrSpec, s.Outs, s.YOut, s.WTap, s.WOut, s.Init)
	}
	g := &Gemm{GemmSpec: s, x: x, w: (rows-1)*s.WTap + (s.Outs-1)*s.WOut + 1, run: k.impl.gemm}
	if s.Packed > 0 {
		if s.Packed < rows {
			return nil, fmt.Errorf("%w: taps reach row %d of %d packed rows", ErrSpec, rows, s.Packed)
		}
		g.w, g.run = s.Packed*s.Outs, gemmBlocks
		for j := 0; j < s.Outs; j += PackedOuts {
			b := *g
			b.run = k.impl.gemm
			b.Outs = min(PackedOuts, s.Outs-j)
			b.WTap, b.WOut, b.w = b.Outs, 1, rows*b.Outs
			if j+PackedOuts < s.Outs && len(g.blocks) > 0 {
				g.blocks = append(g.blocks, g.blocks[0])
				continue
			}
			b.aux = k.impl.planGemm(&b)
			g.blocks = append(g.blocks, &b)
		}
		return g, nil
	}
	g.aux = k.impl.planGemm(g)
	return g, nil
}

// Do computes rows rows. y, x and w start at the first element that is touched; bias has Outs floats and is read with Init Bias alone.
func (g *Gemm) Do(y, x, w, bias []float32, rows int) {
	if rows <= 0 {
		return
	}
	y = vectors(y, g.Grid.y(rows, (g.Outs-1)*g.YOut+1))
	x = vectors(x, g.Grid.x(rows, g.x))
	w = w[:g.w]
	if g.Init == Bias {
		bias = bias[:g.Outs]
	}
	g.run(g, y, x, w, bias, rows)
}

// Flops is the number of floating-point operations of so many rows: two for each tap, output and lane.
func (g *Gemm) Flops(rows int) int64 {
	taps := int64(0)
	for _, r := range g.Taps {
		taps += int64(r.N)
	}
	return 2 * Lanes * taps * int64(g.Outs) * int64(g.Cols) * int64(rows)
}

// PreferPacked says whether to pack the weights of a convolution of so many taps: where they are many and far apart, they share few
// cache sets and each row lies on its own page.
func PreferPacked(taps, outs int) bool { return outs > PackedOuts && 4*taps*outs >= 96<<10 }

// gemmBlocks runs the blocks of packed weights.
func gemmBlocks(g *Gemm, y, x, w, bias []float32, rows int) {
	for j, b := range g.blocks {
		var bb []float32
		if g.Init == Bias {
			bb = bias[j*PackedOuts:]
		}
		b.run(b, y[j*PackedOuts*g.YOut*Lanes:], x, w[j*PackedOuts*g.Packed:], bb, rows)
	}
}

// gemmPortable takes two outputs and four lanes at a time: eight sums stay in registers.
func gemmPortable(g *Gemm, y, x, w, bias []float32, rows int) {
	for r := range rows {
		for c := range g.Cols {
			xq := x[(r*g.XRow+c*g.XCol)*Lanes:]
			yq := y[(r*g.YRow+c*g.YCol)*Lanes:]
			j := 0
			for ; j+2 <= g.Outs; j += 2 {
				for l := 0; l < Lanes; l += 4 {
					g.quad2(yq, xq, w, bias, j, l)
				}
			}
			if j < g.Outs {
				for l := 0; l < Lanes; l += 4 {
					g.quad1(yq, xq, w, bias, j, l)
				}
			}
		}
	}
}

func (g *Gemm) quad2(y, x, w, bias []float32, j, l int) {
	y0 := (*[4]float32)(y[j*g.YOut*Lanes+l:])
	y1 := (*[4]float32)(y[(j+1)*g.YOut*Lanes+l:])
	var a0, a1, a2, a3, b0, b1, b2, b3 float32
	switch g.Init {
	case Bias:
		a0, b0 = bias[j], bias[j+1]
		a1, a2, a3, b1, b2, b3 = a0, a0, a0, b0, b0, b0
	case Accumulate:
		a0, a1, a2, a3 = y0[0], y0[1], y0[2], y0[3]
		b0, b1, b2, b3 = y1[0], y1[1], y1[2], y1[3]
	case Zero:
	}
	ws, wo := g.WTap, g.WOut
	for _, t := range g.Taps {
		xs := x[int(t.X)*Lanes+l:]
		wi := int(t.W)*ws + j*wo
		for range int(t.N) {
			v := (*[4]float32)(xs)
			p, q := w[wi], w[wi+wo]
			a0 += p * v[0]
			a1 += p * v[1]
			a2 += p * v[2]
			a3 += p * v[3]
			b0 += q * v[0]
			b1 += q * v[1]
			b2 += q * v[2]
			b3 += q * v[3]
			wi += ws
			if len(xs) < Lanes {
				break // the last vector of x: nothing follows
			}
			xs = xs[Lanes:]
		}
	}
	if g.ReLU {
		a0, a1, a2, a3 = relu(a0), relu(a1), relu(a2), relu(a3)
		b0, b1, b2, b3 = relu(b0), relu(b1), relu(b2), relu(b3)
	}
	*y0 = [4]float32{a0, a1, a2, a3}
	*y1 = [4]float32{b0, b1, b2, b3}
}

func (g *Gemm) quad1(y, x, w, bias []float32, j, l int) {
	y0 := (*[4]float32)(y[j*g.YOut*Lanes+l:])
	var a [4]float32
	switch g.Init {
	case Bias:
		a = [4]float32{bias[j], bias[j], bias[j], bias[j]}
	case Accumulate:
		a = *y0
	case Zero:
	}
	for _, t := range g.Taps {
		for i := range int(t.N) {
			v := (*[4]float32)(x[(int(t.X)+i)*Lanes+l:])
			p := w[(int(t.W)+i)*g.WTap+j*g.WOut]
			a[0] += p * v[0]
			a[1] += p * v[1]
			a[2] += p * v[2]
			a[3] += p * v[3]
		}
	}
	if g.ReLU {
		a = [4]float32{relu(a[0]), relu(a[1]), relu(a[2]), relu(a[3])}
	}
	*y0 = a
}

// relu is max(v, 0) that keeps NaN.
func relu(v float32) float32 {
	if v <= 0 {
		return 0
	}
	return v
}

// FlipKernel copies a kernel [kh][kw][c][f] to dst as [kh][kw][f][c] with both spatial axes reversed: the weights of the input
// gradient, whose taps (ky, kx, f) then run along dy. For groups, call it with each group's columns: ld is the float stride of a row of
// w, at least f.
func (k *Kernels) FlipKernel(dst, w []float32, taps, c, f, ld int) {
	for t := range taps {
		k.Transpose(dst[(taps-1-t)*c*f:], w[t*c*ld:], c, f, c, ld)
	}
}

// FlipPacked is FlipKernel into packed weights, as PackWeights leaves them, of taps t0 to t1 of taps; w starts at tap t0.
func FlipPacked(dst, w []float32, t0, t1, taps, c, f, ld int) {
	const tile = 16
	for t := t0; t < t1; t++ {
		for i0 := 0; i0 < c; i0 += PackedOuts {
			width := min(PackedOuts, c-i0)
			d := dst[i0*taps*f+(taps-1-t)*f*width:][:f*width]
			for j0 := 0; j0 < f; j0 += tile {
				j1 := min(j0+tile, f)
				for i := range width {
					for j, v := range w[((t-t0)*c+i0+i)*ld:][j0:j1] {
						d[(j0+j)*width+i] = v
					}
				}
			}
		}
	}
}
