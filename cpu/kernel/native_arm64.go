package kernel

// nativePaths lists what this processor runs: every arm64 processor has the vector instructions.
func nativePaths() []Path { return []Path{NEON} }

func implementationOf(p Path) implementation {
	i := portable()
	if p != NEON {
		return i
	}
	i.gemm = gemmNative
	i.planGemm = func(g *Gemm) gemmPlan {
		tiles := gemmNEON
		if g.WOut != 1 {
			tiles = gemmNEONStrided
		}
		return planGemm(g, tiles, neonCost)
	}
	i.planLanes = func(g *GradLanes) gradPlan { return planLanes(g, gradLanesNEONTiles, neonLanesCost) }
	i.planOuter = func(g *GradOuter) gradPlan { return planOuter(g, gradOuterNEONTiles, 4, neonOuterCost) }
	i.gradLanes, i.gradOuter = gradLanesNEON, gradOuterNEON
	return i
}

// The costs are cycles of a core with four multiply-adds of four floats and two loads of 16 bytes a cycle, and four cycles from one sum to
// the next. A core with two multiply-adds, which is less often short of loads, prefers the same tiles.

// neonCost is of a tap: a sum is four registers, as is a position's x.
func neonCost(p, j int) float64 { return max(float64(p*j), float64(4*p+(j+3)/4)/2, 4) }

// neonLanesCost is of a position, twice for the halves of its lanes.
func neonLanesCost(t, j int) float64 { return 2 * max(float64(t*j)/2, float64(t+j), 4) }

// neonOuterCost is of a sample; a register of x serves four samples.
func neonOuterCost(t, j int) float64 { return max(float64(t*j)/4, (float64(t)/4+float64(j))/2, 4) }

func gradLanesNEON(g *GradLanes, acc, x, dy []float32, rows int) {
	gradLanesNative(g, acc, x, dy, rows, 2)
}

func gradOuterNEON(g *GradOuter, dw, x, dy []float32, rows int, add bool) {
	gradOuterNative(g, dw, x, dy, rows, add, true)
}

func expShifted(_ int, e, z []float32, max, sum *[Lanes]float32) { expShiftedPortable(e, z, max, sum) }
