//go:build amd64 || arm64

package kernel

import "unsafe"

// elemArgs is what the assembly of the elementwise loops reads. The generator knows the offsets.
type elemArgs struct {
	p                    [8]unsafe.Pointer
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

// setArithmetic installs the loops that every path has; off is the path's first kernel.
func setArithmetic(i *implementation, off int) {
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
}

var ruleKernels = [...]int{SGD: elemSGD, Momentum: elemMomentum, Nesterov: elemNesterov, Adam: elemAdam, RMSprop: elemRMSprop, RMSpropMomentum: elemRMSpropMomentum}
