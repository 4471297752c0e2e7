//go:build !amd64 && !arm64

package measure

// ProbeName says which instructions Peak runs.
func ProbeName() string { return "scalar Go" }

func fma(iterations int) { fmaGo(iterations) }

func flopsPerIteration() float64 { return goFlops }
