//go:build cuda

package cuda

import (
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

// cuDNN pools too, but it neither says which of equal maxima takes the gradient nor takes uneven padding.

// maxPoolForward emits the maximum of each window, and where it lies for the gradient.
func (c *compiler) maxPoolForward(i int, windows windowsOf) {
	node := &c.net.Nodes[i]
	x, y := c.vals[slot(node.Inputs[0])], c.value(i)
	v, h := windows(node.In[0])
	var winners *buffer
	if c.needs[slot(node.Inputs[0])] {
		winners = c.buffer(node.Name+" winners", c.elements(i))
		c.pools[i] = winners
	}
	n, channels := uint32(c.elements(i)), uint32(node.In[0][2])
	c.kernel(i, "forward", []*buffer{x, y, winners}, func() launcher {
		return kernels.MaxPoolForward{
			X: x.p(), Y: y.p(), Winners: winners.p(), N: n, Height: uint32(v.In), Width: uint32(h.In), Channels: channels, OutH: uint32(v.Out), OutW: uint32(h.Out),
			WindowH: uint32(v.Kernel), WindowW: uint32(h.Kernel), StrideH: uint32(v.Stride), StrideW: uint32(h.Stride), Top: uint32(v.Before), Left: uint32(h.Before),
		}
	})
}

func (c *compiler) maxPoolBackward(i int, windows windowsOf) {
	node := &c.net.Nodes[i]
	dy, winners := c.grads[slot(i)], c.pools[i]
	v, h := windows(node.In[0])
	c.into(node.Inputs[0], func(dx *buffer) {
		n, channels := uint32(c.elements(node.Inputs[0])), uint32(node.In[0][2])
		c.kernel(i, "gradient", []*buffer{dy, winners, dx}, func() launcher {
			return kernels.MaxPoolBackward{
				DY: dy.p(), Winners: winners.p(), DX: dx.p(), N: n, Height: uint32(v.In), Width: uint32(h.In), Channels: channels, OutH: uint32(v.Out), OutW: uint32(h.Out),
				WindowH: uint32(v.Kernel), WindowW: uint32(h.Kernel), StrideH: uint32(v.Stride), StrideW: uint32(h.Stride), Top: uint32(v.Before), Left: uint32(h.Before),
			}
		})
	})
}

// averagePoolForward emits the mean of each window; padding does not count.
func (c *compiler) averagePoolForward(i int, windows windowsOf) {
	node := &c.net.Nodes[i]
	x, y := c.vals[slot(node.Inputs[0])], c.value(i)
	v, h := windows(node.In[0])
	n, channels := uint32(c.elements(i)), uint32(node.In[0][2])
	c.kernel(i, "forward", []*buffer{x, y}, func() launcher {
		return kernels.AveragePoolForward{
			X: x.p(), Y: y.p(), N: n, Height: uint32(v.In), Width: uint32(h.In), Channels: channels, OutH: uint32(v.Out), OutW: uint32(h.Out),
			WindowH: uint32(v.Kernel), WindowW: uint32(h.Kernel), StrideH: uint32(v.Stride), StrideW: uint32(h.Stride), Top: uint32(v.Before), Left: uint32(h.Before),
		}
	})
}

func (c *compiler) averagePoolBackward(i int, windows windowsOf) {
	node := &c.net.Nodes[i]
	dy := c.grads[slot(i)]
	v, h := windows(node.In[0])
	c.into(node.Inputs[0], func(dx *buffer) {
		n, channels := uint32(c.elements(node.Inputs[0])), uint32(node.In[0][2])
		c.kernel(i, "gradient", []*buffer{dy, dx}, func() launcher {
			return kernels.AveragePoolBackward{
				DY: dy.p(), DX: dx.p(), N: n, Height: uint32(v.In), Width: uint32(h.In), Channels: channels, OutH: uint32(v.Out), OutW: uint32(h.Out),
				WindowH: uint32(v.Kernel), WindowW: uint32(h.Kernel), StrideH: uint32(v.Stride), StrideW: uint32(h.Stride), Top: uint32(v.Before), Left: uint32(h.Before),
			}
		})
	})
}
