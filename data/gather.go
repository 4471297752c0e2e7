package data

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

// ErrUnreadable is wrapped by errors about a set whose file can no longer be read: it is used where it lies, and was cut or lost.
var ErrUnreadable = errors.New("the images cannot be read any more")

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
			errs[p] = guarded(s.Name, func() {
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

// guarded runs do, and makes an error of a fault in reading memory that stands for a file: the file has become shorter, or its
// disk fails.
func guarded(name string, do func()) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		switch r := recover().(type) {
		case nil:
		case interface {
			error
			Addr() uintptr // a fault has an address; other errors of the runtime have none
		}:
			err = fmt.Errorf("%s: %w: %w", name, ErrUnreadable, r)
		default:
			panic(r)
		}
	}()
	do()
	return nil
}
