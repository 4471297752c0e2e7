//go:build cuda

package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"gcnn/kernels"
)

// window is a geometry of pooling and unfolding: input, output, window, stride, dilation and padding before.
type window struct{ h, w, oh, ow, kh, kw, sh, sw, dh, dw, top, left int }

var windows = []window{
	{4, 6, 2, 3, 2, 2, 2, 2, 1, 1, 0, 0},
	{7, 7, 3, 3, 3, 3, 2, 2, 1, 1, 0, 0}, // overlapping
	{5, 6, 3, 3, 2, 3, 2, 2, 1, 1, 0, 0}, // 'same' with more padding behind
	{5, 5, 5, 5, 4, 2, 1, 1, 1, 1, 1, 0}, // 'same' with even windows
	{6, 9, 2, 3, 1, 2, 4, 3, 1, 1, 0, 0}, // gaps
	{3, 4, 1, 1, 3, 4, 1, 1, 1, 1, 0, 0}, // global
	{7, 3, 3, 2, 3, 3, 2, 2, 1, 1, 1, 1}, // padding on both sides
	{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0},
}

// each calls f(output place, input place) for the window's elements that lie inside.
func (g window) each(f func(out, in, tap int)) {
	for oh := range g.oh {
		for ow := range g.ow {
			for kh := range g.kh {
				for kw := range g.kw {
					h, w := oh*g.sh+kh*g.dh-g.top, ow*g.sw+kw*g.dw-g.left
					if h >= 0 && h < g.h && w >= 0 && w < g.w {
						f(oh*g.ow+ow, h*g.w+w, kh*g.kw+kw)
					}
				}
			}
		}
	}
}

func TestPooling(t *testing.T) {
	t.Parallel()
	const batch, channels = 2, 3
	for _, g := range windows {
		t.Run(fmt.Sprint(g), func(t *testing.T) {
			t.Parallel()
			in, out := g.h*g.w, g.oh*g.ow
			x, dy := inputs(batch*in*channels, 19), inputs(batch*out*channels, 20)
			for i := range x {
				x[i] = float32(math.Round(float64(x[i]) / 2)) // equal maxima
			}
			best, winners, mean, counts := make([]float32, len(dy)), make([]int32, len(dy)), make([]float64, len(dy)), make([]float64, len(dy))
			for i := range best {
				best[i] = float32(math.Inf(-1))
			}
			for n := range batch {
				for c := range channels {
					g.each(func(o, i, _ int) {
						o, v := (n*out+o)*channels+c, x[(n*in+i)*channels+c]
						if v > best[o] {
							best[o], winners[o] = v, int32(i)
						}
						mean[o] += float64(v)
						counts[o]++
					})
				}
			}
			dxMax, dxMean, magnitude := make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x))
			for n := range batch {
				for c := range channels {
					g.each(func(o, i, _ int) {
						o, at := (n*out+o)*channels+c, (n*in+i)*channels+c
						if winners[o] == int32(i) {
							dxMax[at] += float64(dy[o])
						}
						dxMean[at] += float64(dy[o]) / counts[o]
						magnitude[at] += math.Abs(float64(dy[o]))
					})
				}
			}
			for o := range mean {
				mean[o] /= counts[o]
			}
			gx, gy, gw := upload(t, x), empty(t, len(dy)), upload(t, make([]int32, len(dy)))
			shape := func(n int) kernels.MaxPoolForward {
				return kernels.MaxPoolForward{N: uint32(n), Height: uint32(g.h), Width: uint32(g.w), Channels: channels, OutH: uint32(g.oh), OutW: uint32(g.ow),
					WindowH: uint32(g.kh), WindowW: uint32(g.kw), StrideH: uint32(g.sh), StrideW: uint32(g.sw), Top: uint32(g.top), Left: uint32(g.left)}
			}
			forward := shape(len(dy))
			forward.X, forward.Y, forward.Winners = gx.ptr(), gy.ptr(), gw.ptr()
			launch(t, forward.Launch())
			equal(t, "maxima", gy.host(), best)
			equal(t, "winners", gw.host(), winners)
			bound := func(i int) float64 { return float64(g.kh*g.kw+1) * u * magnitude[i] }
			gdy, dx := upload(t, dy), empty(t, len(x))
			launch(t, kernels.MaxPoolBackward{DY: gdy.ptr(), Winners: gw.ptr(), DX: dx.ptr(), N: uint32(len(x)), Height: forward.Height, Width: forward.Width, Channels: channels, OutH: forward.OutH, OutW: forward.OutW,
				WindowH: forward.WindowH, WindowW: forward.WindowW, StrideH: forward.StrideH, StrideW: forward.StrideW, Top: forward.Top, Left: forward.Left}.Launch())
			near(t, "dx of max", dx.host(), dxMax, bound)
			launch(t, kernels.AveragePoolForward{X: gx.ptr(), Y: gy.ptr(), N: uint32(len(dy)), Height: forward.Height, Width: forward.Width, Channels: channels, OutH: forward.OutH, OutW: forward.OutW,
				WindowH: forward.WindowH, WindowW: forward.WindowW, StrideH: forward.StrideH, StrideW: forward.StrideW, Top: forward.Top, Left: forward.Left}.Launch())
			near(t, "means", gy.host(), mean, func(i int) float64 { return u * math.Abs(mean[i]) }) // sums of integers are exact
			launch(t, kernels.AveragePoolBackward{DY: gdy.ptr(), DX: dx.ptr(), N: uint32(len(x)), Height: forward.Height, Width: forward.Width, Channels: channels, OutH: forward.OutH, OutW: forward.OutW,
				WindowH: forward.WindowH, WindowW: forward.WindowW, StrideH: forward.StrideH, StrideW: forward.StrideW, Top: forward.Top, Left: forward.Left}.Launch())
			near(t, "dx of average", dx.host(), dxMean, bound)
		})
	}
}

func TestMaxPoolKeepsNaN(t *testing.T) {
	t.Parallel()
	nan := float32(math.NaN())
	x, y := upload(t, []float32{1, nan, 3, nan, 2, 1, 5, 7}), empty(t, 2)
	launch(t, kernels.MaxPoolForward{X: x.ptr(), Y: y.ptr(), N: 2, Height: 1, Width: 8, Channels: 1, OutH: 1, OutW: 2, WindowH: 1, WindowW: 4, StrideH: 1, StrideW: 4}.Launch())
	if got := y.host(); got[0] == got[0] || got[1] != 7 {
		t.Errorf("maxima are %v, want NaN and 7", got)
	}
}
