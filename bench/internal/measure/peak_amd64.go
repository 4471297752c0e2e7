package measure

import (
	"os"

	"golang.org/x/sys/cpu"
)

//go:noescape
func fmaAVX512(iterations int)

//go:noescape
func fmaAVX2(iterations int)

// GCNN_CPU bounds what gcnn's kernels use, and so the peak that they are compared with.
var (
	bound     = os.Getenv("GCNN_CPU")
	hasAVX512 = cpu.X86.HasAVX512F && bound != "avx2" && bound != "portable"
	hasAVX2   = cpu.X86.HasAVX2 && cpu.X86.HasFMA && bound != "portable"
)

// ProbeName says which instructions Peak runs.
func ProbeName() string {
	switch {
	case hasAVX512:
		return "AVX-512"
	case hasAVX2:
		return "AVX2"
	}
	return "scalar Go"
}

func fma(iterations int) {
	switch {
	case hasAVX512:
		fmaAVX512(iterations)
	case hasAVX2:
		fmaAVX2(iterations)
	default:
		fmaGo(iterations)
	}
}

func flopsPerIteration() float64 {
	switch {
	case hasAVX512:
		return 12 * 16 * 2
	case hasAVX2:
		return 12 * 8 * 2
	}
	return goFlops
}
