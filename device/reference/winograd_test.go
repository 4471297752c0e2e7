package reference

import (
	"math"
	"math/rand/v2"
	"testing"

	"gcnn/device"
	"gcnn/model"
)

// The algorithm is the direct sum: one tile of one channel, in float64.
func TestWinogradIsConvolution(t *testing.T) {
	t.Parallel()
	bt, g, at := winogradMatrices(3)
	rng := rand.New(rand.NewPCG(3, 4))
	d, w, dy := draw(rng, 36), draw(rng, 9), draw(rng, 16)
	v, u := bt.both(d), g.both(w)
	m := make([]float64, 36)
	for p := range m {
		m[p] = u[p] * v[p]
	}
	got := at.both(m)
	for i := range got {
		want := 0.0
		for k := range w {
			want += w[k] * d[(i/4+k/3)*6+i%4+k%3]
		}
		if math.Abs(got[i]-want) > 1e-13 {
			t.Errorf("output %d is %v, want %v", i, got[i], want)
		}
	}
	for p, a := range at.transposed().both(dy) {
		m[p] = v[p] * a
	}
	for k, got := range g.transposed().both(m) {
		want := 0.0
		for i := range dy {
			want += dy[i] * d[(i/4+k/3)*6+i%4+k%3]
		}
		if math.Abs(got-want) > 1e-13 {
			t.Errorf("gradient %d is %v, want %v", k, got, want)
		}
	}
}

// The algorithm along a row is the direct sum: one tile of one channel, in float64.
func TestRowWinogradIsConvolution(t *testing.T) {
	t.Parallel()
	bt, g, at := winogradMatrices(rowTaps)
	rng := rand.New(rand.NewPCG(7, 8))
	d, w, dy := draw(rng, rowPatch), draw(rng, rowTaps), draw(rng, rowTile)
	product := func(a, b []float64) []float64 {
		m := make([]float64, rowPatch)
		for p := range m {
			m[p] = a[p] * b[p]
		}
		return m
	}
	v, u, a := bt.times(d), g.times(w), at.transposed().times(dy)
	y, dx, dw := make([]float64, rowTile), make([]float64, rowPatch), make([]float64, rowTaps)
	for i := range y {
		for k := range dw {
			y[i] += w[k] * d[i+k]
			dx[i+k] += w[k] * dy[i]
			dw[k] += d[i+k] * dy[i]
		}
	}
	for _, c := range []struct {
		what      string
		got, want []float64
	}{
		{"output", at.times(product(u, v)), y},
		{"input gradient", bt.transposed().times(product(u, a)), dx},
		{"kernel gradient", g.transposed().times(product(v, a)), dw},
	} {
		for i := range c.want {
			if math.Abs(c.got[i]-c.want[i]) > 1e-13 {
				t.Errorf("%s %d is %v, want %v", c.what, i, c.got[i], c.want[i])
			}
		}
	}
}

// The radii of the algorithm along rows are larger than those of the direct sum, but not beyond all measure: by less than 20 times.
func TestRowWinogradRadii(t *testing.T) {
	t.Parallel()
	const n, side, channels, filters = 2, 9, 6, 16
	layer := model.Conv2D{Filters: filters, KernelSize: model.Square(5), Padding: model.Same, NoBias: true}
	net, err := model.New("test", model.Shape{side, side, channels}, layer)
	if err != nil {
		t.Fatal(err)
	}
	if l, ok := net.Nodes[0].Layer.(model.Conv2D); !ok || !device.WinogradRows(l, net.Input) {
		t.Fatal("the layer is not one for the algorithm")
	}
	rng := rand.New(rand.NewPCG(9, 10))
	random := func(shape ...int) *Tensor {
		x := make([]float32, model.Shape(shape).Size())
		for i := range x {
			x[i] = rng.Float32()*2 - 1
		}
		return fromFloats(x, shape...)
	}
	w, x, dy := random(5, 5, channels, filters), random(n, side, side, channels), random(n, side, side, filters)
	run := func(exact bool) [3]*Tensor {
		ps := &pass{net: net, weights: map[string]*Tensor{net.Nodes[0].Params[0].Name: w}, exact: exact}
		y := ps.forward(x)
		g := ps.backward(dy, false)
		return [3]*Tensor{y, g.input, g.params[net.Nodes[0].Params[0].Name]}
	}
	free, exact := run(false), run(true)
	for i := range free {
		most := 0.0
		for k, e := range free[i].Elems {
			d := exact[i].Elems[k]
			if e.V != d.V || e.R < d.R {
				t.Fatalf("result %d, element %d is %v, of the direct sum %v", i, k, e, d)
			}
			most = max(most, e.R/d.R)
		}
		if most < 2 || most > 20 {
			t.Errorf("radii of result %d are up to %g times those of the direct sum", i, most)
		}
	}
}

