//go:build cuda

package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"gcnn/kernels"
)

func TestNormalize(t *testing.T) {
	t.Parallel()
	const channels, rows, epsilon = 7, 61, 1e-3
	x, mean, gamma, beta, variance := inputs(rows*channels, 21), inputs(channels, 22), inputs(channels, 23), inputs(channels, 24), inputs(channels, 25)
	for c := range variance {
		variance[c] *= variance[c]
	}
	gx, gv := upload(t, x), upload(t, variance)
	for _, with := range []bool{true, false} {
		t.Run(fmt.Sprintf("mean, gamma, beta %v", with), func(t *testing.T) {
			var m, g, b kernels.Pointer
			if with {
				m, g, b = upload(t, mean).ptr(), upload(t, gamma).ptr(), upload(t, beta).ptr()
			}
			y := empty(t, len(x))
			launch(t, kernels.Normalize{X: gx.ptr(), Mean: m, Variance: gv.ptr(), Gamma: g, Beta: b, Y: y.ptr(), N: uint32(len(x)), Channels: channels, Epsilon: epsilon}.Launch())
			want, size := make([]float64, len(x)), make([]float64, len(x))
			for i, v := range x {
				c := i % channels
				scale := 1 / math.Sqrt(float64(variance[c])+float64(float32(epsilon)))
				want[i], size[i] = float64(v)*scale, math.Abs(float64(v))*scale
				if with {
					scale *= float64(gamma[c])
					want[i] = (float64(v)-float64(mean[c]))*scale + float64(beta[c])
					size[i] = math.Abs(float64(v)-float64(mean[c]))*math.Abs(scale) + math.Abs(want[i])
				}
			}
			// the sum of variance and epsilon, the root, the quotient, the difference, the product and the sum are rounded once each
			near(t, "y", y.host(), want, func(i int) float64 { return 5 * u * size[i] })
		})
	}
}
