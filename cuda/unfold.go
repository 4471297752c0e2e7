//go:build cuda

package cuda

import "gcnn/kernels"

// unfold is the kernel's geometry.
func (s *convState) unfold(rows int, x *buffer, columns *buffer, group int) kernels.Unfold {
	return kernels.Unfold{
		X: x.p(), Columns: columns.p(), N: uint32(s.places(rows) * s.width()), Height: uint32(s.v.In), Width: uint32(s.h.In), Channels: uint32(s.per * s.groups),
		First: uint32(group * s.per), Count: uint32(s.per), OutH: uint32(s.v.Out), OutW: uint32(s.h.Out), WindowH: uint32(s.v.Kernel), WindowW: uint32(s.h.Kernel),
		StrideH: uint32(s.v.Stride), StrideW: uint32(s.h.Stride), DilationH: uint32(s.v.Dilation), DilationW: uint32(s.h.Dilation),
		Top: uint32(s.v.Before), Left: uint32(s.h.Before),
	}
}

func (s *convState) places(rows int) int { return rows * s.v.Out * s.h.Out }         // of the output
func (s *convState) width() int          { return s.v.Kernel * s.h.Kernel * s.per }  // of a row of columns
func (s *convState) block() int          { return s.filters / s.groups * s.width() } // floats of a group's kernel

// whyUnfolded is why cuDNN does not compute the convolution.
func (s *convState) whyUnfolded() string {
	if s.v.Dilation > 1 || s.h.Dilation > 1 {
		return "dilation"
	}
	return "refused by cuDNN"
}

// unfoldedForward emits, for each group, the unfolding of x and y = columns·Wᵀ.
func (c *compiler) unfoldedForward(i int, s *convState, x, y *buffer, kernel *param, flops int64) {
	rows, width, per := s.places(c.rows), s.width(), s.filters/s.groups
	columns := c.buffer(c.net.NameOf(i)+" columns", rows*width)
	for g := range s.groups {
		c.kernel(i, "unfolding", []*buffer{x, columns}, func() launcher { return s.unfold(c.rows, x, columns, g) })
		c.because(s.whyUnfolded())
		c.task(c.net.NameOf(i)+" forward", c.net.NamesOf(i), "cublasSgemm", flops/int64(s.groups), []*buffer{columns, y}, func() error {
			return c.d.matmul(false, true, rows, per, width, columns.p(), width, kernel.w()+floats(g*s.block()), width, y.at(g*per), s.filters)
		})
	}
}

// unfoldedBackward emits dW = dzᵀ·columns and dx = fold(dz·W) of each group.
func (c *compiler) unfoldedBackward(i int, s *convState, x, dz *buffer, kernel *param, flops int64) {
	rows, width, per := s.places(c.rows), s.width(), s.filters/s.groups
	if kernel.trains() {
		columns := c.buffer(c.net.NameOf(i)+" columns", rows*width)
		for g := range s.groups {
			c.kernel(i, "unfolding", []*buffer{x, columns}, func() launcher { return s.unfold(c.rows, x, columns, g) })
			c.task(c.net.NameOf(i)+" kernel gradient", c.net.NamesOf(i), "cublasSgemm", flops/int64(s.groups), []*buffer{columns, dz}, func() error {
				return c.d.matmul(true, false, per, width, rows, dz.at(g*per), s.filters, columns.p(), width, kernel.g()+floats(g*s.block()), width)
			})
		}
	}
	c.grads.Into(c.net.Nodes[i].Inputs[0], func(dx *buffer) {
		columns := c.buffer(c.net.NameOf(i)+" column gradients", rows*width)
		for g := range s.groups {
			c.task(c.net.NameOf(i)+" input gradient", c.net.NamesOf(i), "cublasSgemm", flops/int64(s.groups), []*buffer{columns, dz}, func() error {
				return c.d.matmul(false, false, rows, width, per, dz.at(g*per), s.filters, kernel.w()+floats(g*s.block()), width, columns.p(), width)
			})
			c.kernel(i, "folding", []*buffer{columns, dx}, func() launcher {
				u := s.unfold(c.rows, x, columns, g)
				return kernels.Fold{
					Columns: columns.p(), DX: dx.p(), N: uint32(c.rows * s.v.In * s.h.In * s.per), Height: u.Height, Width: u.Width,
					Channels: u.Channels, First: u.First, Count: u.Count,
					OutH: u.OutH, OutW: u.OutW, WindowH: u.WindowH, WindowW: u.WindowW, StrideH: u.StrideH, StrideW: u.StrideW,
					DilationH: u.DilationH, DilationW: u.DilationW, Top: u.Top, Left: u.Left,
				}
			})
		}
	})
}
