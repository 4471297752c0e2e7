package kernel

import "unsafe"

func (k softmaxKernels) call(id int, a *elemArgs, n int) {
	if a.n = n / Lanes; n > 0 {
		channelCall(int(k-1)*channelKinds+id, (*byte)(unsafe.Pointer(a)))
	}
}

func (k softmaxKernels) top(z []float32, s *softmaxSums) {
	if k == 0 {
		topPortable(z, s)
		return
	}
	k.call(channelTop, &elemArgs{p: [8]unsafe.Pointer{base(z), unsafe.Pointer(&s.max), unsafe.Pointer(&s.best)}}, len(z))
}

func (k softmaxKernels) exp(e, z []float32, s *softmaxSums) {
	if k == 0 {
		expShiftedPortable(e, z, s)
		return
	}
	p := [8]unsafe.Pointer{base(e), base(z), unsafe.Pointer(&s.max), unsafe.Pointer(&s.sum), unsafe.Pointer(&s.rest)}
	k.call(channelExp, &elemArgs{p: p}, len(z))
}

func (k softmaxKernels) divide(p, e []float32, s *softmaxSums) {
	if k == 0 {
		dividePortable(p, e, s)
		return
	}
	k.call(channelDivide, &elemArgs{p: [8]unsafe.Pointer{base(p), base(e), unsafe.Pointer(&s.sum)}}, len(e))
}

func (k softmaxKernels) lossGrad(dz, e []float32, labels *[Lanes]int32, factor *[Lanes]float32, on, off float32, s *softmaxSums) {
	if k == 0 {
		lossGradPortable(dz, e, labels, factor, on, off, s)
		return
	}
	p := [8]unsafe.Pointer{base(dz), base(e), unsafe.Pointer(&s.sum), unsafe.Pointer(factor), unsafe.Pointer(labels)}
	k.call(channelLossGrad, &elemArgs{p: p, f: [8]float32{on, off}}, len(e))
}
