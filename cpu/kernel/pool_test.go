package kernel

import (
	"errors"
	"fmt"
	"math"
	"testing"
)

type poolCase struct {
	name    string
	rows    int
	spec    PoolSpec
	overlap bool
}

func poolCases() []poolCase {
	pool := func(h, w, c, size, stride int) poolCase {
		s := PoolSpec{Grid: Grid{Cols: (w-size)/stride + 1, XRow: stride * w * c, XCol: stride * c, YCol: c}, Channels: c}
		s.YRow = s.Cols * c
		for y := range size {
			for x := range size {
				s.Taps = append(s.Taps, PoolTap{int32((y*w + x) * c), int32(y*size + x)})
			}
		}
		return poolCase{fmt.Sprintf("%dx%dx%d by %d, stride %d", h, w, c, size, stride), (h-size)/stride + 1, s, stride < size}
	}
	return []poolCase{pool(26, 26, 8, 2, 2), pool(6, 6, 1, 2, 2), pool(7, 9, 3, 3, 2), pool(8, 8, 5, 3, 3), pool(4, 4, 2, 1, 1), pool(16, 16, 2, 16, 16)}
}

// TestMaxPool: the values and the indices are those of a plain search, ties and NaN included; the gradient goes where the index says.
func TestMaxPool(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n, c := range poolCases() {
			p, err := k.NewPool(c.spec)
			if err != nil {
				t.Fatal(err)
			}
			r := seeded(uint64(n))
			x := data(r, p.Grid.x(c.rows, p.x)*Lanes+1, true)[1:] // integers: many ties
			x[5] = float32(math.NaN())
			size := p.y(c.rows, p.Channels) * Lanes
			y, arg, y2 := make([]float32, size), make([]uint8, size), make([]float32, size)
			wide := make([]int32, size)
			p.Max(y, arg, x, c.rows)
			behind := c.spec
			behind.ReLU = true
			q, err := k.NewPool(behind)
			if last := behind.Taps[len(behind.Taps)-1].Index; (err != nil) != (last >= Closed) {
				t.Fatalf("%s behind a ReLU, indices up to %d: %v", c.name, last, err)
			}
			indices := [][]uint8{arg}
			if err == nil {
				closed := make([]uint8, size)
				indices = append(indices, closed)
				q.Max(y2, closed, x, c.rows)
				sameBits(t, c.name+" behind a ReLU", y2, y)
				for i, v := range y {
					if want := arg[i]; v > 0 && closed[i] != want || !(v > 0) && closed[i] != Closed {
						t.Fatalf("%s behind a ReLU: index %d of %v, %d without", c.name, closed[i], v, want)
					}
				}
			}
			p.Max(y2, nil, x, c.rows)
			sameBits(t, c.name+" without indices", y2, y)
			p.MaxWide(y2, wide, x, c.rows)
			sameBits(t, c.name+" with wide indices", y2, y)
			dy, dx := data(r, size, true), data(r, len(x), true)
			for behind, arg := range indices { // without a ReLU, and with
				old := append([]float32(nil), dx...)
				p.MaxGrad(dx, dy, arg, c.rows, c.overlap)
				dx2 := append([]float32(nil), old...)
				for i, at := range arg {
					if wide[i] = int32(at); behind == 1 && at == Closed {
						wide[i] = -1
					}
				}
				p.MaxGradWide(dx2, dy, wide, c.rows, c.overlap)
				sameBits(t, c.name+" gradient with wide indices", dx2, dx)
				want := old
				if !c.overlap {
					p.each(c.rows, func(_, xi int) {
						for _, tap := range p.Taps {
							clear(vec(want, xi+int(tap.X)*Lanes)[:])
						}
					})
				}
				p.each(c.rows, func(yi, xi int) {
					for l := range Lanes {
						best, at := x[xi+int(p.Taps[0].X)*Lanes+l], p.Taps[0]
						for _, tap := range p.Taps[1:] {
							if v := x[xi+int(tap.X)*Lanes+l]; v > best || v != v {
								best, at = v, tap
							}
						}
						if got := y[yi+l]; got != best && (got == got || best == best) || int32(indices[0][yi+l]) != at.Index {
							t.Fatalf("%s: %v at %d, want %v at %d", c.name, got, indices[0][yi+l], best, at.Index)
						}
						if behind == 0 || best > 0 {
							want[xi+int(at.X)*Lanes+l] += dy[yi+l]
						}
					}
				})
				for i, v := range dx {
					if v != want[i] {
						t.Fatalf("%s: dx[%d] is %v, want %v", c.name, i, v, want[i])
					}
				}
			}
		}
	})
}

// each calls f with the offset of each vector of y and of its window in x.
func (p *Pool) each(rows int, f func(yi, xi int)) {
	for r := range rows {
		for c := range p.Cols {
			for ch := range p.Channels {
				f((r*p.YRow+c*p.YCol+ch)*Lanes, (r*p.XRow+c*p.XCol+ch)*Lanes)
			}
		}
	}
}

func TestAveragePool(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n, c := range poolCases() {
			p, err := k.NewPool(c.spec)
			if err != nil {
				t.Fatal(err)
			}
			r := seeded(uint64(n))
			x := data(r, p.Grid.x(c.rows, p.x)*Lanes+1, true)[1:]
			size := p.y(c.rows, p.Channels) * Lanes
			y, dy, dx := make([]float32, size), data(r, size, true), make([]float32, len(x))
			p.Average(y, x, c.rows)
			p.AverageGrad(dx, dy, c.rows, c.overlap)
			want := make([]float32, len(x))
			count := float32(len(p.Taps))
			p.each(c.rows, func(yi, xi int) {
				for l := range Lanes {
					s := 0.0
					for _, tap := range p.Taps {
						s += float64(x[xi+int(tap.X)*Lanes+l])
						want[xi+int(tap.X)*Lanes+l] += dy[yi+l] / count
					}
					if w := float32(s / float64(count)); y[yi+l] != w {
						t.Fatalf("%s: mean %v, want %v", c.name, y[yi+l], w)
					}
				}
			})
			sameBits(t, c.name+" gradient", dx, want)
		}
	})
}

func TestPoolSpec(t *testing.T) {
	t.Parallel()
	k, err := Open("portable")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]PoolSpec{
		"no channels":     {Grid: Grid{Cols: 1}, Taps: []PoolTap{{0, 0}}},
		"no taps":         {Grid: Grid{Cols: 1}, Channels: 1},
		"negative offset": {Grid: Grid{Cols: 1}, Channels: 1, Taps: []PoolTap{{-1, 0}}},
		"no columns":      {Channels: 1, Taps: []PoolTap{{0, 0}}},
	} {
		if _, err := k.NewPool(s); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
