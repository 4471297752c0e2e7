package kernel

import (
	"testing"

	"gcnn/model"
)

// TestAverageOf: the bits of Activate and Average, and of AverageGrad and ActivateGrad, for windows of several sizes with gaps between.
func TestAverageOf(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n, side := range []int{1, 2, 3, 4} {
			for channels := 1; channels <= 3; channels++ {
				const cols, rows = 3, 2
				width := (cols*side + 1) * channels
				spec := PoolSpec{Channels: channels, Grid: Grid{Cols: cols, XRow: side * width, XCol: side * channels, YRow: cols * channels, YCol: channels}}
				for i := range side * side {
					spec.Taps = append(spec.Taps, PoolTap{int32(i/side*width + i%side*channels), int32(i)})
				}
				p, err := k.NewPool(spec)
				if err != nil {
					t.Fatal(err)
				}
				r := seeded(uint64(10*n + channels))
				x := data(r, p.Grid.x(rows, p.x)*Lanes, false)
				dy := data(r, p.y(rows, channels)*Lanes, false)
				for _, f := range []model.ActivationFunc{model.ReLU, model.Tanh, model.Sigmoid} {
					s := make([]float32, len(x))
					k.Activate(f, 0, s, x)
					want := make([]float32, len(dy))
					p.Average(want, s, rows)
					if f != model.ReLU {
						got, y := append([]float32(nil), x...), make([]float32, len(dy))
						p.AverageOf(f, y, got, rows)
						sameBits(t, f.String()+" pooled", y, want)
						inside := append([]float32(nil), x...)
						p.visit(rows, func(at int) { copy(inside[at:at+Lanes], s[at:]) })
						sameBits(t, f.String()+" activated", got, inside)
					}
					dx, wantDx := make([]float32, len(x)), make([]float32, len(x))
					p.AverageGrad(wantDx, dy, rows, false)
					k.ActivateGrad(f, 0, wantDx, wantDx, s)
					p.AverageGradOf(f, dx, dy, s, rows)
					p.visit(rows, func(at int) { sameBits(t, f.String()+" gradient", dx[at:at+Lanes], wantDx[at:at+Lanes]) })
				}
			}
		}
	})
}
