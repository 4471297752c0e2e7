//go:build amd64

package kernel

import (
	"testing"
	"unsafe"
)

// TestGemmArguments: the assembly leaves the pointers of its arguments as they are. One that ran on past an array, or from nil, would be
// found on a goroutine's stack by the runtime, which ends the process.
func TestGemmArguments(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		if k.Path() == Portable {
			return
		}
		alike := false
		for _, c := range gemmCases() {
			for _, init := range []Init{Zero, Bias} {
				c.spec.Init = init
				y, x, w, bias, g := c.run(t, k, true, 1)
				if init == Zero {
					bias = nil
				}
				call := newGemmCaller(g, y, x, w, bias)
				call.stage(true, true, g.aux.whole[0].runs)
				for i := range g.aux.blocks {
					b := &g.aux.blocks[i]
					if b.alike < 2 {
						continue
					}
					alike = true
					call.callAlike(b, 0)
					want := [2]unsafe.Pointer{unsafe.Pointer(&w[b.out*g.WOut])}
					if init == Bias {
						want[1] = unsafe.Pointer(&bias[b.out])
					}
					if got := [2]unsafe.Pointer{call.a.w, call.a.bias}; got != want {
						t.Errorf("%s, init %d: the weights and biases of output %d are at %v after the call, want %v", c.name, init, b.out, got, want)
					}
				}
			}
		}
		if !alike {
			t.Error("no case has blocks that are one call")
		}
	})
}
