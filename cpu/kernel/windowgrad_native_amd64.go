package kernel

import "unsafe"

// windowGradRuns is how many runs of taps a tile has at most.
const windowGradRuns = 3

// windowGradTaps is how many taps a tile has at most.
const windowGradTaps = 10

// windowGradArgs is what the assembly reads; strides are in bytes. The generator knows the offsets.
type windowGradArgs struct {
	dw, x       [windowGradRuns]unsafe.Pointer
	bias        unsafe.Pointer
	dy, arg     unsafe.Pointer
	rows, cols  int
	xrow, xcol  int
	yrow, ycol  int
	argRow      int
	argCol      int
	right, down int
	dwrow       int
	table       unsafe.Pointer
	tiles       int     // that follow each other
	biasStep    int     // from one to the next
	_           [10]int // the assembly's own
}

// windowGradTile is a register tile: runs × taps of a run × outputs, where step is not 0 for that Right alone.
type windowGradTile struct{ runs, taps, outs, step, id int }

// windowGradBlock is a tile and its place: in x and in the rows of dw, one of each for a run. Others for the next outputs follow it.
type windowGradBlock struct {
	id     int
	runs   int
	x, row [windowGradRuns]int
	out    int
	outs   int // of a tile
	tiles  int
}

// windowGradPlan is what a path prepares for a WindowGrad.
type windowGradPlan []windowGradBlock

// setWindowGrads installs the weight gradient behind max pooling.
func setWindowGrads(i *implementation, tiles []windowGradTile, table unsafe.Pointer, halves int) {
	i.planWindowGrad = func(g *WindowGrad) windowGradPlan { return planWindowGrad(g, tiles) }
	i.windowGrad = func(g *WindowGrad, acc, bias, x, dy []float32, arg []uint8, rows int) {
		windowGradNative(g, acc, bias, x, dy, arg, rows, table, halves)
	}
}

// planWindowGrad cuts long runs evenly and takes several short ones together: what a tile makes of a window's gradient serves all its taps.
func planWindowGrad(g *WindowGrad, tiles []windowGradTile) windowGradPlan {
	pieces := func(n int) int { return (n + windowGradTaps - 1) / windowGradTaps }
	most := 0
	for _, t := range tiles {
		most = max(most, t.outs)
	}
	var plan windowGradPlan
	for out := 0; out < g.Outs; {
		outs := min(most, g.Outs-out)
		for i := 0; i < len(g.Taps); {
			n := g.Taps[i].N
			cuts := pieces(int(n))
			size := (int(n) + cuts - 1) / cuts
			runs := 1
			for runs < min(windowGradRuns, windowGradTaps/size) && i+runs < len(g.Taps) && g.Taps[i+runs].N == n {
				runs++
			}
			for at := 0; at < int(n); at += size {
				b := windowGradBlock{runs: runs, out: out, outs: outs, tiles: 1}
				for r := range runs {
					t := g.Taps[i+r]
					b.x[r], b.row[r] = int(t.X)+at, int(t.W)+at
				}
				taps := min(size, int(n)-at)
				for _, t := range tiles { // the last is the fastest
					if t.runs == runs && t.taps == taps && t.outs == outs && (t.step == 0 || t.step == g.Right) {
						b.id = t.id
					}
				}
				if n := len(plan); n > 0 && plan[n-1].goesOn(b) {
					plan[n-1].tiles++
					continue
				}
				plan = append(plan, b)
			}
			i += runs
		}
		out += outs
	}
	return plan
}

// goesOn reports whether tile n is the block's next.
func (b windowGradBlock) goesOn(n windowGradBlock) bool {
	return n.id == b.id && n.x == b.x && n.row == b.row && n.out == b.out+b.tiles*b.outs
}

// windowGradMasks has for each sum the mask of a byte that an index stands for; windowGradIndices the index itself.
var (
	windowGradMasks = func() (masks [windowSums][2][16]uint8) {
		for i := range masks {
			masks[i][0][i], masks[i][1][i] = 255, 255
		}
		return masks
	}()
	windowGradIndices = [windowSums][32]uint8{{0}, {1}, {2}, {3}}
)

// windowGradBytes of x and dy pass through all tiles before the next rows: so many stay in the first-level cache.
const windowGradBytes = 28 << 10

func windowGradNative(g *WindowGrad, acc, bias, x, dy []float32, arg []uint8, rows int, table unsafe.Pointer, halves int) {
	a := windowGradArgs{
		cols: g.Cols, xrow: g.XRow * 64, xcol: g.XCol * 64, yrow: g.YRow * 64, ycol: g.YCol * 64, argRow: g.YRow * Lanes, argCol: g.YCol * Lanes,
		right: g.Right * 64, down: g.Down * 64, dwrow: g.Outs * 64, table: table,
	}
	pw, pb := unsafe.Pointer(unsafe.SliceData(acc)), unsafe.Pointer(unsafe.SliceData(bias))
	px, py := unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(dy))
	pa := unsafe.Pointer(unsafe.SliceData(arg))
	var unwanted [2 * Lanes]float32 // sums of the bias: one tile of each output has them
	chunk := max(1, windowGradBytes/(64*max(1, g.XRow+g.YRow)))
	for r := 0; r < rows; r += chunk {
		a.rows = min(chunk, rows-r)
		last := -1
		for i := range g.aux {
			b := &g.aux[i]
			for k := range b.runs {
				a.dw[k] = unsafe.Add(pw, (b.row[k]*g.Outs+b.out)*Lanes*4)
				a.x[k] = unsafe.Add(px, (r*g.XRow+b.x[k])*Lanes*4)
			}
			at := (r*g.YRow + b.out) * Lanes
			a.dy, a.arg = unsafe.Add(py, at*4), unsafe.Add(pa, at)
			a.tiles = b.tiles * halves
			a.bias, a.biasStep = unsafe.Pointer(&unwanted), 0
			if pb != nil && b.out != last {
				a.bias, a.biasStep = unsafe.Add(pb, b.out*Lanes*4), b.outs*Lanes*4/halves
			}
			windowGradCall(b.id, (*byte)(unsafe.Pointer(&a)))
			last = b.out
		}
	}
}
