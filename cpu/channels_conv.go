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

// channelConv emits a convolution with its bias and activation.
func (c *compiler) channelConv(i int, l model.Conv2D) {
	node := &c.wide.net.Nodes[i]
	from := node.Inputs[0]
	if d, ok := c.asDense(&block{nodes: []int{i}}, l); ok && c.pitch(from) == node.In[0][2] {
		c.channelDense(i, node.In[0].Size(), d.out, d.activation)
		return
	}
	bank := newFilterBank(l, node.In[0])
	kern, bias := c.param(i, model.Kernel), c.param(i, model.Bias)
	init := kernel.Zero
	var biases []float32
	if bias != nil {
		init, biases = kernel.Bias, bias.w
	}
	x, y := c.vals[slot(from)], c.value(i)
	rowFloats := bank.outW * kernel.Padded(bank.filters)
	slide := bank.forwardSlide()
	slide.xChannels, slide.yChannels = c.pitch(from), kernel.Padded(bank.filters)
	alone := depthwise(l, node.In[0])
	if alone {
		slide.groups = 1 // of one tap each, as wide as all channels
	}

	parts := c.parts(node.MACs)
	outs := []int{0, bank.fg}
	if !alone && parts > 1 && bank.weightCount*4 > cachedBytes {
		outs = cuts(bank.fg, partOuts, (parts+bank.groups-1)/bank.groups)
	}
	columns := (len(outs) - 1) * slide.groups
	rows := cuts(bank.v.Out, 1, (parts+columns-1)/columns)
	var calls []outputsCall
	var bands [][2]int // rows, by call
	var flops int64
	for r := range len(rows) - 1 {
		lo, hi := rows[r], rows[r+1]
		byGroup := make([][]kernel.OutputsRegion, slide.groups)
		for _, reg := range slide.regions(lo, hi) {
			byGroup[reg.group] = append(byGroup[reg.group], kernel.OutputsRegion{Grid: reg.grid, Rows: reg.rows, X: reg.x, Y: reg.y, Taps: reg.taps})
		}
		for g, regions := range byGroup {
			if alone {
				d, err := c.k.NewDepthwise(regions, bank.filters, init, l.Activation == model.ReLU)
				if err != nil {
					c.fail(err)
					return
				}
				flops += d.Flops()
				calls, bands = append(calls, outputsCall{run: d.Do, y: lo * rowFloats}), append(bands, [2]int{lo, hi})
				continue
			}
			for k := range len(outs) - 1 {
				o, err := c.k.NewOutputs(kernel.OutputsSpec{
					Regions: regions, Outs: outs[k+1] - outs[k], WTap: bank.filters, Init: init, ReLU: l.Activation == model.ReLU,
				})
				if err != nil {
					c.fail(err)
					return
				}
				flops += o.Flops()
				first := g*bank.fg + outs[k]
				calls = append(calls, outputsCall{run: o.Do, y: lo*rowFloats + outs[k], w: first, b: first})
				bands = append(bands, [2]int{lo, hi})
			}
		}
	}
	f, alpha := l.Activation, l.Activation.DefaultAlpha()
	elementwise := f != model.Linear && f != model.ReLU && f != model.Softmax
	whole := elementwise && columns == 1 // a part has all outputs of its rows
	title := c.title([]int{i}, "forward")
	c.split(device.Task{Name: title, Layers: c.layers(i), Kernel: c.kernelName("outputs"), FLOPs: flops},
		len(calls), []*buffer{x, y}, func(w *worker, n, chunk int) {
			q := &calls[chunk]
			ys := y.at(w, n)
			var b []float32
			if biases != nil {
				b = biases[q.b:]
			}
			q.run(ys[q.y:], x.at(w, n), kern.w[q.w:], b)
			if whole {
				rows := ys[bands[chunk][0]*rowFloats : bands[chunk][1]*rowFloats]
				c.k.Activate(f, alpha, rows, rows)
			}
		})
	c.channelActivation(i, f, alpha, y, elementwise && !whole)
}

// channelActivation emits the activation of sums, in place: one by itself, or softmax.
func (c *compiler) channelActivation(i int, f model.ActivationFunc, alpha float32, y *buffer, elementwise bool) {
	switch {
	case elementwise:
		c.task(c.plainTask(i, f.String(), "activation"), []*buffer{y}, func(w *worker, g int) {
			c.k.Activate(f, alpha, y.at(w, g), y.at(w, g))
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
	c.channelActivation(i, f, alpha, y, false)
}
