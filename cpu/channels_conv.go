package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

const (
	partOuts    = 64        // outputs that a task is cut at
	cachedBytes = 256 << 10 // weights up to which each part of the rows may read all of them
)

// depthwise reports whether a convolution has one filter for each channel.
func depthwise(l model.Conv2D, in model.Shape) bool { return l.Groups == in[2] && l.Filters == in[2] }

// parts is how many parts a task of so many multiply-adds is cut into: the sums are the same for any number.
func (c *compiler) parts(macs int64) int {
	return int(max(1, min(int64(c.wide.target), macs/c.prog.grain)))
}

// outputsCall is a tap product of a part of a layer. Offsets are in floats.
type outputsCall struct {
	run     func(y, x, w, bias []float32)
	y, w, b int
}

// channelProduct is the sums of a convolution, or its input's gradient, of one sample in parts.
type channelProduct struct {
	calls []outputsCall
	bands [][2]int // rows, by call
	whole bool     // each part has all outputs of its rows
	flops int64
	row   int // floats of a row of the result
}

// channelSpec says what a channelProduct computes; wGroup is the floats from one group's weights to the next.
type channelSpec struct {
	bank         *filterBank
	slide        slide
	rows         int // of the result
	macs         int64
	wTap, wGroup int
	alone        bool // each channel by itself: the slide has one group, of one channel
	init         kernel.Init
	relu         bool
}

// channelProduct prepares a product. The slide's channels are the floats of a position.
func (c *compiler) channelProduct(s channelSpec) *channelProduct {
	sl, alone := s.slide, s.alone
	p := &channelProduct{row: sl.yWidth * sl.yChannels}
	parts := c.parts(s.macs)
	outs := []int{0, sl.yGroup}
	if !alone && parts > 1 && s.bank.weightCount*4 > cachedBytes {
		outs = cuts(sl.yGroup, partOuts, (parts+sl.groups-1)/sl.groups)
	}
	columns := (len(outs) - 1) * sl.groups
	p.whole = columns == 1
	rows := cuts(s.rows, 1, (parts+columns-1)/columns)
	add := func(q outputsCall, flops int64, lo, hi int) {
		q.y += lo * p.row
		p.calls, p.bands, p.flops = append(p.calls, q), append(p.bands, [2]int{lo, hi}), p.flops+flops
	}
	for r := range len(rows) - 1 {
		lo, hi := rows[r], rows[r+1]
		for g, regions := range sl.byGroup(lo, hi) {
			if alone {
				d, err := c.k.NewDepthwise(regions, s.bank.filters, s.init, s.relu)
				if err != nil {
					c.fail(err)
					return p
				}
				add(outputsCall{run: d.Do}, d.Flops(), lo, hi)
				continue
			}
			for k := range len(outs) - 1 {
				o, err := c.k.NewOutputs(kernel.OutputsSpec{Regions: regions, Outs: outs[k+1] - outs[k], WTap: s.wTap, Init: s.init, ReLU: s.relu})
				if err != nil {
					c.fail(err)
					return p
				}
				add(outputsCall{run: o.Do, y: outs[k], w: g*s.wGroup + outs[k], b: g*sl.yGroup + outs[k]}, o.Flops(), lo, hi)
			}
		}
	}
	return p
}

// part computes a part into y, of all rows, from x.
func (p *channelProduct) part(k int, y, x, weights, bias []float32) {
	q := &p.calls[k]
	if bias != nil {
		bias = bias[q.b:]
	}
	q.run(y[q.y:], x, weights[q.w:], bias)
}

