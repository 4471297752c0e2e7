//go:build !amd64 && !arm64

package kernel

// gemmPlan is what a path prepares for a Gemm.
type gemmPlan struct{}

// gradPlan is what a path prepares for a weight gradient.
type gradPlan struct{}

func nativePaths() []Path { return nil }

func implementationOf(Path) implementation { return portable() }
