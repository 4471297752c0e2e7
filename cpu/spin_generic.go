//go:build !amd64 && !arm64

package cpu

// pause passes a moment in a spin loop; the other processors have an instruction for it.
func pause(n int) {
	for range n {
	}
}

// prefetch asks for cache lines where the processor has an instruction for it.
func prefetch(*uint8, int) {}
