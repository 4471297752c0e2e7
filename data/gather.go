package data

import (
	"errors"
	"runtime"
	"sync"
)

// gatherBytes is about what one goroutine copies.
const gatherBytes = 1 << 20

// Gather copies samples lo to hi of an order (nil: the set's own) one after another into pixels or floats, whichever the set
// has, and into labels, unless that is nil. Large copies use several cores.
func (s *Set) Gather(order []int32, lo, hi int, pixels []uint8, floats []float32, labels []uint16) error {
	size := s.ImageSize()
	bytes := (hi - lo) * size
	if s.Floats != nil {
		bytes *= 4
	}
	parts := max(1, min(bytes/gatherBytes, runtime.GOMAXPROCS(0), 8))
	errs := make([]error, parts)
	var wg sync.WaitGroup
	for p := range parts {
		from, to := lo+(hi-lo)*p/parts, lo+(hi-lo)*(p+1)/parts
		wg.Go(func() {
			errs[p] = s.Reading(func() {
				for i := from; i < to; i++ {
					k, at := i, (i-lo)*size
					if order != nil {
						k = int(order[i])
					}
					if s.Floats != nil {
						copy(floats[at:at+size], s.FloatImage(k))
					} else {
						copy(pixels[at:at+size], s.Image(k))
					}
					if labels != nil {
						labels[i-lo] = s.Labels[k]
					}
				}
			})
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
