package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
)

// streamedBytes of weights leave a core's own cache between two samples: program.streamed, but for tests.
const streamedBytes = 1 << 20

// streams reports whether a product of all samples of a step is jobs of some outputs, so that its weights are read once a step.
// They meet too few positions of a sample to be worth reading for each.
func (c *compiler) streams(b *filterBank) bool {
	return b.v.Out*b.outW < gradPositions && c.purpose.across && !c.wide.spread && c.plan.batch > 1 && 4*int64(b.weightCount) > c.prog.streamed
}

// channelJobs emits the sums of a convolution, or its input's gradient, as jobs of some outputs for all samples.
func (c *compiler) channelJobs(t device.Task, s channelSpec, x, y *buffer, weights, bias []float32) {
	sl := s.slide
	byGroup := sl.byGroup(0, s.rows)
	outs := cuts(sl.yGroup, partOuts, sl.yGroup)
	var works []work
	for g, regions := range byGroup {
		for k := range len(outs) - 1 {
			lo, hi := outs[k], outs[k+1]
			spec := kernel.OutputsSpec{Regions: regions, Outs: hi - lo, WTap: s.wTap, Init: s.init, ReLU: s.relu}
			one, err := c.k.NewOutputs(spec) // of a sample, where the last batch is a partial one
			if err != nil {
				c.fail(err)
				return
			}
			var all *kernel.Outputs
			c.placed = append(c.placed, func() (err error) {
				whole := spec
				whole.Regions = overSamples(regions, c.plan.batch, x.stride, y.stride)
				all, err = c.k.NewOutputs(whole)
				return err
			})
			t.FLOPs = one.Flops() * c.samples()
			first := g*s.wGroup + lo
			var b []float32
			if bias != nil {
				b = bias[g*sl.yGroup+lo:]
			}
			works = append(works, work{Task: t, uses: []*buffer{x, y}, run: func(w *worker) {
				if w.step.n == c.plan.batch {
					all.Do(y.mem[lo:], x.mem, weights[first:], b)
					return
				}
				for n := range w.step.n {
					one.Do(y.copy(n)[lo:], x.copy(n), weights[first:], b)
				}
			}})
		}
	}
	c.sync(works)
}

// overSamples are the regions of n samples that lie so many floats apart. Tiles go along the columns: those are samples where there are more of
// them.
func overSamples(regions []kernel.OutputsRegion, n, xStride, yStride int) (all []kernel.OutputsRegion) {
	for _, r := range regions {
		if r.Cols >= n {
			for s := range n {
				one := r
				one.X, one.Y = r.X+s*xStride, r.Y+s*yStride
				all = append(all, one)
			}
			continue
		}
		for row := range r.Rows {
			across := r
			across.Rows, across.X, across.Y = r.Cols, r.X+row*r.XRow, r.Y+row*r.YRow
			across.Grid = kernel.Grid{Cols: n, XRow: r.XCol, XCol: xStride, YRow: r.YCol, YCol: yStride}
			all = append(all, across)
		}
	}
	return all
}

// byGroup are the regions of rows lo to hi of each group.
func (s *slide) byGroup(lo, hi int) [][]kernel.OutputsRegion {
	all := make([][]kernel.OutputsRegion, s.groups)
	for _, r := range s.regions(lo, hi) {
		all[r.group] = append(all[r.group], kernel.OutputsRegion{Grid: r.grid, Rows: r.rows, X: r.x, Y: r.y, Taps: r.taps})
	}
	return all
}
