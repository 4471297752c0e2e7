package kernel

import (
	"unsafe"

	"gcnn/model"
)

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
	setArithmetic(&i, 0)
	setPools(&i, 0)
	i.activate, i.activateGrad = activateNEON, activateGradNEON
	i.addPositions, i.toSamples, i.addLanes = addPositionsNEON, toSamplesNEON, addLanesNEON
	return i
}

// addLanesNEON turns blocks of 16 vectors, so that their lanes are added as vectors.
func addLanesNEON(dst, acc []float32) {
	var t [Lanes * Lanes]float32
	for i := 0; i < len(dst); i += Lanes {
		m := min(Lanes, len(dst)-i)
		toSamplesNEON(t[:], acc[i*Lanes:], m, Lanes, 1)
		for h := Lanes / 2; h > 0; h /= 2 {
			elementwise(elemAdd, &elemArgs{}, 1, t[:h*Lanes], t[:h*Lanes], t[h*Lanes:2*h*Lanes])
		}
		copy(dst[i:i+m], t[:])
	}
}

// The costs are cycles of a core with four multiply-adds of four floats and two loads of 16 bytes a cycle, and four cycles from one sum to
// the next. A core with two multiply-adds, which is less often short of loads, prefers the same tiles.

// neonCost is of a tile: a sum is four registers, as is a position's x.
func neonCost(taps, p, j int) float64 {
	return float64(taps)*max(float64(p*j), float64(4*p+(j+3)/4)/2, 4) + 8 + 1.5*float64(p*j)
}

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

func activateNEON(f model.ActivationFunc, alpha float32, y, x []float32) {
	if f == model.ReLU {
		elementwise(elemReLU, &elemArgs{}, 1, y, x)
		return
	}
	activatePortable(f, alpha, y, x)
}

func activateGradNEON(f model.ActivationFunc, alpha float32, dx, dy, s []float32) {
	if f == model.ReLU {
		elementwise(elemReLUGrad, &elemArgs{}, 1, dx, dy, s)
		return
	}
	activateGradPortable(f, alpha, dx, dy, s)
}

func addPositionsNEON(acc, x []float32, stride, positions int) {
	a := elemArgs{positions: positions, stride: stride * 64}
	for c := 0; c < len(acc); {
		a.p[0], a.p[1] = base(acc[c:]), base(x[c:])
		if len(acc)-c >= 4*Lanes {
			sumPositions4NEON((*byte)(unsafe.Pointer(&a)))
			c += 4 * Lanes
			continue
		}
		sumPositions1NEON((*byte)(unsafe.Pointer(&a)))
		c += Lanes
	}
}

// toSamplesArgs is what the assembly of toSamples reads. The generator knows the offsets.
type toSamplesArgs struct {
	dst, src unsafe.Pointer
	ld, n    int
}

func toSamplesNEON(dst, src []float32, n, ld, positions int) {
	whole := n / 4 * 4
	for p := range positions {
		d, s := dst[p*Lanes*ld:], src[p*n*Lanes:]
		if whole > 0 {
			a := toSamplesArgs{base(d), base(s), ld * 4, n / 4}
			toSamples4NEON((*byte)(unsafe.Pointer(&a)))
		}
		for i := whole; i < n; i++ {
			for l, v := range vec(s, i*Lanes) {
				d[l*ld+i] = v
			}
		}
	}
}
