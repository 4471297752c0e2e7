package kernel

import (
	"unsafe"

	"gcnn/model"
)

// elemArgs is what the assembly of the elementwise loops reads. The generator knows the offsets.
type elemArgs struct {
	p                    [6]unsafe.Pointer
	n, positions, stride int
	f                    [8]float32
}

func base(s []float32) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// elementwise runs kernel id over the slices of p, all of one length; the first write of them are written. A rest of less than a
// vector goes through copies of 16 floats.
func elementwise(id int, args *elemArgs, write int, p ...[]float32) {
	a := *args // its own copy, so that the rest stays on the stack
	n := len(p[0])
	if a.n = n / Lanes; a.n > 0 {
		for i, s := range p {
			a.p[i] = base(s)
		}
		elemCall(id, (*byte)(unsafe.Pointer(&a)))
	}
	if n%Lanes == 0 {
		return
	}
	var rest [4][Lanes]float32
	whole := n / Lanes * Lanes
	for i, s := range p {
		copy(rest[i][:], s[whole:n])
		a.p[i] = unsafe.Pointer(&rest[i])
	}
	a.n = 1
	elemCall(id, (*byte)(unsafe.Pointer(&a)))
	for i := range p {
		if i == 0 || i >= 2 && write > 1 { // an update also writes its slots
			copy(p[i][whole:n], rest[i][:])
		}
	}
}

// setElementwise installs the loops; kind is 0 for AVX2 and 1 for AVX-512.
func setElementwise(i *implementation, kind int) {
	off, chOff := kind*elemKinds, kind*channelKinds
	i.add = func(dst, a, b []float32) { elementwise(off+elemAdd, &elemArgs{}, 1, dst, a, b) }
	i.mul = func(dst, a, b []float32) { elementwise(off+elemMul, &elemArgs{}, 1, dst, a, b) }
	i.scale = func(dst, a []float32, s float32) {
		elementwise(off+elemScale, &elemArgs{f: [8]float32{s}}, 1, dst, a)
	}
	i.update = func(u *Update, w, g, s1, s2 []float32) {
		a := elemArgs{f: [8]float32{u.Rate, u.Mu, u.Rho, u.C1, u.C2, u.Epsilon, u.Decay, u.Scale}}
		switch u.Rule.Slots() {
		case 0:
			elementwise(off+elemSGD, &a, 1, w, g)
		case 1:
			elementwise(off+ruleKernels[u.Rule], &a, 2, w, g, s1)
		default:
			elementwise(off+ruleKernels[u.Rule], &a, 2, w, g, s1, s2)
		}
	}
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
	i.sumShards = func(dst, parts []float32, shards, stride int) {
		for c := 0; c < len(dst); c += 2048 {
			d := dst[c:min(c+2048, len(dst))]
			if shards == 1 {
				copy(d, parts[c:])
				continue
			}
			elementwise(off+elemAdd, &elemArgs{}, 1, d, parts[c:][:len(d)], parts[c+stride:][:len(d)])
			for s := 2; s < shards; s++ {
				elementwise(off+elemAdd, &elemArgs{}, 1, d, d, parts[c+s*stride:][:len(d)])
			}
		}
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
	i.addSquares = func(acc, x, mean []float32, positions int) {
		a := elemArgs{p: [6]unsafe.Pointer{base(acc), base(x), base(mean)}}
		channel(channelSquares, &a, len(mean), positions)
	}
	i.addProducts = func(acc, dy, x, mean []float32, positions int) {
		a := elemArgs{p: [6]unsafe.Pointer{base(acc), base(dy), base(x), base(mean)}}
		channel(channelProducts, &a, len(mean), positions)
	}
	i.affine = func(y, x, scale, shift []float32, positions int) {
		a := elemArgs{p: [6]unsafe.Pointer{base(y), base(x), base(scale), base(shift)}}
		channel(channelAffine, &a, len(scale), positions)
	}
	i.combine = func(dx, dy, x, c, b, d []float32, positions int) {
		a := elemArgs{p: [6]unsafe.Pointer{base(dx), base(dy), base(x), base(c), base(b), base(d)}}
		channel(channelCombine, &a, len(c), positions)
	}
	i.exp = kind + 1
}

// expShifted computes e = e^(z−max), in vectors, and adds to sum. kind is implementation.exp: a direct call, so that nothing escapes.
func expShifted(kind int, e, z []float32, max, sum *[Lanes]float32) {
	if kind == 0 {
		expShiftedPortable(e, z, max, sum)
		return
	}
	if len(z) > 0 {
		a := elemArgs{p: [6]unsafe.Pointer{base(e), base(z), unsafe.Pointer(max), unsafe.Pointer(sum)}, n: len(z) / Lanes}
		channelCall((kind-1)*channelKinds+channelExp, (*byte)(unsafe.Pointer(&a)))
	}
}

var ruleKernels = [...]int{SGD: elemSGD, Momentum: elemMomentum, Nesterov: elemNesterov, Adam: elemAdam, RMSprop: elemRMSprop, RMSpropMomentum: elemRMSpropMomentum}

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
	case model.Linear, model.Softmax, model.GELU, model.Softplus:
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
	case model.Linear, model.Softmax, model.GELU:
	}
	return 0, false
}
