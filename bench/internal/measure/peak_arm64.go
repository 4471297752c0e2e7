package measure

// fma runs the probe's loop: 24 chains of NEON multiply-adds.
//
//go:noescape
func fma(iterations int)

// ProbeName says which instructions Peak runs.
func ProbeName() string { return "NEON" }

func flopsPerIteration() float64 { return 24 * 4 * 2 }
