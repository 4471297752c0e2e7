package kernel

import (
	"slices"
	"unsafe"
)

// windowCycles is what a tile's comparisons take beyond a Gemm's end, whatever its outputs. It is measured: with AVX-512 eight outputs of
// nine taps go better in two tiles than in three.
const windowCycles = 4

// windowTile is a tile for runs of so many taps.
type windowTile struct{ n, j, id int }

// setWindows installs convolution with max pooling: the tiles that cover the outputs at the least cost, those of runs where there are.
func setWindows(i *implementation, tiles []gemmTile, runs []windowTile, cost func(taps, p, j int) float64) {
	i.window = windowNative
	i.planWindow = func(g *Gemm) gemmPlan {
		plan := planGemm(g, tiles, func(taps, _, j int) float64 { return cost(taps, windowSums, j) + windowCycles })
		for k := range plan.blocks {
			b := &plan.blocks[k]
			for _, t := range runs {
				if t.j == b.outs && !slices.ContainsFunc(g.Taps, func(r Run) bool { return int(r.N) != t.n }) {
					b.id = t.id
				}
			}
		}
		return plan
	}
}

// windowNative runs rows and blocks; all taps are one stage.
func windowNative(w *Window, y []float32, arg []uint8, x, weights, bias []float32, rows int) {
	c := newGemmCaller(w.gemm, y, x, weights, bias)
	c.a.right, c.a.down = w.Right*64, w.Down*64
	c.stage(true, true, w.aux.whole[0].runs)
	for r := 0; r < rows; r += w.aux.rows {
		n := min(w.aux.rows, rows-r)
		for i := range w.aux.blocks {
			b := &w.aux.blocks[i]
			if arg != nil {
				c.a.argmax = unsafe.Pointer(&arg[(r*w.YRow+b.col*w.YCol+b.out*w.YOut)*Lanes])
			}
			c.call(b, r, n, 0, b.tiles, unsafe.Add(c.w, b.out*4))
		}
	}
}
