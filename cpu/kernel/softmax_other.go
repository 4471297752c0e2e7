//go:build !amd64

package kernel

func (softmaxKernels) top(z []float32, s *softmaxSums) { topPortable(z, s) }

func (softmaxKernels) exp(e, z []float32, s *softmaxSums) { expShiftedPortable(e, z, s) }

func (softmaxKernels) divide(p, e []float32, s *softmaxSums) { dividePortable(p, e, s) }

func (softmaxKernels) lossGrad(dz, e []float32, labels *[Lanes]int32, factor *[Lanes]float32, on, off float32, s *softmaxSums) {
	lossGradPortable(dz, e, labels, factor, on, off, s)
}
