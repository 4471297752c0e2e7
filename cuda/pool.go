//go:build cuda

package cuda

import (
	"fmt"

	cudnn "gorgonia.org/cu/dnn"

	"gcnn/kernels"
	"gcnn/model"
)

// windowsOf places a layer's windows on an input.
type windowsOf func(in model.Shape) (v, h model.Window)

// globalWindows is one window of the whole map.
func globalWindows(in model.Shape) (v, h model.Window) {
	v, _ = model.NewWindow(in[0], in[0], 1, 1, model.Valid)
	h, _ = model.NewWindow(in[1], in[1], 1, 1, model.Valid)
	return v, h
}

// poolState is how a pooling layer is computed, and what it leaves for its backward pass.
type poolState struct {
	v, h     model.Window
	channels int
	shape    string // for errors

	dnn    *cudnn.Pooling // nil: by a kernel
	why    string         // a kernel
	xd, yd *cudnn.TensorDescriptor

	winners *buffer // of a kernel's maxima
}

// pool decides who pools: cuDNN, but for what it cannot say. Its padding is the same on both sides, and it does not document
// which of equal maxima takes the gradient, which Plan.Exact asks of a layer that has a backward pass.
func (c *compiler) pool(i int, windows windowsOf, mode cudnn.PoolingMode) *poolState {
	node := &c.net.Nodes[i]
	v, h := windows(node.In[0])
	s := &poolState{v: v, h: h, channels: node.In[0][2]}
	s.shape = fmt.Sprintf("x %d×%v, window %d×%d, stride %d×%d, padding %d×%d", c.rows, node.In[0], v.Kernel, h.Kernel, v.Stride, h.Stride, v.Before, h.Before)
	c.pools[i] = s
	switch {
	case v.Before != v.After || h.Before != h.After:
		s.why = "uneven padding"
	case mode == cudnn.MaxDeterministic && c.spec.Exact && c.grads.Wanted(node.Inputs[0]):
		s.why = "exact ties"
	}
	if s.why != "" {
		return s
	}
	var err error
	if s.dnn, err = cudnn.NewPooling(mode, cudnn.PropagateNan, []int{v.Kernel, h.Kernel}, []int{v.Stride, h.Stride}, []int{v.Before, h.Before}); err != nil {
		c.fail(c.d.ok("cudnnSetPooling2dDescriptor", err, "", s.shape))
		return s
	}
	c.plan.descriptors = append(c.plan.descriptors, poolingDescriptor{s.dnn})
	s.xd, s.yd = c.tensor(c.rows, v.In, h.In, s.channels), c.tensor(c.rows, v.Out, h.Out, s.channels)
	return s
}

// maxPoolForward emits the maximum of each window.
func (c *compiler) maxPoolForward(i int, windows windowsOf) {
	node := &c.net.Nodes[i]
	x, y := c.vals[slot(node.Inputs[0])], c.value(i)
	s := c.pool(i, windows, cudnn.MaxDeterministic)
	if s.dnn != nil {
		c.dnnPoolForward(i, s, x, y)
		return
	}
	if c.grads.Wanted(node.Inputs[0]) {
		s.winners = c.buffer(node.Name+" winners", c.elements(i))
	}
	n := uint32(c.elements(i))
	c.kernel(i, "forward", []*buffer{x, y, s.winners}, func() launcher {
		return kernels.MaxPoolForward{
			X: x.p(), Y: y.p(), Winners: s.winners.p(), N: n, Height: uint32(s.v.In), Width: uint32(s.h.In), Channels: uint32(s.channels),
			OutH: uint32(s.v.Out), OutW: uint32(s.h.Out), WindowH: uint32(s.v.Kernel), WindowW: uint32(s.h.Kernel),
			StrideH: uint32(s.v.Stride), StrideW: uint32(s.h.Stride), Top: uint32(s.v.Before), Left: uint32(s.h.Before),
		}
	})
	c.because(s.why)
}

