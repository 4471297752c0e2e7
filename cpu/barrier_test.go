package cpu

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestBarrier lets workers of different speed meet many times; some are late enough for the others to fall asleep.
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
	ph.deal(workers)
	for i := range ph.owners {
		ph.owners[i] = 0 // all of them belong to the worker that hangs
	}
	p := &plan{phases: []*phase{ph}}
	c := newCrew(workers)
	p.allocate(c)
	defer c.close()
	go func() {
		for i := 1; i < jobs; i++ {
			for ran[i].Load() == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		close(hang)
	}()
	c.run(func(w *worker) { p.run(w, 1, false, nil) })
	for i := range ran {
		if n := ran[i].Load(); n != 1 {
			t.Errorf("job %d ran %d times", i, n)
		}
	}
}

// TestAbsentWorkersAreNotWaitedFor keeps a worker away from some steps: the others take its items and go on, and what it finds when
// it comes back is done.
func TestAbsentWorkersAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	const workers, jobs, phases, steps = 3, 7, 4, 50
	var ran [steps][phases][jobs]atomic.Int32
	step := make([]int, workers)
	p := &plan{}
	for k := range phases {
		ph := &phase{chunks: 1}
		for i := range jobs {
			ph.jobs = append(ph.jobs, job{shard: i, of: jobs, parts: []part{{run: func(w *worker) {
				if k > 0 {
					for j := range jobs {
						if ran[step[w.id]][k-1][j].Load() != 1 {
							t.Errorf("step %d: phase %d begins before job %d of the last is done", step[w.id], k, j)
						}
					}
				}
				ran[step[w.id]][k][i].Add(1)
			}}}})
		}
		ph.deal(workers)
		p.phases = append(p.phases, ph)
	}
	c := newCrew(workers)
	defer c.close()
	p.allocate(c)
	back := make(chan struct{})
	var gone atomic.Int32
	c.run(func(w *worker) {
		for s := range steps {
			step[w.id] = s
			if s == 10 && w.id == 1 {
				<-back
			}
			p.run(w, uint64(s)+1, false, nil)
			if s == 40 && w.id != 1 && gone.Add(1) == workers-1 {
				close(back)
			}
		}
	})
	for s := range steps {
		for k := range phases {
			for i := range jobs {
				if n := ran[s][k][i].Load(); n != 1 {
					t.Errorf("step %d, phase %d: job %d ran %d times", s, k, i, n)
				}
			}
		}
	}
}
