package kernel

import (
	"unsafe"

	"gcnn/model"
)

// setElementwise installs the loops; kind is 0 for AVX2 and 1 for AVX-512.
func setElementwise(i *implementation, kind int) {
	off, chOff := kind*elemKinds, kind*channelKinds
	setArithmetic(i, off)
	i.activate = func(f model.ActivationFunc, alpha float32, y, x []float32) {
		if id, ok := forwardKernel(f); ok {
			elementwise(off+id, &elemArgs{f: [8]float32{alpha}}, 1, y, x)
			return
		}
		activatePortable(f, alpha, y, x)
	}
	i.activateGrad = func(f model.ActivationFunc, alpha float32, dx, dy, s []float32) {
		if id, ok := backwardKernel(f); ok {
			elementwise(off+id, &elemArgs{f: [8]float32{alpha}}, 1, dx, dy, s)
			return
		}
		activateGradPortable(f, alpha, dx, dy, s)
	}
	i.addPositions = func(acc, x []float32, stride, positions int) {
		a := elemArgs{positions: positions, stride: stride * 64}
		wide := 8 * Lanes
		if kind == 0 {
			wide = 4 * Lanes
		}
		for c := 0; c < len(acc); {
			id, n := chOff+channelSum1, Lanes
			if len(acc)-c >= wide {
				id, n = chOff+channelSum8, wide
			}
			a.p[0], a.p[1] = base(acc[c:]), base(x[c:])
			channelCall(id, (*byte)(unsafe.Pointer(&a)))
			c += n
		}
	}
	channel := func(id int, a *elemArgs, channels, positions int) {
		if channels > 0 && positions > 0 {
			a.n, a.positions = channels, positions
			channelCall(chOff+id, (*byte)(unsafe.Pointer(a)))
		}
	}
	i.addSquares = func(acc, x []float32, n *Norm, positions int) {
		a := elemArgs{p: [8]unsafe.Pointer{base(acc), base(x), base(n.Mean)}}
		id := channelSquares
		if n.Across {
			id = channelSquaresAcross
		}
		channel(id, &a, len(acc)/Lanes, positions)
	}
	i.affine = func(y, x []float32, n *Norm, positions int) {
		a := elemArgs{p: [8]unsafe.Pointer{base(y), base(x), base(n.Scale), base(n.Shift)}}
		channel(n.kernel(channelAffine, channelAffineReLU, channelAffineAcross, channelAffineReLUAcross), &a, n.vectors(n.Scale), positions)
	}
	i.normGrads = func(sums, products, dy, x []float32, n *Norm, positions int) {
		a := elemArgs{p: [8]unsafe.Pointer{base(sums), base(products), base(dy), base(x), base(n.Mean), base(n.Scale), base(n.Shift)}}
		channel(n.kernel(channelGrads, channelGradsReLU, channelGradsAcross, channelGradsReLUAcross), &a, n.vectors(n.Scale), positions)
	}
	i.normInputGrad = func(dx, dy, x []float32, n *Norm, positions int) {
		a := elemArgs{p: [8]unsafe.Pointer{base(dx), base(dy), base(x), base(n.Scale), base(n.Offset), base(n.Mean), base(n.Slope), base(n.Shift)}}
		channel(n.kernel(channelInputGrad, channelInputGradReLU, channelInputGradAcross, channelInputGradReLUAcross), &a, n.vectors(n.Scale), positions)
	}
	i.softmax = softmaxKernels(kind + 1)
}

// kernel picks the kernel with a ReLU or the one without, and the same with channels in the lanes.
func (n *Norm) kernel(plain, relu, across, reluAcross int) int {
	switch {
	case n.ReLU && n.Across:
		return reluAcross
	case n.Across:
		return across
	case n.ReLU:
		return relu
	}
	return plain
}

func forwardKernel(f model.ActivationFunc) (id int, ok bool) {
	switch f {
	case model.ReLU:
		return elemReLU, true
	case model.Tanh:
		return elemTanh, true
	case model.Sigmoid:
		return elemSigmoid, true
	case model.LeakyReLU:
		return elemLeakyReLU, true
	case model.ELU:
		return elemELU, true
	case model.SiLU:
		return elemSiLU, true
	case model.GELU:
		return elemGELU, true
	case model.Softplus:
		return elemSoftplus, true
	case model.ReLU6:
		return elemReLU6, true
	case model.HardSigmoid:
		return elemHardSigmoid, true
	case model.HardSiLU:
		return elemHardSiLU, true
	case model.Linear, model.Softmax:
	}
	return 0, false
}

func backwardKernel(f model.ActivationFunc) (id int, ok bool) {
	switch f {
	case model.ReLU:
		return elemReLUGrad, true
	case model.Tanh:
		return elemTanhGrad, true
	case model.Sigmoid:
		return elemSigmoidGrad, true
	case model.LeakyReLU:
		return elemLeakyReLUGrad, true
	case model.ELU:
		return elemELUGrad, true
	case model.SiLU:
		return elemSiLUGrad, true
	case model.Softplus:
		return elemSoftplusGrad, true
	case model.GELU:
		return elemGELUGrad, true
	case model.ReLU6:
		return elemReLU6Grad, true
	case model.HardSigmoid:
		return elemHardSigmoidGrad, true
	case model.HardSiLU:
		return elemHardSiLUGrad, true
	case model.Linear, model.Softmax:
	}
	return 0, false
}
