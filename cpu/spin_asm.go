//go:build amd64 || arm64

package cpu

// pause tells the core n times, n ≥ 1, that it is in a spin loop.
//
//go:noescape
func pause(n int)
