package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// gate counts the phases that a plan has passed. A phase is over when all of its items are done, whoever did them: a worker that
// lost its core in the meantime holds up nobody, unless it lost it inside an item.
type gate struct {
	place  atomic.Uint64 // of the running phase, counted over all steps
	_      [56]byte
	done   atomic.Int32 // items of it
	_      [60]byte
	asleep atomic.Int32
	lock   sync.Mutex
	wake   sync.Cond
}

// passed reports whether the phase at a place is over.
func (g *gate) passed(place uint64) bool { return g.place.Load() > place }

// finish says that one of so many items of the phase at place is done. Whoever does the last lets all others on.
func (g *gate) finish(place uint64, items int) {
	if int(g.done.Add(1)) < items {
		return
	}
	g.done.Store(0)
	g.place.Store(place + 1)
	if g.asleep.Load() > 0 {
		g.lock.Lock()
		g.wake.Broadcast()
		g.lock.Unlock()
	}
}

// How a worker waits for the end of a phase: in a spin loop, at first without help for others who are only just late, then giving
// its core away between looks, then asleep. A core that is given away to a process that computes comes back after milliseconds, so
// that it spins through the time of an item and offers the core only when its turn is over; not so where workers share cores.
const (
	early    = 20  // pauses until it takes items of a worker that has not begun the phase
	spins    = 400 // of a pause and a look each, some 20 µs: until it takes those of any
	patience = 500 * time.Microsecond
	yields   = 50
)

// sleep returns when the phase at place is over.
func (g *gate) sleep(place uint64) {
	for i := range yields {
		if g.passed(place) {
			return
		}
		if i%8 == 7 {
			runtime.Gosched() // for workers that share a thread's turn
		} else {
			osYield()
		}
	}
	g.lock.Lock()
	g.asleep.Add(1)
	for !g.passed(place) {
		g.wake.Wait()
	}
	g.asleep.Add(-1)
	g.lock.Unlock()
}

// late reports whether the worker's items of the phase at place are for others to take, who have waited for so many spins: at once
// where it has offered its core or is more than a phase behind.
func (w *worker) late(place uint64, waited int) bool {
	if waited >= spins || w.away.Load() {
		return true
	}
	at := w.place.Load()
	return at+1 < place || at < place && waited >= early
}

// turn is how long a worker computes before it offers its core to other processes, between two items. Whoever waits for the core
// would else take it at any time, also inside an item that others need. glance is the floating-point operations between two looks at
// the clock, some 20 to 50 µs of work.
const (
	turn   = 500 * time.Microsecond
	glance = 1 << 21
)

// offer lets other processes have the core where the worker, which holds no item, has had it for a turn.
func (w *worker) offer(now time.Duration) {
	if now-w.offered > turn {
		w.away.Store(true)
		osYield()
		w.away.Store(false)
		w.offered = time.Since(epochStart)
	}
}

// epochStart is a moment that times are measured from.
var epochStart = time.Now()
