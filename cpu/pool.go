package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// windowsFunc says how a pool's window slides over an input.
type windowsFunc func(in model.Shape) (v, h model.Window)

// globalWindows is one window as large as the input.
func globalWindows(in model.Shape) (v, h model.Window) {
	v, _ = model.NewWindow(in[0], in[0], in[0], 1, model.Valid)
	h, _ = model.NewWindow(in[1], in[1], in[1], 1, model.Valid)
	return v, h
}

// poolState is a pool made ready.
type poolState struct {
	calls   []poolCall
	arg     *buffer // which element of its window was the maximum, for each output
	wide    bool    // windows of more than 256 elements: the argmax takes int32
	overlap bool    // an input lies in several windows
	covers  bool    // every input lies in a window
}

type poolCall struct {
	p    *kernel.Pool
	x, y int // floats
	rows int
}

// newPool cuts a pool into regions whose windows have the same elements inside the input.
func (c *compiler) newPool(in model.Shape, windows windowsFunc) *poolState {
	v, h := windows(in)
	s := &poolState{
		wide: v.Kernel*h.Kernel > 256, overlap: v.Stride < v.Kernel || h.Stride < h.Kernel,
		covers: covered(v) && covered(h),
	}
	channels := in[2]
	for _, rs := range forwardAxis(v) {
		for _, cs := range forwardAxis(h) {
			y0, x0 := rs.taps[0].x, cs.taps[0].x
			spec := kernel.PoolSpec{Channels: channels, Grid: kernel.Grid{
				Cols: cs.n, XRow: rs.advance * in[1] * channels, XCol: cs.advance * channels, YRow: h.Out * channels, YCol: channels,
			}}
			for _, ty := range rs.taps {
				for _, tx := range cs.taps {
					spec.Taps = append(spec.Taps, kernel.PoolTap{
						X: int32(((ty.x-y0)*in[1] + tx.x - x0) * channels), Index: int32(ty.k*h.Kernel + tx.k),
					})
				}
			}
			p, err := c.k.NewPool(spec)
			if err != nil {
				c.fail(err)
				continue
			}
			s.calls = append(s.calls, poolCall{
				p, (y0*in[1] + x0) * channels * kernel.Lanes, (rs.first*h.Out + cs.first) * channels * kernel.Lanes, rs.n,
			})
		}
	}
	return s
}

// covered reports whether every element of an axis lies in a window.
func covered(w model.Window) bool {
	return w.Stride <= w.Kernel && (w.Out-1)*w.Stride-w.Before+w.Extent() >= w.In
}

func (c *compiler) maxPoolForward(i int, _ model.Size, windows windowsFunc) {
	node := &c.net.Nodes[i]
	s := c.newPool(node.In[0], windows)
	c.pools[i] = s
	x, y := c.vals[slot(node.Inputs[0])], c.value(i)
	n := node.Out.Size() * kernel.Lanes
	if c.purpose.mode != inference {
		words := n / 4
		if s.wide {
			words = n
		}
		s.arg = c.buffer(node.Name+" argmax", words)
	}
	c.task(c.plainTask(i, "forward", "max_pool"), []*buffer{x, y, s.arg}, func(w *worker, g int) {
		dst, src := y.at(w, g), x.at(w, g)
		var bytes []uint8
		var words []int32
		switch {
		case s.arg != nil && s.wide:
			words = int32sOf(s.arg.at(w, g))
		case s.arg != nil:
			bytes = bytesOf(s.arg.at(w, g), n)
		}
		for k := range s.calls {
			q := &s.calls[k]
			switch {
			case s.wide && words != nil:
				q.p.MaxWide(dst[q.y:], words[q.y:], src[q.x:], q.rows)
			case s.wide:
				q.p.MaxWide(dst[q.y:], nil, src[q.x:], q.rows)
			case bytes != nil:
				q.p.Max(dst[q.y:], bytes[q.y:], src[q.x:], q.rows)
			default:
				q.p.Max(dst[q.y:], nil, src[q.x:], q.rows)
			}
		}
	})
}

func (c *compiler) maxPoolBackward(i int, _ model.Size, _ windowsFunc) {
	node := &c.net.Nodes[i]
	s, dy := c.pools[i], c.grads.At(i)
	n := node.Out.Size() * kernel.Lanes
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		c.task(c.plainTask(i, "gradient", "max_pool"), []*buffer{dx, dy, s.arg}, func(w *worker, g int) {
			dst, src := dx.at(w, g), dy.at(w, g)
			if s.overlap || !s.covers {
				clear(dst)
			}
			for k := range s.calls {
				q := &s.calls[k]
				if s.wide {
					q.p.MaxGradWide(dst[q.x:], src[q.y:], int32sOf(s.arg.at(w, g))[q.y:], q.rows, s.overlap)
				} else {
					q.p.MaxGrad(dst[q.x:], src[q.y:], bytesOf(s.arg.at(w, g), n)[q.y:], q.rows, s.overlap)
				}
			}
		})
	})
}

func (c *compiler) averagePoolForward(i int, windows windowsFunc) {
	node := &c.net.Nodes[i]
	s := c.newPool(node.In[0], windows)
	c.pools[i] = s
	x, y := c.vals[slot(node.Inputs[0])], c.value(i)
	c.task(c.plainTask(i, "forward", "average_pool"), []*buffer{x, y}, func(w *worker, g int) {
		dst, src := y.at(w, g), x.at(w, g)
		for k := range s.calls {
			q := &s.calls[k]
			q.p.Average(dst[q.y:], src[q.x:], q.rows)
		}
	})
}

