//go:build cuda

package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"gcnn/kernels"
)

func TestUnfoldAndFold(t *testing.T) {
	t.Parallel()
	const batch, channels, first, count = 2, 5, 1, 3
	dilated := []window{{7, 8, 3, 4, 3, 3, 1, 1, 2, 2, 0, 1}, {9, 9, 4, 3, 2, 3, 2, 2, 3, 2, 1, 0}}
	for _, g := range append(dilated, windows...) {
		t.Run(fmt.Sprint(g), func(t *testing.T) {
			t.Parallel()
			in, out, taps := g.h*g.w, g.oh*g.ow, g.kh*g.kw
			x, dcolumns := inputs(batch*in*channels, 21), inputs(batch*out*taps*count, 22)
			columns, dx, magnitude := make([]float32, len(dcolumns)), make([]float64, len(x)), make([]float64, len(x))
			for n := range batch {
				g.each(func(o, i, tap int) {
					for c := range count {
						at, from := ((n*out+o)*taps+tap)*count+c, (n*in+i)*channels+first+c
						columns[at] = x[from]
						dx[from] += float64(dcolumns[at])
						magnitude[from] += math.Abs(float64(dcolumns[at]))
					}
				})
			}
			u32 := func(i int) uint32 { return uint32(i) }
			gx, gc := upload(t, x), empty(t, len(columns))
			launch(t, kernels.Unfold{X: gx.ptr(), Columns: gc.ptr(), N: u32(len(columns)), Height: u32(g.h), Width: u32(g.w), Channels: channels, First: first, Count: count, OutH: u32(g.oh), OutW: u32(g.ow),
				WindowH: u32(g.kh), WindowW: u32(g.kw), StrideH: u32(g.sh), StrideW: u32(g.sw), DilationH: u32(g.dh), DilationW: u32(g.dw), Top: u32(g.top), Left: u32(g.left)}.Launch())
			equal(t, "columns", gc.host(), columns)
			gd, gdx := upload(t, dcolumns), upload(t, make([]float32, len(x)))
			launch(t, kernels.Fold{Columns: gd.ptr(), DX: gdx.ptr(), N: u32(batch * in * count), Height: u32(g.h), Width: u32(g.w), Channels: channels, First: first, Count: count, OutH: u32(g.oh), OutW: u32(g.ow),
				WindowH: u32(g.kh), WindowW: u32(g.kw), StrideH: u32(g.sh), StrideW: u32(g.sw), DilationH: u32(g.dh), DilationW: u32(g.dw), Top: u32(g.top), Left: u32(g.left)}.Launch())
			near(t, "dx", gdx.host(), dx, func(i int) float64 { return float64(taps) * u * magnitude[i] })
		})
	}
}
