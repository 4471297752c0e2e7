package cpu

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestBarrier lets workers of different speed meet many times; some leave and come back, and some are late enough for the
// others to fall asleep.
func TestBarrier(t *testing.T) {
	t.Parallel()
	const workers, rounds = 4, 400
	b := newBarrier(workers)
	var done [rounds]atomic.Int32
	var all sync.WaitGroup
	for id := range workers {
		all.Add(1)
		go func() {
			defer all.Done()
			for r := range rounds {
				if r%97 == id {
					time.Sleep(2 * time.Millisecond)
				}
				done[r].Add(1)
				arrival, over := b.arrive()
				if !over && (r+id)%3 == 0 && b.leave(arrival) {
					done[r].Add(1) // what a late worker would have done
					arrival, over = b.arrive()
				}
				if !over && !b.spin(arrival) {
					b.await(arrival)
				}
				if n := done[r].Load(); n < workers {
					t.Errorf("round %d ended when %d of %d workers had arrived", r, n, workers)
					return
				}
			}
		}()
	}
	all.Wait()
}

// TestLateWorkersAreHelped makes a worker hang in its first item: the others do the rest.
func TestLateWorkersAreHelped(t *testing.T) {
	t.Parallel()
	const workers, jobs = 3, 12
	var ran [jobs]atomic.Int32
	hang := make(chan struct{})
	ph := &phase{chunks: 1}
	for i := range jobs {
		ph.jobs = append(ph.jobs, job{cost: 1, parts: []part{{run: func(*worker) {
			if i == 0 {
				<-hang
			}
			ran[i].Add(1)
		}}}})
	}
	ph.deal(1, workers)
	for i := range ph.owners {
		ph.owners[i] = 0 // all of them belong to the worker that hangs
	}
	p := &plan{phases: []*phase{ph}, sets: 1, groups: 1}
	c := newCrew(workers)
	defer c.close()
	go func() {
		for i := 1; i < jobs; i++ {
			for ran[i].Load() == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		close(hang)
	}()
	c.run(func(w *worker) { p.run(w, c.barrier, 1, false, nil) })
	for i := range ran {
		if n := ran[i].Load(); n != 1 {
			t.Errorf("job %d ran %d times", i, n)
		}
	}
}