func (c *compiler) maxPoolBackward(i int) {
	in, s, dy := c.net.Nodes[i].Inputs[0], c.pools[i], c.grads.At(i)
	c.grads.Into(in, func(dx *buffer) {
		if s.dnn != nil {
			c.dnnPoolBackward(i, s, dy, dx)
			return
		}
		n := uint32(c.elements(in))
		c.kernel(i, "gradient", []*buffer{dy, s.winners, dx}, func() launcher {
			return kernels.MaxPoolBackward{
				DY: dy.p(), Winners: s.winners.p(), DX: dx.p(), N: n, Height: uint32(s.v.In), Width: uint32(s.h.In), Channels: uint32(s.channels),
				OutH: uint32(s.v.Out), OutW: uint32(s.h.Out), WindowH: uint32(s.v.Kernel), WindowW: uint32(s.h.Kernel),
				StrideH: uint32(s.v.Stride), StrideW: uint32(s.h.Stride), Top: uint32(s.v.Before), Left: uint32(s.h.Before),
			}
		})
		c.because(s.why)
	})
}

// averagePoolForward emits the mean of each window; padding does not count.
func (c *compiler) averagePoolForward(i int, windows windowsOf) {
	x, y := c.vals[slot(c.net.Nodes[i].Inputs[0])], c.value(i)
	s := c.pool(i, windows, cudnn.AverageCountExcludePadding)
	if s.dnn != nil {
		c.dnnPoolForward(i, s, x, y)
		return
	}
	n := uint32(c.elements(i))
	c.kernel(i, "forward", []*buffer{x, y}, func() launcher {
		return kernels.AveragePoolForward{
			X: x.p(), Y: y.p(), N: n, Height: uint32(s.v.In), Width: uint32(s.h.In), Channels: uint32(s.channels),
			OutH: uint32(s.v.Out), OutW: uint32(s.h.Out), WindowH: uint32(s.v.Kernel), WindowW: uint32(s.h.Kernel),
			StrideH: uint32(s.v.Stride), StrideW: uint32(s.h.Stride), Top: uint32(s.v.Before), Left: uint32(s.h.Before),
		}
	})
	c.because(s.why)
}

func (c *compiler) averagePoolBackward(i int) {
	in, s, dy := c.net.Nodes[i].Inputs[0], c.pools[i], c.grads.At(i)
	c.grads.Into(in, func(dx *buffer) {
		if s.dnn != nil {
			c.dnnPoolBackward(i, s, dy, dx)
			return
		}
		n := uint32(c.elements(in))
		c.kernel(i, "gradient", []*buffer{dy, dx}, func() launcher {
			return kernels.AveragePoolBackward{
				DY: dy.p(), DX: dx.p(), N: n, Height: uint32(s.v.In), Width: uint32(s.h.In), Channels: uint32(s.channels),
				OutH: uint32(s.v.Out), OutW: uint32(s.h.Out), WindowH: uint32(s.v.Kernel), WindowW: uint32(s.h.Kernel),
				StrideH: uint32(s.v.Stride), StrideW: uint32(s.h.Stride), Top: uint32(s.v.Before), Left: uint32(s.h.Before),
			}
		})
		c.because(s.why)
	})
}

func (c *compiler) dnnPoolForward(i int, s *poolState, x, y *buffer) {
	c.task(c.net.NameOf(i)+" forward", c.net.NamesOf(i), "cudnnPoolingForward", 0, []*buffer{x, y}, func() error {
		err := c.d.dnn.PoolingForward(s.dnn, 1, s.xd, at(x.p()), 0, s.yd, at(y.p()))
		return c.d.ok("cudnnPoolingForward", err, "", s.shape)
	})
}

func (c *compiler) dnnPoolBackward(i int, s *poolState, dy, dx *buffer) {
	x, y := c.vals[slot(c.net.Nodes[i].Inputs[0])], c.vals[slot(i)]
	c.task(c.net.NameOf(i)+" gradient", c.net.NamesOf(i), "cudnnPoolingBackward", 0, []*buffer{x, y, dy, dx}, func() error {
		err := c.d.dnn.PoolingBackward(s.dnn, 1, s.yd, at(y.p()), s.yd, at(dy.p()), s.xd, at(x.p()), 0, s.xd, at(dx.p()))
		return c.d.ok("cudnnPoolingBackward", err, "", s.shape)
	})
}
