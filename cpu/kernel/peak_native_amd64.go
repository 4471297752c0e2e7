package kernel

import (
	"time"
	"unsafe"
)

// Peak measures the floating-point operations a second, in 10⁹, of one core with these kernels' registers: independent fused multiply-adds, the
// best of several runs within d. 0 for the portable path.
func (k *Kernels) Peak(d time.Duration) float64 {
	run, lanes := peakAVX2, 8.0
	switch k.path {
	case AVX512:
		run, lanes = peakAVX512, 16
	case AVX2:
	case Portable, NEON:
		return 0
	}
	rounds := int64(20000)
	best := 0.0
	for end := time.Now().Add(d); ; {
		start := time.Now()
		run((*byte)(unsafe.Pointer(&rounds)))
		now := time.Now()
		best = max(best, float64(rounds)*12*2*lanes/now.Sub(start).Seconds()/1e9)
		if now.After(end) {
			return best
		}
	}
}
