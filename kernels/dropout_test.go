//go:build cuda

package kernels_test

import (
	"testing"

	"gcnn/device"
	"gcnn/kernels"
)

func TestDropout(t *testing.T) {
	t.Parallel()
	const seed, layer = 0x123456789abcdef0, 7
	for _, n := range []int{1, 3, 4, 1027} {
		for _, rate := range []float32{0, 0.25, 0.5, 0.9} {
			x := inputs(n, 5)
			scale := 1 / (1 - rate)
			dx, cursor := upload(t, x), upload(t, []uint64{3, 41})
			launch(t, kernels.Dropout{X: dx.ptr(), Y: dx.ptr(), Cursor: cursor.ptr(), Seed: seed, Layer: layer, N: uint32(n), Rate: rate, Scale: scale}.Launch())
			want := make([]float32, n)
			for i := range want {
				if device.Keeps(seed, 41, layer, i, rate) {
					want[i] = x[i] * scale
				}
			}
			equal(t, "y", dx.host(), want)
		}
	}
}
