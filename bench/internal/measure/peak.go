package measure

import (
	"runtime"
	"sync"
	"time"
)

// Peak measures the float32 fused multiply-adds that so many threads do together, at two operations each, in GFLOP/s: independent
// chains in registers that touch no memory. It is the ceiling of any float32 arithmetic on the processor. Each thread runs about d
// after a warm-up of its own; the threads overlap.
func Peak(threads int, d time.Duration) float64 {
	const chunk = 20_000 // loop iterations, some 100 µs
	rates := make([]float64, threads)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(threads)
	for i := range threads {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			fma(chunk)
			ready.Done()
			<-start
			begin, n := time.Now(), 0
			for time.Since(begin) < d {
				fma(chunk)
				n++
			}
			rates[i] = float64(n) * chunk * flopsPerIteration() / time.Since(begin).Seconds() / 1e9
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	return sum
}
