package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// How long a worker waits at a barrier in each way before it goes on to the next: in a spin loop (a few tens of microseconds,
// longer than workers of an even split differ), giving its core away between looks, then asleep.
const (
	spins      = 4000
	spinPauses = 1
	yields     = 50
)

// barrier lets a fixed number of workers meet. Its fields lie on cache lines of their own: arrived is written by everyone
// while round is watched by everyone.
type barrier struct {
	workers int32
	_       [60]byte
	arrived atomic.Int32
	_       [60]byte
	round   atomic.Uint32
	_       [60]byte
	asleep  atomic.Int32
	lock    sync.Mutex
	wake    sync.Cond
}

func newBarrier(workers int) *barrier {
	b := &barrier{workers: int32(workers)}
	b.wake.L = &b.lock
	return b
}

// wait returns when every worker has called it. What a worker wrote before is seen by all after.
func (b *barrier) wait() {
	if b.workers == 1 {
		return
	}
	round := b.round.Load()
	if b.arrived.Add(1) == b.workers {
		b.arrived.Store(0)
		b.round.Add(1)
		if b.asleep.Load() > 0 {
			b.lock.Lock()
			b.wake.Broadcast()
			b.lock.Unlock()
		}
		return
	}
	for range spins {
		if b.round.Load() != round {
			return
		}
		pause(spinPauses)
	}
	for i := range yields {
		if b.round.Load() != round {
			return
		}
		if i%8 == 7 {
			runtime.Gosched() // for workers that share a thread's turn
		} else {
			osYield()
		}
	}
	b.lock.Lock()
	b.asleep.Add(1)
	for b.round.Load() == round {
		b.wake.Wait()
	}
	b.asleep.Add(-1)
	b.lock.Unlock()
}
