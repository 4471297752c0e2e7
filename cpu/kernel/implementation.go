package kernel

import "gcnn/model"

// implementation is the table of one path. Arguments are checked before.
type implementation struct {
	gemm           gemmFunc
	planGemm       func(g *Gemm) gemmPlan
	window         func(w *Window, y []float32, arg []uint8, x, weights, bias []float32, rows int)
	planWindow     func(g *Gemm) gemmPlan // nil where windows have no kernels of their own
	windowGrad     func(g *WindowGrad, acc, bias, x, dy []float32, arg []uint8, rows int)
	planWindowGrad func(g *WindowGrad) windowGradPlan // nil where it has no kernels of its own
	outputs        func(o *Outputs) outputsFunc
	depthwise      func(d *Depthwise) outputsFunc
	planLanes      func(g *GradLanes) gradPlan
	planOuter      func(g *GradOuter) gradPlan
	gradLanes      func(g *GradLanes, acc, x, dy []float32, rows int)
	gradOuter      func(g *GradOuter, dw, x, dy []float32, rows int, add bool)
	gradUpdate     func(g *GradOuter, u *Update, w, dw, s1, s2, x, dy []float32) bool // false where it does not
	planUpdate     func(g *GradOuter) []updateColumn                                  // nil where there is no gradUpdate
	planPositions  func(g *GradPositions) gradPlan
	gradPositions  func(g *GradPositions, dw, x, dy []float32, rows int)
	addLanes       func(dst, acc []float32)
	sumShards      func(dst, parts []float32, shards, stride int)
	update         func(u *Update, w, g, s1, s2 []float32)
	sumSquares     func(s *[Lanes]float64, x []float32)
	toSamples      func(dst, src []float32, n, ld, positions int)
	transpose      func(dst, src []float32, rows, cols, to, from int)
	gatherFloats   func(dst, images []float32, size, lo, hi int, index *[Lanes]int32)
	gatherBytes    func(dst []float32, images []byte, size, lo, hi int, index *[Lanes]int32, norm *Normalizer)
	planPool       func(p *Pool) poolPlan
	maxPool        func(p *Pool, y []float32, arg []uint8, x []float32, rows int)
	maxPoolGrad    func(p *Pool, dx, dy []float32, arg []uint8, rows int, add bool)
	avgPool        func(p *Pool, y, x []float32, rows int)
	avgPoolGrad    func(p *Pool, dx, dy []float32, rows int, add bool)
	averageOf      bool // the next two are one pass each
	avgPoolOf      func(p *Pool, f model.ActivationFunc, y, x []float32, rows int)
	avgPoolGradOf  func(p *Pool, f model.ActivationFunc, dx, dy, s []float32, rows int)
	activate       func(f model.ActivationFunc, alpha float32, y, x []float32)
	activateGrad   func(f model.ActivationFunc, alpha float32, dx, dy, s []float32)
	softmaxGrad    func(dx, dy, y []float32, n, positions int)
	softmax        softmaxKernels
	addPositions   func(acc, x []float32, stride, positions int)
	add, mul       func(dst, a, b []float32)
	scale          func(dst, a []float32, s float32)
	addSquares     func(acc, x []float32, n *Norm, positions int)
	affine         func(y, x []float32, n *Norm, positions int)
	normGrads      func(sums, products, dy, x []float32, n *Norm, positions int)
	normInputGrad  func(dx, dy, x []float32, n *Norm, positions int)
	lrn            func(y, x, scratch []float32, n *LRN, positions int)
	lrnGrad        func(dx, dy, x, scratch []float32, n *LRN, positions int)
	winograd       func(w Winograd, l Lines)
}

func portable() implementation {
	return implementation{
		gemm:          gemmPortable,
		planGemm:      func(*Gemm) gemmPlan { return gemmPlan{} },
		window:        windowPortable,
		windowGrad:    windowGradPortable,
		outputs:       outputsPortable,
		depthwise:     depthwisePortable,
		planLanes:     func(*GradLanes) gradPlan { return gradPlan{} },
		planOuter:     func(*GradOuter) gradPlan { return gradPlan{} },
		gradLanes:     gradLanesPortable,
		gradOuter:     gradOuterPortable,
		planPositions: func(*GradPositions) gradPlan { return gradPlan{} },
		gradPositions: gradPositionsPortable,
		addLanes:      addLanesPortable,
		sumShards:     sumShardsPortable,
		update:        updatePortable,
		sumSquares:    sumSquaresPortable,
		toSamples:     toSamplesPortable,
		transpose:     transposePortable,
		gatherFloats:  gatherFloatsPortable,
		gatherBytes:   gatherBytesPortable,
		planPool:      func(*Pool) poolPlan { return poolPlan{} },
		maxPool:       maxPoolPortable[uint8],
		maxPoolGrad:   maxPoolGradPortable[uint8],
		avgPool:       avgPoolPortable,
		avgPoolGrad:   avgPoolGradPortable,
		avgPoolOf:     avgPoolOfPortable,
		avgPoolGradOf: avgPoolGradOfPortable,
		activate:      activatePortable,
		activateGrad:  activateGradPortable,
		softmaxGrad:   softmaxGradPortable,
		addPositions:  addPositionsPortable,
		add:           addPortable,
		mul:           mulPortable,
		scale:         scalePortable,
		addSquares:    addSquaresPortable,
		affine:        affinePortable,
		normGrads:     normGradsPortable,
		normInputGrad: normInputGradPortable,
		lrn:           lrnPortable,
		lrnGrad:       lrnGradPortable,
		winograd:      winogradPortable,
	}
}