func draw(rng *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = rng.Float64()*2 - 1
	}
	return x
}

// both32 is matrix.both with every operation rounded to float32.
func (m matrix) both32(x []float32) []float32 {
	in, out := len(m[0]), len(m)
	half, y := make([]float32, out*in), make([]float32, out*out)
	for i, row := range m {
		for j := range in {
			for k, c := range row {
				if c != 0 {
					half[i*in+j] += float32(c) * x[k*in+j]
				}
			}
		}
	}
	for i := range out {
		for j, row := range m {
			for k, c := range row {
				if c != 0 {
					y[i*out+j] += float32(c) * half[i*in+k]
				}
			}
		}
	}
	return y
}

// Plain float32 code of the algorithm lies within the radii, which are larger than those of the direct sum, but not beyond all
// measure: by less than 100 times, since the absolute values of the matrices amplify by at most 63 on a tile.
func TestWinogradInFloat32(t *testing.T) {
	t.Parallel()
	const n, side, channels, filters = 2, 8, 32, 32
	layer := model.Conv2D{Filters: filters, KernelSize: model.Square(3), Padding: model.Same, NoBias: true}
	net, err := model.New("test", model.Shape{side, side, channels}, layer)
	if err != nil {
		t.Fatal(err)
	}
	if l, ok := net.Nodes[0].Layer.(model.Conv2D); !ok || !device.Winograd(l, net.Input) {
		t.Fatal("the layer is not one for the algorithm")
	}
	rng := rand.New(rand.NewPCG(5, 6))
	floats := func(shape ...int) (*Tensor, []float32) {
		x := make([]float32, model.Shape(shape).Size())
		for i := range x {
			x[i] = rng.Float32()*2 - 1
		}
		return fromFloats(x, shape...), x
	}
	w, w32 := floats(3, 3, channels, filters)
	x, x32 := floats(n, side, side, channels)
	dy, dy32 := floats(n, side, side, filters)
	run := func(exact bool) (y, dx, dw *Tensor) {
		ps := &pass{net: net, weights: map[string]*Tensor{net.Nodes[0].Params[0].Name: w}, exact: exact}
		y = ps.forward(x)
		g := ps.backward(dy, false)
		return y, g.input, g.params[net.Nodes[0].Params[0].Name]
	}
	y, dx, dw := run(false)
	yExact, dxExact, dwExact := run(true)
	for i, pair := range [][2]*Tensor{{y, yExact}, {dx, dxExact}, {dw, dwExact}} {
		for k, e := range pair[0].Elems {
			if d := pair[1].Elems[k]; e.V != d.V || e.R < d.R || e.R > 100*d.R {
				t.Fatalf("result %d, element %d is %v, of the direct sum %v", i, k, e, d)
			}
		}
	}
	bt, g, at := winogradMatrices(3)
	square := func(x []float32, s, row, col, c, channels, size int) []float32 {
		d := make([]float32, size*size)
		for i := range d {
			if r, q := row+i/size, col+i%size; r >= 0 && r < side && q >= 0 && q < side {
				d[i] = x[((s*side+r)*side+q)*channels+c]
			}
		}
		return d
	}
	convolve := func(what string, want *Tensor, x []float32, in, out int, weight func(k, c, f int) float32) {
		for s := range n {
			for f := range out {
				for at0 := range 4 {
					row, col := at0/2*4, at0%2*4
					m := make([]float32, 36)
					for c := range in {
						k := make([]float32, 9)
						for i := range k {
							k[i] = weight(i, c, f)
						}
						u, v := g.both32(k), bt.both32(square(x, s, row-1, col-1, c, in, 6))
						for p := range m {
							m[p] += u[p] * v[p]
						}
					}
					for i, got := range at.both32(m) {
						within(t, what, got, want.Elems[((s*side+row+i/4)*side+col+i%4)*out+f])
					}
				}
			}
		}
	}
	convolve("output", y, x32, channels, filters, func(k, c, f int) float32 { return w32[(k*channels+c)*filters+f] })
	convolve("input gradient", dx, dy32, filters, channels, func(k, f, c int) float32 { return w32[((8-k)*channels+c)*filters+f] })
	for c := range channels {
		for f := range filters {
			m := make([]float32, 36)
			for s := range n {
				for at0 := range 4 {
					row, col := at0/2*4, at0%2*4
					v, a := bt.both32(square(x32, s, row-1, col-1, c, channels, 6)), at.transposed().both32(square(dy32, s, row, col, f, filters, 4))
					for p := range m {
						m[p] += v[p] * a[p]
					}
				}
			}
			for k, got := range g.transposed().both32(m) {
				within(t, "kernel gradient", got, dw.Elems[(k*channels+c)*filters+f])
			}
		}
	}
}
