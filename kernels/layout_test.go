//go:build cuda

package kernels_test

import (
	"testing"

	"gcnn/kernels"
)

func TestPadAndCrop(t *testing.T) {
	t.Parallel()
	const batch, h, w, c, top, left, oh, ow = 2, 3, 4, 5, 1, 2, 6, 7
	x := inputs(batch*h*w*c, 25)
	want := make([]float32, batch*oh*ow*c)
	for i, v := range x {
		n, row, col, k := i/c/w/h, i/c/w%h, i/c%w, i%c
		want[((n*oh+row+top)*ow+col+left)*c+k] = v
	}
	gx, gy, back := upload(t, x), empty(t, len(want)), empty(t, len(x))
	launch(t, kernels.Pad{X: gx.ptr(), Y: gy.ptr(), N: uint32(len(want)), Height: h, Width: w, Channels: c, OutH: oh, OutW: ow, Top: top, Left: left}.Launch())
	equal(t, "padded", gy.host(), want)
	launch(t, kernels.Crop{DY: gy.ptr(), DX: back.ptr(), N: uint32(len(x)), Height: h, Width: w, Channels: c, OutH: oh, OutW: ow, Top: top, Left: left}.Launch())
	equal(t, "cropped", back.host(), x)
}

func TestCopyChannels(t *testing.T) {
	t.Parallel()
	const rows, from, to, first, at, count = 70, 9, 11, 2, 4, 6
	x, y := inputs(rows*from, 26), inputs(rows*to, 27)
	gx, gy := upload(t, x), upload(t, y)
	launch(t, kernels.CopyChannels{X: gx.ptr(), Y: gy.ptr(), Rows: rows, Count: count, FromChannels: from, From: first, ToChannels: to, To: at}.Launch())
	for r := range rows {
		copy(y[r*to+at:r*to+at+count], x[r*from+first:])
	}
	equal(t, "y", gy.host(), y)
}

func TestAdd(t *testing.T) {
	t.Parallel()
	a, b := inputs(777, 29), inputs(777, 30)
	ga, gb := upload(t, a), upload(t, b)
	launch(t, kernels.Add{A: ga.ptr(), B: gb.ptr(), Y: ga.ptr(), N: 777}.Launch())
	want := make([]float32, 777)
	for i := range want {
		want[i] = a[i] + b[i]
	}
	equal(t, "sum", ga.host(), want)
}
