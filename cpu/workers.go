package cpu

import (
	"cmp"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"gcnn/cpu/kernel"
)

// worker is one of the goroutines that compute. Worker 0 is the goroutine that called the program.
type worker struct {
	id          int
	step        step
	set, chunk  int  // of groups, and of the task, that are being worked on
	first, last bool // this group is the first of its set, the last of it in this step
	scores      kernel.Scores
	clipped     kernel.Update
	flush       kernel.Flush
	labels      [kernel.Lanes]int32
	index       [kernel.Lanes]int32
	times       []time.Duration // spent in each task, where that is asked for
	offered     time.Duration   // when the core was offered to others
	worked      int64           // floating-point operations since it looked whether it is time to
	fault       error           // of reading images
	_           [64]byte
	place       atomic.Uint64 // of the phase that it has come to
	away        atomic.Bool   // it has offered its core, and holds no item
	_           [64]byte
}

// timed runs a task and notes how long it took.
func (w *worker) timed(task int, f func()) {
	for len(w.times) <= task {
		w.times = append(w.times, 0)
	}
	start := time.Now()
	f()
	w.times[task] += time.Since(start)
}

// crew is the long-lived workers of a program. They sleep between calls of run.
type crew struct {
	workers []*worker
	barrier *barrier
	start   []chan func(*worker) // of the workers from 1 on
	done    sync.WaitGroup       // of the running call
	gone    sync.WaitGroup       // of the goroutines
}

func newCrew(n int) *crew {
	c := &crew{barrier: newBarrier(n)}
	for id := range n {
		w := &worker{id: id}
		c.workers = append(c.workers, w)
		if id == 0 {
			continue
		}
		start := make(chan func(*worker))
		c.start = append(c.start, start)
		c.gone.Add(1)
		go func() {
			defer c.gone.Done()
			for f := range start {
				flushed(w, f)
				c.done.Done()
			}
		}()
	}
	return c
}

// flushed runs f with subnormal numbers flushed to zero, which is a state of the thread.
func flushed(w *worker, f func(*worker)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w.flush = kernel.FlushSubnormals()
	defer func() { w.flush.Restore() }()
	f(w)
}

// run lets every worker call f, and returns when all have.
func (c *crew) run(f func(*worker)) {
	c.done.Add(len(c.start))
	for _, start := range c.start {
		start <- f
	}
	flushed(c.workers[0], f)
	c.done.Wait()
}

// alone lets the caller's goroutine call f as worker 0; the others sleep on.
func (c *crew) alone(f func(*worker)) { flushed(c.workers[0], f) }

// fault is what went wrong with reading images since the last call. All workers are past reading.
func (c *crew) fault() (err error) {
	for _, w := range c.workers {
		err = cmp.Or(err, w.fault)
		w.fault = nil
	}
	return err
}

// close ends the goroutines.
func (c *crew) close() {
	for _, start := range c.start {
		close(start)
	}
	c.gone.Wait()
}
