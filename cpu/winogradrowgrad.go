package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
)

// rowGrad sums the gradient of a convolution's kernel by Winograd's algorithm along its rows: six planes of products of the input's patches
// and of the transformed gradient, then one transform of the sums.
type rowGrad struct {
	c *compiler
	rowBank
	name      string
	bands     []rowBand
	part      int               // rows of a band that are multiplied at a time
	calls     [][]gradOuterCall // of each part, in one plane
	from, to  int               // vectors from one plane to the next, of the patches and of the gradient
	v, d      *buffer           // the planes
	ready     bool              // the forward pass has left the patches
	turned    *buffer           // the gradient with samples before filters
	line      *buffer
	acc, sums *buffer
	zeros     []float32
}

// newRowGrad prepares the sums over rows rows of the output. Where the whole map is a band, the patches are those of the forward pass.
func (c *compiler) newRowGrad(name string, b *filterBank, rows, align int, forward *rowWinograd) (g *rowGrad, height int) {
	const lanes, patch = kernel.Lanes, kernel.WinogradPatch
	g = &rowGrad{c: c, rowBank: newRowBank(b), name: name}
	height = g.height(rows, align, false)
	var most int
	g.bands, most = g.rowBands(rows, height, false)
	tiles := g.plane.outW
	slide := g.plane.forwardSlide()
	g.part = partOf(height, rows, patch*tiles*b.filters*4*lanes)
	for lo := 0; lo < rows; lo += g.part {
		bd, n := g.bands[lo/height], min(g.part, rows-lo)
		var calls []gradOuterCall
		for _, r := range slide.regions(lo, lo+n) {
			if len(r.taps) == 0 {
				continue
			}
			// The groups of the gradient follow each other.
			spec := kernel.GradSpec{Grid: r.grid, Taps: r.taps, Outs: b.fg}
			spec.YRow, spec.YCol = spec.YRow/b.groups, spec.YCol/b.groups
			o, err := c.k.NewGradOuter(spec, b.filters)
			if err != nil {
				c.fail(err)
				continue
			}
			position := (r.y - r.group*b.fg) / b.filters
			calls = append(calls, gradOuterCall{
				o, r.group * b.fg, (r.x - bd.from*tiles*b.channels) * lanes, (r.group*n*tiles + position) * b.fg * lanes, r.rows,
			})
		}
		g.calls = append(g.calls, calls)
	}
	g.from, g.to = spaced(most*tiles*b.channels), spaced(g.part*tiles*b.filters)
	if len(g.bands) == 1 && len(forward.bands) == 1 && g.bands[0] == forward.bands[0] {
		g.v, g.ready = forward.v, true
	} else {
		g.v = c.buffer(name+" gradient patches", patch*g.from*lanes)
		g.line = c.buffer(name+" gradient line", g.width()*b.channels*lanes)
	}
	g.d = c.buffer(name+" gradient tiles", patch*g.to*lanes)
	g.turned = c.buffer(name+" turned part", g.part*b.outW*b.fg*lanes)
	g.acc = c.global(name+" kernel planes", patch*g.plane.weightCount, perSet)
	g.sums = c.global(name+" kernel sums", b.weightCount, single)
	g.zeros = c.zeros(b.fg * lanes)
	return g, height
}

func (g *rowGrad) uses() []*buffer { return []*buffer{g.v, g.d, g.turned, g.line, g.acc} }

// band adds band k of group n: x is the whole input, grad the gradient at the band's sums.
func (g *rowGrad) band(w *worker, n, k int, x, grad []float32) {
	const lanes = kernel.Lanes
	bd := &g.bands[k]
	v, d, turned, acc := g.v.at(w, n), g.d.at(w, n), g.turned.at(w, n), g.acc.at(w, 0)
	if !g.ready {
		g.input(g.c.k, v, x, g.line.at(w, n), bd.from, bd.to, g.from)
	}
	for lo := bd.lo; lo < bd.hi; lo += g.part {
		rows := min(g.part, bd.hi-lo)
		for grp := range g.groups {
			g.turnSamples(g.c.k, turned, grad[(lo-bd.lo)*g.outW*g.filters*lanes:], grp, rows*g.outW)
			g.gradient(g.c.k, d[grp*rows*g.plane.outW*g.fg*lanes:], turned, g.zeros, g.fg, rows, g.to)
		}
		calls := g.calls[lo/g.part]
		for i := range kernel.WinogradPatch {
			for j := range calls {
				q := &calls[j]
				q.g.Do(acc[i*g.plane.weightCount+q.dw:], v[i*g.from*lanes+q.x:], d[i*g.to*lanes+q.y:], q.rows, true)
			}
		}
	}
}

// turnSamples puts samples before the filters of a group, which are whole vectors.
func (b *rowBank) turnSamples(k *kernel.Kernels, dst, grad []float32, group, positions int) {
	if b.groups == 1 {
		k.ToSamples(dst, grad, b.fg, b.fg, positions)
		return
	}
	for p := range positions {
		k.ToSamples(dst[p*b.fg*kernel.Lanes:], grad[(p*b.filters+group*b.fg)*kernel.Lanes:], b.fg, b.fg, 1)
	}
}

// finish leaves the jobs that add the sets' planes and transform them, and returns how to read the kernel's gradient.
func (g *rowGrad) finish(parts func(w *worker) int, layers []string) (uses []*buffer, fill func(rows int) fillFunc) {
	const patch, taps, lanes = kernel.WinogradPatch, kernel.WinogradRowTaps, kernel.Lanes
	c := g.c
	n := g.cg * g.filters // of a row of the planes' kernels
	scratch := c.global(g.name+" kernel transform", patch*n, perWorker)
	shards := max(1, min(g.plane.v.Kernel, g.weightCount/shardFloats))
	for s := range shards {
		from, to := chunkOf(g.plane.v.Kernel, s, shards)
		c.later(lateSums, work{
			Task: device.Task{Name: g.name + "/kernel planes", Layers: layers, Kernel: c.kernelName("winograd")}, uses: []*buffer{g.acc, g.sums, scratch},
			run: func(w *worker) {
				sums := scratch.at(w, 0)
				for ky := from; ky < to; ky++ {
					l := kernel.Lines{Out: g.sums.mem[ky*taps*n:], OutStride: n / lanes, N: n / lanes, Outer: 1}
					for i := range patch {
						l.In[i] = sums[i*n:]
						c.k.SumShards(sums[i*n:][:n], g.acc.mem[i*g.plane.weightCount+ky*n:], parts(w), g.acc.stride)
					}
					c.k.Winograd(kernel.WinogradRowKernelGradient, l)
				}
			},
		})
	}
	return []*buffer{g.sums}, func(int) fillFunc {
		return func(_ *worker, dst []float32, lo int) { copy(dst, g.sums.mem[lo*g.filters:]) }
	}
}
