package device

import "gcnn/model"

// winogradChannels is the least number of channels and of filters that Winograd's algorithm pays for: below, its transforms
// cost what the multiplications save.
const winogradChannels = 32

// Winograd reports whether a backend may compute a convolution of a plan without Exact by Winograd's algorithm F(4×4, 3×3):
// output, input gradient and kernel gradient, in tiles of 4×4 positions that begin at the first row and column. The bounds of
// package reference know it. It takes tiles that are at least half full.
func Winograd(l model.Conv2D, in model.Shape) bool {
	v, h := l.Windows(in)
	slides := func(w model.Window) bool { return w.Kernel == 3 && w.Stride == 1 && w.Dilation == 1 && w.Before <= 2 }
	many := func(channels int) bool { return channels >= winogradChannels && channels%16 == 0 }
	tiles := (v.Out + 3) / 4 * ((h.Out + 3) / 4)
	return slides(v) && slides(h) && l.Groups == 1 && many(in[2]) && many(l.Filters) && v.Out*h.Out >= 8*tiles
}

// winogradRowTaps is the least number of rows × channels of a kernel that Winograd's algorithm along rows pays for.
const winogradRowTaps = 24

// WinogradRows reports whether a backend may compute a convolution of a plan without Exact by Winograd's algorithm along the rows of the
// map, F(2, 5): output, input gradient and kernel gradient, in tiles of two positions that begin at the first column, with a sum over the
// kernel's rows. It takes kernels of five columns, with a multiple of 16 filters in each group, on rows whose tiles are well filled.
func WinogradRows(l model.Conv2D, in model.Shape) bool {
	v, h := l.Windows(in)
	tiles := (h.Out + 1) / 2
	return h.Kernel == 5 && h.Stride == 1 && h.Dilation == 1 && h.In >= 5 && 5*h.Out >= 8*tiles &&
		v.Kernel*in[2]/l.Groups >= winogradRowTaps && l.Filters/l.Groups%16 == 0
}
