package cpu

import (
	"fmt"

	"gcnn/cpu/kernel"
	"gcnn/device"
)

// winogradGrad sums the gradient of a convolution's kernel by Winograd's algorithm: 36 planes of products of the input's patches and
// of the transformed gradient, then one transform of the sums.
//
// Where the planes are small, each set of groups keeps its own in the second level of cache. Where they are large, all groups leave
// their patches and gradients for jobs that compute one plane each.
type winogradGrad struct {
	tiling
	name   string
	co     int
	whole  bool
	v      *buffer // patches of a block, or of all tiles
	d      *buffer // the gradient's tiles of a block
	turned *buffer // the same with samples before filters, of a block or of all tiles
	up     *buffer // lines of the gradient
	acc    *buffer // the planes
	sums   *buffer // the kernel's gradient
	outers map[int]*kernel.GradOuter
	bands  [][]tileBlock
}

// ownPlanes is the largest product of channels and filters whose planes each set of groups keeps.
const ownPlanes = 8 << 10

// newWinogradGrad prepares the sums over rows rows of the output, in bands of whole blocks that are a multiple of align rows.
func (c *compiler) newWinogradGrad(name string, b *filterBank, rows, align int) (g *winogradGrad, height int) {
	g = &winogradGrad{tiling: b.tiling(c, name+" gradient", false), name: name, co: b.filters, whole: b.channels*b.filters > ownPlanes, outers: map[int]*kernel.GradOuter{}}
	const side, lanes = kernel.WinogradTile, kernel.Lanes
	g.rows = (rows + side - 1) / side // of what is not pooled there is no gradient
	g.high = min(g.high, g.rows)
	t := &g.tiling
	c.zeros(t.wide * side * g.co * lanes)
	n := t.most()
	g.d = c.buffer(name+" gradient tiles", planes*spaced(n*g.co)*lanes)
	g.up = c.buffer(name+" gradient lines", kernel.WinogradPatch*spaced(t.wide*side*g.co)*lanes)
	if g.whole {
		n = t.rows * t.cols
	}
	g.v = c.buffer(name+" gradient patches", planes*spaced(n*t.ci)*lanes)
	turned := n // of one plane
	if g.whole {
		turned *= planes
	}
	g.turned = c.buffer(name+" turned tiles", turned*g.co*lanes)
	scope := perSet
	if g.whole {
		scope = single
	}
	g.acc = c.global(name+" kernel planes", planes*b.channels*b.filters, scope)
	g.sums = c.global(name+" kernel sums", b.weightCount, single)
	height = t.bandOf(align)
	for lo := 0; lo < rows; lo += height {
		g.bands = append(g.bands, t.blocks(lo, min(lo+height, rows)))
		for _, b := range g.bands[len(g.bands)-1] {
			if !g.whole {
				g.outer(b.tiles(), 0, 0)
			}
		}
	}
	return g, height
}

// outer makes the product of a plane of so many tiles, or finds it; the strides are from one group to the next, in vectors.
func (g *winogradGrad) outer(tiles, x, y int) *kernel.GradOuter {
	if o := g.outers[tiles]; o != nil {
		return o
	}
	o, err := g.c.k.NewGradOuter(kernel.GradSpec{
		Grid: kernel.Grid{Cols: tiles, XRow: x, XCol: g.ci, YRow: y, YCol: g.co}, Taps: []kernel.Run{{N: int32(g.ci)}}, Outs: g.co,
	}, g.co)
	if err != nil {
		g.c.fail(err)
	}
	g.outers[tiles] = o
	return o
}

func (g *winogradGrad) uses() []*buffer {
	all := []*buffer{g.lines, g.v, g.d, g.up, g.turned}
	if !g.whole {
		all = append(all, g.acc)
	}
	return all
}

// band adds band k of group n: x is the whole input, grad the gradient at the band's sums, from row lo on.
func (g *winogradGrad) band(w *worker, n, k, lo int, x, grad []float32) {
	const lanes = kernel.Lanes
	d := g.d.at(w, n)
	v, turned := g.v.at(w, n), g.turned.at(w, n)
	for _, b := range g.bands[k] {
		if tiles := b.tiles(); !g.whole {
			from, to := spaced(tiles*g.ci), spaced(tiles*g.co)
			g.input(w, b, v, x, from)
			g.gradient(w, b, lo, d, grad)
			o, acc := g.outers[tiles], g.acc.at(w, 0)
			for i := range planes {
				g.c.k.ToSamples(turned, d[i*to*lanes:], g.co, g.co, tiles)
				o.Do(acc[i*g.ci*g.co:], v[i*from*lanes:], turned, 1, true)
			}
			continue
		}
		all := g.rows * g.cols
		first := b.row*g.cols + b.col*b.high // the blocks of a row of blocks follow each other
		g.input(w, b, v[first*g.ci*lanes:], x, spaced(all*g.ci))
		g.gradient(w, b, lo, d, grad)
		plane := spaced(b.tiles() * g.co)
		for i := range planes {
			g.c.k.ToSamples(turned[(i*all+first)*g.co*lanes:], d[i*plane*lanes:], g.co, g.co, b.tiles())
		}
	}
}

