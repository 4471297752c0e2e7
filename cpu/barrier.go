package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// barrier lets a fixed number of workers meet. The state and the sleepers lie on cache lines of their own.
type barrier struct {
	workers uint64
	_       [56]byte
	state   atomic.Uint64 // the round, shifted, and how many have arrived
	_       [56]byte
	asleep  atomic.Int32
	lock    sync.Mutex
	wake    sync.Cond
}

// roundShift is where the round begins in a barrier's state.
const roundShift = 16

func newBarrier(workers int) *barrier {
	b := &barrier{workers: uint64(workers)}
	b.wake.L = &b.lock
	return b
}

// arrive says that a worker is done. The round is over where it is the last.
func (b *barrier) arrive() (round uint64, over bool) {
	s := b.state.Add(1)
	round = s >> roundShift
	if s&(1<<roundShift-1) < b.workers {
		return round, false
	}
	b.state.Store((round + 1) << roundShift)
	if b.asleep.Load() > 0 {
		b.lock.Lock()
		b.wake.Broadcast()
		b.lock.Unlock()
	}
	return round, true
}

// over reports whether a round is over.
func (b *barrier) over(round uint64) bool { return b.state.Load()>>roundShift != round }

// spin waits for the end of a round for a short time, and reports whether it came.
func (b *barrier) spin(round uint64) bool {
	for range spins {
		if b.over(round) {
			return true
		}
		pause(1)
	}
	return b.over(round)
}

// await waits for the end of a round.
func (b *barrier) await(round uint64) {
	for i := range yields {
		if b.over(round) {
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
	for !b.over(round) {
		b.wake.Wait()
	}
	b.asleep.Add(-1)
	b.lock.Unlock()
}

// wait returns when every worker has called it. What a worker wrote before is seen by all after.
func (b *barrier) wait() {
	if round, over := b.arrive(); !over && !b.spin(round) {
		b.await(round)
	}
}