func (c *compiler) averagePoolBackward(i int, _ windowsFunc) {
	node := &c.net.Nodes[i]
	s, dy := c.pools[i], c.grads.At(i)
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		c.task(c.plainTask(i, "gradient", "average_pool"), []*buffer{dx, dy}, func(w *worker, g int) {
			dst, src := dx.at(w, g), dy.at(w, g)
			if s.overlap || !s.covers {
				clear(dst)
			}
			for k := range s.calls {
				q := &s.calls[k]
				q.p.AverageGrad(dst[q.x:], src[q.y:], q.rows, s.overlap)
			}
		})
	})
}

// piece is positions from to to of a row of a pooled output.
type piece struct{ row, from, to int }

// bandPool pools one row of windows that lie side by side, or a piece of it, as a part of the convolution before it.
type bandPool struct {
	v, h     model.Window
	max      bool
	relu     bool // the argmax says where no gradient passes
	channels int
	p        *kernel.Pool
	covers   bool // the row's windows cover the band

	whole       bool // all windows of the row
	y, n        int  // floats: the piece's place in the row of the output, and its size
	left, right int  // floats: the same of its columns in a row of the convolution's output
}

// newBandPool makes a pool over a band of a convolution's output of shape in, with a ReLU between or without. fuse has chosen pools
// without padding or overlap.
func (c *compiler) newBandPool(l model.Layer, in model.Shape, relu bool) *bandPool {
	b := &bandPool{}
	switch l := l.(type) {
	case model.MaxPool2D:
		b.v, b.h = l.Windows(in)
		b.max, b.relu = true, relu
	case model.AveragePool2D:
		b.v, b.h = l.Windows(in)
	default:
	}
	b.covers, b.channels = covered(b.h), in[2]
	return b.piece(c, 0, b.h.Out)
}

// rows are the pieces of a pooled output where none of its rows is cut.
func (b *bandPool) rows() []piece {
	var all []piece
	for row := range b.v.Out {
		all = append(all, piece{row, 0, b.h.Out})
	}
	return all
}

// columns are the convolution's outputs that a piece's windows reach, and at the end of a row those beyond them.
func (b *bandPool) columns(from, to int) (left, right int) {
	if to == b.h.Out {
		return from * b.h.Stride, b.h.In
	}
	return from * b.h.Stride, to * b.h.Stride
}

// piece is the pool of windows from to to.
func (b *bandPool) piece(c *compiler, from, to int) *bandPool {
	if b.whole && from == 0 && to == b.h.Out {
		return b
	}
	part := *b
	channels := b.channels
	left, right := b.columns(from, to)
	part.whole = from == 0 && to == b.h.Out
	part.y, part.n = from*channels*kernel.Lanes, (to-from)*channels*kernel.Lanes
	part.left, part.right = left*channels*kernel.Lanes, right*channels*kernel.Lanes
	spec := kernel.PoolSpec{Channels: channels, Grid: kernel.Grid{Cols: to - from, XCol: b.h.Stride * channels, YCol: channels}, ReLU: b.relu}
	for ky := range b.v.Kernel {
		for kx := range b.h.Kernel {
			spec.Taps = append(spec.Taps, kernel.PoolTap{X: int32((ky*b.h.In + kx) * channels), Index: int32(ky*b.h.Kernel + kx)})
		}
	}
	p, err := c.k.NewPool(spec)
	c.fail(err)
	part.p = p
	return &part
}

// forward pools rows, a row of windows' whole rows, to the piece's outputs.
func (b *bandPool) forward(out []float32, arg []uint8, rows []float32) {
	if b.max {
		b.p.Max(out, arg, rows[b.left:], 1)
		return
	}
	b.p.Average(out, rows[b.left:], 1)
}

// eachRow calls do for the piece's columns of rows of so many floats: where it has all columns, once for all rows.
func (b *bandPool) eachRow(rows []float32, rowFloats int, do func(lo, hi int)) {
	if b.whole {
		do(0, len(rows))
		return
	}
	for at := 0; at < len(rows); at += rowFloats {
		do(at+b.left, at+b.right)
	}
}

// maxGrad fills the piece's columns of whole rows of gradient from that of its windows.
func (b *bandPool) maxGrad(dx, dy []float32, arg []uint8) {
	if !b.covers {
		clear(dx)
	}
	b.p.MaxGrad(dx[b.left:], dy, arg, 1, false)
}

func (b *bandPool) averageGrad(dx, dy []float32) {
	if !b.covers {
		clear(dx)
	}
	b.p.AverageGrad(dx[b.left:], dy, 1, false)
}

// averageOf activates the piece's columns of rows that windows have, and pools them.
func (b *bandPool) averageOf(f model.ActivationFunc, out, rows []float32) {
	b.p.AverageOf(f, out, rows[b.left:], 1)
}

// averageGradOf is averageGrad through the activation whose values are s.
func (b *bandPool) averageGradOf(f model.ActivationFunc, dx, dy, s []float32) {
	if !b.covers {
		clear(dx)
	}
	b.p.AverageGradOf(f, dx[b.left:], dy, s[b.left:], 1)
}

// plainTask describes a task of one layer without arithmetic worth counting.
func (c *compiler) plainTask(i int, what, kern string) device.Task {
	return device.Task{Name: c.net.Nodes[i].Name + " " + what, Layers: c.layers(i), Kernel: c.kernelName(kern)}
}
