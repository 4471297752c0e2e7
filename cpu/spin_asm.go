//go:build amd64 || arm64

package cpu

// pause tells the core n times, n ≥ 1, that it is in a spin loop.
//
//go:noescape
func pause(n int)

// prefetch asks for lines ≥ 1 cache lines from p on; it waits for none and faults on none.
//
//go:noescape
func prefetch(p *uint8, lines int)
