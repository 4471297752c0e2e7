package kernel

import (
	"math"
	"unsafe"
)

// linesArgs is what the assembly of the transforms reads; strides are in bytes. The generator knows the offsets.
type linesArgs struct {
	in                [WinogradPatch]unsafe.Pointer
	out               unsafe.Pointer
	stride            int
	n, outer          int
	inOuter, outOuter int // outOuter: from the end of a line to the start of the next
	bias              unsafe.Pointer
	least             [2]float32 // the bound from below
	biasStep          int
}

// setWinograd installs the transforms; off is the path's first.
func setWinograd(i *implementation, off int) {
	i.winograd = func(w Winograd, l Lines) {
		var zero float32
		a := linesArgs{
			out: base(l.Out), stride: l.OutStride * 64, n: l.N * 64, outer: l.Outer, inOuter: l.InOuter * 64,
			outOuter: (l.OutOuter - l.N) * 64, bias: unsafe.Pointer(&zero), least: [2]float32{float32(math.Inf(-1))},
		}
		for j := range winogradLines[w].in {
			a.in[j] = base(l.In[j])
		}
		if l.Bias != nil {
			a.bias, a.biasStep = base(l.Bias), 4
		}
		if l.ReLU {
			a.least[0] = 0
		}
		winogradCall(off+int(w), (*byte)(unsafe.Pointer(&a)))
	}
}