// gradient transforms a block's tiles of the gradient at the sums, which begins with row lo and is zero beyond its end.
func (g *winogradGrad) gradient(w *worker, b tileBlock, lo int, d, grad []float32) {
	const side, patch, lanes = kernel.WinogradTile, kernel.WinogradPatch, kernel.Lanes
	k, co, n := g.c.k, g.co, b.tiles()
	lines := g.up.at(w, 0)
	width := b.wide * side
	plane, line := spaced(n*co), spaced(width*co)
	cols := min(width, g.outW-b.col*side)
	rows := len(grad) / (g.outW * co * lanes)
	zeros := g.c.prog.zeros
	for r := range b.high {
		l := kernel.Lines{Out: lines, OutStride: line, N: cols * co, Outer: 1}
		for i := range side {
			l.In[i] = zeros
			if row := (b.row+r)*side + i - lo; row < rows {
				l.In[i] = grad[(row*g.outW+b.col*side)*co*lanes:]
			}
		}
		k.Winograd(kernel.WinogradGradient, l)
		for i := range patch {
			in := lines[i*line*lanes:][:width*co*lanes]
			clear(in[cols*co*lanes:])
			l := kernel.Lines{Out: d[(i*patch*plane+r*b.wide*co)*lanes:], OutStride: plane, N: co, Outer: b.wide, InOuter: side * co, OutOuter: co}
			for j := range side {
				l.In[j] = in[j*co*lanes:]
			}
			k.Winograd(kernel.WinogradGradient, l)
		}
	}
}

// multiply emits the jobs of the planes, where all groups have left what they multiply.
func (g *winogradGrad) multiply(task device.Task) {
	tiles := g.rows * g.cols
	g.c.placed = append(g.c.placed, func() error {
		if g.outer(tiles, g.v.stride/kernel.Lanes, g.turned.stride/kernel.Lanes) == nil {
			return fmt.Errorf("%s: %w", g.name, kernel.ErrSpec)
		}
		return nil
	})
	var works []work
	task.FLOPs /= planes
	for i := range planes {
		works = append(works, work{Task: task, uses: []*buffer{g.v, g.turned, g.acc}, run: func(w *worker) {
			g.outers[tiles].Do(g.acc.mem[i*g.ci*g.co:], g.v.mem[i*spaced(tiles*g.ci)*kernel.Lanes:], g.turned.mem[i*tiles*g.co*kernel.Lanes:], w.step.groups, false)
		}})
	}
	g.c.sync(works)
}

// finish leaves the jobs that add the sets' planes and transform them, and returns how to read the kernel's gradient.
func (g *winogradGrad) finish(parts func(w *worker) int, layers []string) (uses []*buffer, fill func(rows int) fillFunc) {
	const patch, lanes = kernel.WinogradPatch, kernel.Lanes
	c := g.c
	unit := max(1, 2<<10/g.co) // rows at a time
	scratch := c.global(g.name+" kernel transform", (planes+18)*unit*g.co, perWorker)
	shards := max(1, min(g.ci/unit, maxShards))
	for s := range shards {
		from, to := chunkOf(g.ci, s, shards)
		c.later(lateSums, work{
			Task: device.Task{Name: g.name + "/kernel planes", Layers: layers, Kernel: c.kernelName("winograd")}, uses: []*buffer{g.acc, g.sums, scratch},
			run: func(w *worker) {
				n := 1
				if !g.whole {
					n = parts(w)
				}
				for lo := from; lo < to; lo += unit {
					row := min(unit, to-lo) * g.co
					sums, half := scratch.at(w, 0)[:planes*row], scratch.at(w, 0)[planes*unit*g.co:]
					for i := range planes {
						c.k.SumShards(sums[i*row:][:row], g.acc.mem[(i*g.ci+lo)*g.co:], n, g.acc.stride)
					}
					l := kernel.Lines{Out: half, OutStride: patch * row / lanes, N: row / lanes, Outer: patch, InOuter: row / lanes, OutOuter: row / lanes}
					for i := range patch {
						l.In[i] = sums[i*patch*row:]
					}
					c.k.Winograd(kernel.WinogradKernelGradient, l)
					tap := g.ci * g.co / lanes
					l = kernel.Lines{Out: g.sums.mem[lo*g.co:], OutStride: tap, N: row / lanes, Outer: 3, InOuter: patch * row / lanes, OutOuter: 3 * tap}
					for j := range patch {
						l.In[j] = half[j*row:]
					}
					c.k.Winograd(kernel.WinogradKernelGradient, l)
				}
			},
		})
	}
	return []*buffer{g.sums}, func(int) fillFunc {
		return func(_ *worker, dst []float32, lo int) { copy(dst, g.sums.mem[lo*g.co:]) }
	}
}