// channelConv emits a convolution with its bias and activation.
func (c *compiler) channelConv(b *block, l model.Conv2D) {
	i := b.nodes[0]
	node := &c.wide.net.Nodes[i]
	from := node.Inputs[0]
	f, alpha := b.activation(c.wide.net)
	if d, ok := c.asDense(&block{nodes: []int{i}}, l); ok && c.pitch(from) == node.In[0][2] && c.purpose.mode == inference {
		c.channelDense(i, node.In[0].Size(), d.out, d.activation)
		return
	}
	bank := newFilterBank(l, node.In[0])
	kern, bias := c.param(i, model.Kernel), c.param(i, model.Bias)
	relu := f == model.ReLU && !c.purpose.unfused
	spec := channelSpec{bank: &bank, slide: bank.forwardSlide(), rows: bank.v.Out, macs: node.MACs, wTap: bank.filters, wGroup: bank.fg, relu: relu}
	var biases []float32
	if bias != nil {
		spec.init, biases = kernel.Bias, bias.w
	}
	spec.slide.xChannels, spec.slide.yChannels = c.pitch(from), kernel.Padded(bank.filters)
	if depthwise(l, node.In[0]) {
		spec.alone, spec.slide.groups = true, 1
	}
	elementwise := f != model.Linear && !relu && f != model.Softmax
	x, y := c.vals[slot(from)], c.value(b.last())
	s := &convState{bank: bank, x: x, y: y}
	c.conv[i] = s
	dst := y
	if elementwise && c.purpose.across && (c.purpose.unfused || kernel.NeedsInput(f)) {
		s.z = c.buffer(node.Name+" sums", y.words)
		dst = s.z
	}
	task := c.blockTask(b, "forward", "outputs")
	if c.streams(&bank) && !spec.alone && !elementwise {
		c.channelJobs(task, spec, x, y, kern.w, biases)
		return
	}
	q := c.channelProduct(spec)
	whole := elementwise && q.whole && s.z == nil
	task.FLOPs = q.flops * c.samples()
	c.split(task,
		len(q.calls), []*buffer{x, dst}, func(w *worker, n, chunk int) {
			ys := dst.at(w, n)
			q.part(chunk, ys, x.at(w, n), kern.w, biases)
			if whole {
				rows := ys[q.bands[chunk][0]*q.row : q.bands[chunk][1]*q.row]
				c.k.Activate(f, alpha, rows, rows)
			}
		})
	switch {
	case elementwise && !whole:
		c.task(c.plainTask(i, f.String(), "activation"), []*buffer{dst, y}, func(w *worker, g int) {
			c.k.Activate(f, alpha, y.at(w, g), dst.at(w, g))
		})
	case f == model.Softmax && !c.finalSoftmax(i):
		c.channelSoftmax(i, y, y)
	}
}

// cuts are the ends of at most so many parts of n, at multiples of unit, from 0 on.
func cuts(n, unit, parts int) []int {
	units := (n + unit - 1) / unit
	parts = max(1, min(parts, units))
	ends := []int{0}
	for k := range parts {
		_, hi := chunkOf(units, k, parts)
		ends = append(ends, min(n, hi*unit))
	}
	return ends
}

// channelDense emits a dense layer with its bias and activation: jobs of some outputs for all samples, so that weights, which
// come from far, are read once.
func (c *compiler) channelDense(i, in, out int, f model.ActivationFunc) {
	from := c.wide.net.Nodes[i].Inputs[0]
	kern, bias := c.param(i, model.Kernel), c.param(i, model.Bias)
	init := kernel.Zero
	var biases []float32
	if bias != nil {
		init, biases = kernel.Bias, bias.w
	}
	x, y := c.vals[slot(from)], c.value(i)
	alpha := f.DefaultAlpha()
	elementwise := f != model.Linear && f != model.ReLU && f != model.Softmax
	outs := cuts(out, partOuts, c.parts(int64(in)*int64(out)))
	var works []work
	for k := range len(outs) - 1 {
		lo, hi := outs[k], outs[k+1]
		products := make([]*kernel.Outputs, c.purpose.few) // by the number of samples, less one
		c.placed = append(c.placed, func() error {
			for n := range products {
				var err error
				products[n], err = c.k.NewOutputs(kernel.OutputsSpec{
					Regions: []kernel.OutputsRegion{{
						Grid: kernel.Grid{Cols: n + 1, XCol: x.stride, YCol: y.stride}, Rows: 1, Taps: []kernel.Run{{N: int32(in)}},
					}},
					Outs: hi - lo, WTap: out, Init: init, ReLU: f == model.ReLU,
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		works = append(works, work{
			Task: device.Task{Name: c.title([]int{i}, "forward"), Layers: c.layers(i), Kernel: c.kernelName("outputs"),
				FLOPs: 2 * int64(in) * int64(hi-lo)},
			uses: []*buffer{x, y},
			run: func(w *worker) {
				var b []float32
				if biases != nil {
					b = biases[lo:]
				}
				products[w.step.groups-1].Do(y.mem[lo:], x.mem, kern.w[lo:], b)
				for s := 0; elementwise && s < w.step.groups; s++ {
					part := y.copy(s)[lo:kernel.Padded(hi)]
					c.k.Activate(f, alpha, part, part)
				}
			},
		})
	}
	c.sync(works)
	if f == model.Softmax && !c.finalSoftmax(i) {
		c.channelSoftmax(i, y, y)
	}
}
