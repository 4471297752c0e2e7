package kernel

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// nativePaths lists what this processor runs, the fastest first.
func nativePaths() []Path {
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
		return nil
	}
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL {
		return []Path{AVX512, AVX2}
	}
	return []Path{AVX2}
}

func implementationOf(p Path) implementation {
	i := portable()
	switch p {
	case AVX2:
		i.planGemm = func(g *Gemm) gemmPlan { return planJoined(g, pickTiles(g, gemmAVX2, gemmAVX2Strided), avx2Cost) }
		i.planLanes = func(g *GradLanes) gradPlan { return planLanes(g, gradLanesAVX2Tiles, gradCost) }
		i.planOuter = func(g *GradOuter) gradPlan { return planOuter(g, gradOuterAVX2Tiles, 8, gradCost) }
		i.gradLanes, i.gradOuter = gradLanesAVX2, gradOuterAVX2
		i.planPositions = func(g *GradPositions) gradPlan { return planPositions(g, gradPositionsAVX2Tiles, 8) }
		i.gradPositions = gradPositionsAVX2
		i.outputs = func(o *Outputs) outputsFunc { return planOutputs(o, 8, outputsAVX2, outputsAVX2Masked).run }
		i.depthwise = func(d *Depthwise) outputsFunc { return planDepthwise(d, 8, depthwiseAVX2).run }
		setUpdates(&i, 8, map[Rule][]gradTile{Adam: gradUpdateAdamAVX2, RMSprop: gradUpdateRMSpropAVX2})
		setElementwise(&i, 0)
		setPools(&i, 0)
		setActivatedPools(&i, 0)
		setWindows(&i, gemmAVX2Window, gemmAVX2WindowRuns, avx2Cost)
		setWindowGrads(&i, windowGradAVX2Tiles, unsafe.Pointer(&windowGradMasks), 2)
		setWinograd(&i, 0)
		setLRN(&i, 0)
	case AVX512:
		i.planGemm = func(g *Gemm) gemmPlan { return planJoined(g, pickTiles(g, gemmAVX512, gemmAVX512Strided), avx512Cost) }
		i.planLanes = func(g *GradLanes) gradPlan { return planLanes(g, gradLanesAVX512Tiles, gradCost) }
		i.planOuter = func(g *GradOuter) gradPlan { return planOuter(g, gradOuterAVX512Tiles, 16, gradCost) }
		i.gradLanes, i.gradOuter = gradLanesAVX512, gradOuterAVX512
		i.planPositions = func(g *GradPositions) gradPlan { return planPositions(g, gradPositionsAVX512Tiles, 16) }
		i.gradPositions = gradPositionsAVX512
		i.outputs = func(o *Outputs) outputsFunc { return planOutputs(o, Lanes, outputsAVX512, outputsAVX512Masked).run }
		i.depthwise = func(d *Depthwise) outputsFunc { return planDepthwise(d, Lanes, depthwiseAVX512).run }
		setUpdates(&i, 16, map[Rule][]gradTile{Adam: gradUpdateAdamAVX512, RMSprop: gradUpdateRMSpropAVX512})
		setElementwise(&i, 1)
		setPools(&i, 1)
		setActivatedPools(&i, 1)
		setWindows(&i, gemmAVX512Window, nil, avx512Cost)
		setWindowGrads(&i, windowGradAVX512Tiles, unsafe.Pointer(&windowGradIndices), 1)
		setWinograd(&i, int(winograds))
		setLRN(&i, lrnKinds)
	case Portable, NEON:
		return i
	}
	i.gemm, i.toSamples, i.transpose, i.gatherBytes, i.addLanes = gemmNative, toSamplesNative, transposeNative, gatherBytesNative, addLanesNative
	return i
}

func planJoined(g *Gemm, tiles []gemmTile, cost func(taps, p, j int) float64) gemmPlan {
	p := planGemm(g, tiles, cost)
	p.join()
	return p
}

func pickTiles(g *Gemm, unit, strided []gemmTile) []gemmTile {
	if g.WOut == 1 {
		return unit
	}
	return strided
}

// sumCycles is the cycles from one tap to the next of so many sums: two multiply-adds a cycle, and more where the sums are too few for the
// latency of four. It is measured: eight sums do not fill eight places.
func sumCycles(n int) float64 { return max(float64(n)/2, 2.65+0.28*float64(n)) }

// avx2Cost is the cycles of a tile: of its taps, with two loads a cycle, and of its beginning and end. Tiles of more than two positions
// pass twice, once for each half of the lanes.
func avx2Cost(taps, p, j int) float64 {
	if p > 2 {
		return 2 * (float64(taps)*max(sumCycles(p*j), float64(p+j)/2) + 2 + float64(p))
	}
	return float64(taps)*max(sumCycles(2*p*j), float64(2*p+j)/2) + 2 + float64(p)
}

// avx512Cost is the same for one register of 16 lanes. A store takes a cycle, and the more sums a tile has the less of the next one's
// begins meanwhile.
func avx512Cost(taps, p, j int) float64 {
	return float64(taps)*(max(sumCycles(p*j), float64(p+j)/2)+0.05*float64(p)) + float64(p*j*p*j)/14
}

// gradCost is the cycles of a position, or of a sample, for a tile of the weight gradients.
func gradCost(t, j int) float64 { return max(float64(t*j)/2, float64(t+j)/2, 4) }
