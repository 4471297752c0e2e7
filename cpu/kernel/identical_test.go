package kernel

import "testing"

// natives runs f on every path but the portable one and compares what it returns bit for bit.
func natives(t *testing.T, what string, f func(k *Kernels) []float32) {
	t.Helper()
	var want []float32
	for _, p := range Available() {
		if p == Portable {
			continue
		}
		k, err := Open(string(p))
		if err != nil {
			t.Fatal(err)
		}
		got := f(k)
		if want == nil {
			want = got
		}
		sameBits(t, what+" on "+string(p), got, want)
	}
}

func TestIdenticalGemm(t *testing.T) {
	t.Parallel()
	for n, c := range gemmCases() {
		c.spec.Init, c.spec.ReLU = Init(n%3), n%4 == 1
		natives(t, c.name, func(k *Kernels) []float32 {
			y, _, _, _, _ := c.run(t, k, false, uint64(n))
			return y
		})
	}
}

func TestIdenticalGrads(t *testing.T) {
	t.Parallel()
	for n, c := range gradCases() {
		natives(t, c.name, func(k *Kernels) []float32 {
			r := seeded(uint64(n))
			g, err := k.NewGradLanes(c.spec)
			if err != nil {
				t.Fatal(err)
			}
			acc := data(r, g.w*g.Outs*Lanes, false)
			g.Do(acc, data(r, g.Grid.x(c.rows, g.x)*Lanes, false), data(r, g.y(c.rows, g.Outs)*Lanes, false), c.rows)
			s := c.spec
			s.YRow, s.YCol = s.YRow/s.Outs*Padded(s.Outs), s.YCol/s.Outs*Padded(s.Outs)
			o, err := k.NewGradOuter(s, s.Outs)
			if err != nil {
				t.Fatal(err)
			}
			dw := data(r, o.w, false)
			o.Do(dw, data(r, o.Grid.x(c.rows, o.x)*Lanes, false), data(r, o.y(c.rows, Padded(o.Outs))*Lanes, false), c.rows, n%2 == 0)
			return append(acc, dw...)
		})
	}
}
