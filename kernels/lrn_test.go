//go:build cuda

package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"gcnn/kernels"
)

func TestLRN(t *testing.T) {
	t.Parallel()
	const rows, channels, k = 6, 13, 2.0
	for _, window := range []int{1, 3, 5, 15} {
		for _, beta := range []float32{0.75, 0.5, 1, 0.6} {
			t.Run(fmt.Sprint(window, beta), func(t *testing.T) {
				t.Parallel()
				x, dy := inputs(rows*channels, 23), inputs(rows*channels, 24)
				for i := range x {
					x[i] = float32(math.Mod(float64(x[i]), 8))
				}
				share := float32(0.1) / float32(window)
				s, y, dx, magnitude := make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x))
				in := func(c int) (int, int) { return max(c-window/2, 0), min(c-window/2+window, channels) }
				for i := range x {
					row, c := i/channels*channels, i%channels
					lo, hi := in(c)
					s[i] = k
					for j := lo; j < hi; j++ {
						s[i] += float64(share) * float64(x[row+j]) * float64(x[row+j])
					}
					y[i] = float64(x[i]) * math.Pow(s[i], -float64(beta))
				}
				for i := range x {
					row, c := i/channels*channels, i%channels
					dx[i] = float64(dy[i]) * math.Pow(s[i], -float64(beta))
					magnitude[i] = math.Abs(dx[i])
					for j := range channels {
						if lo, hi := in(j); c >= lo && c < hi {
							term := 2 * float64(share) * float64(beta) * float64(x[i]) * float64(dy[row+j]) * y[row+j] / s[row+j]
							dx[i] -= term
							magnitude[i] += math.Abs(term)
						}
					}
				}
				gx, gs, gy := upload(t, x), empty(t, len(x)), empty(t, len(x))
				launch(t, kernels.LRNForward{X: gx.ptr(), S: gs.ptr(), Y: gy.ptr(), N: uint32(len(x)), Channels: channels, Window: uint32(window), Share: share, Beta: beta, K: k}.Launch())
				// s is a sum of window+1 positive terms; a power by exp and log adds |beta·ln s|·u twice
				c := float64(window) + 2
				near(t, "s", gs.host(), s, func(i int) float64 { return c * u * s[i] })
				power := func(i int) float64 { return (c + 8 + 4*math.Abs(math.Log(s[i]))) * u }
				near(t, "y", gy.host(), y, func(i int) float64 { return power(i) * math.Abs(y[i]) })
				gdy, gdx := upload(t, dy), empty(t, len(x))
				launch(t, kernels.LRNBackward{DY: gdy.ptr(), X: gx.ptr(), Y: gy.ptr(), S: gs.ptr(), DX: gdx.ptr(), N: uint32(len(x)), Channels: channels, Window: uint32(window), Share: share, Beta: beta}.Launch())
				near(t, "dx", gdx.host(), dx, func(i int) float64 { return (2*power(i) + (c+24)*u) * magnitude[i] })
			})
		}
	}
}
