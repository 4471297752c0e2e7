//go:build !amd64 && !arm64

package kernel

// gemmPlan is what a path prepares for a Gemm.
type gemmPlan struct{}

// gradPlan is what a path prepares for a weight gradient.
type gradPlan struct{}

func nativePaths() []Path { return nil }

func implementationOf(Path) implementation { return portable() }

func expShifted(_ int, e, z []float32, max, sum *[Lanes]float32) { expShiftedPortable(e, z, max, sum) }
