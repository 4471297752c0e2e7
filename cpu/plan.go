package cpu

import (
	"sync/atomic"
	"time"

	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/device/backend"
	"gcnn/model"
)

// maxSets is the number of sets of groups whose partial weight gradients are kept apart: a constant, so that sums have one
// order whatever the number of workers.
const maxSets = 8

// plan is a network compiled for one purpose: phases that are run in order: one begins when all items of the last are done.
type plan struct {
	phases  []*phase
	tasks   []device.Task // all of them, in order; a task's index counts here
	buffers []*buffer
	words   int // of all buffers

	batch    int
	division // of the batch in groups of 16 samples

	steps    int64  // that were profiled
	round    uint64 // of the claims, that was taken last
	gate     gate
	patience time.Duration // of workers at the gate
	closing  claim         // of the end of a step
	workers  []*worker
	prologue []func()  // run before the first step of a call
	vals     []*buffer // by slot: outputs
	grads    backend.Gradients[buffer]
	output   *buffer // of the last layer
	packed   *buffer // the input of a plan with channels in the lanes, where those lie without padding

	losses []kernel.Scores // by group
	norms  []float64       // Σ of the squares of the gradients, in shards
}

// division is a batch in groups of 16 samples, or of single samples where the lanes are channels, and the groups in sets.
type division struct{ groups, sets int }

// phase is either a chain of tasks that each group of samples passes through, or jobs that need all groups and can run in any
// order.
//
// An item of a chain is a set of groups, which one worker takes through all tasks while what they pass on is in its own cache.
// Where there are too few sets for the workers, a plan is spread: every chain has one task, and its items are the chunks of the
// task in every set.
type phase struct {
	division      // of a chain
	single   bool // the groups are single samples
	chain    []chainTask
	cost     int64 // of an item of the chain, in floating-point operations
	jobs     []job
	chunks   int   // of an item: 1, or in a spread plan those of the task
	owners   []int // of each item: the worker that takes it unless another is idle
	claims   []claim
}

// chainTask is a task of one group, which may be cut into chunks that know nothing of each other.
type chainTask struct {
	index  int
	chunks int
	run    func(w *worker, g, chunk int)
}

// job is a shard of one task or of several in turn, that sees the whole batch.
type job struct {
	parts []part
	cost  int64
	shard int // of so many shards, which the workers share in order; one of 0 goes to whoever has least to do
	of    int
}

// part is a job's share of a task.
type part struct {
	index int
	run   func(w *worker)
}

// claim says in which round an item was last taken; each lies on a cache line of its own.
type claim struct {
	round atomic.Uint64
	_     [56]byte
}

// take claims an item for a round; only the first worker to ask gets it, and none that has stayed behind in an earlier round.
func (c *claim) take(round uint64) bool {
	old := c.round.Load()
	return old < round && c.round.CompareAndSwap(old, round)
}

// groupsOf is the range of groups of a set.
func (d division) groupsOf(set int) (lo, hi int) {
	return set * d.groups / d.sets, (set + 1) * d.groups / d.sets
}

// activeSets is the number of sets that a step of so many groups has samples for.
func (d division) activeSets(groups int) int {
	n := 0
	for n < d.sets {
		if lo, _ := d.groupsOf(n); lo >= groups {
			break
		}
		n++
	}
	return n
}

// run takes a worker through the phases of one step. Every worker calls it with the same round, one higher each step. The step is
// over when it returns; other workers may be in the next already.
func (p *plan) run(w *worker, round uint64, profile bool, epoch *epochRun) {
	if profile && w.id == 0 {
		p.steps++
	}
	for k, ph := range p.phases {
		place := round*uint64(len(p.phases)) + uint64(k)
		if p.gate.passed(place) {
			continue
		}
		w.place.Store(place)
		items := len(ph.jobs)
		if ph.chain != nil {
			items = ph.activeSets(ph.count(&w.step)) * ph.chunks
		}
		all := items
		last := epoch != nil && k == len(p.phases)-1
		if last {
			all++ // the step's end is an item of its own
		}
		for i := range items {
			if ph.owners[i] == w.id && ph.claims[i].take(round) {
				p.do(w, ph, i, all, place, profile)
			}
		}
		if last && w.id == 0 && p.closing.take(round) {
			epoch.stepDone(w)
			p.gate.finish(place, all)
		}
		p.meet(w, ph, items, all, round, place, profile, epoch)
	}
}

// meet waits for the end of a phase. It takes items of other workers only when those are late: what they touch lies in their
// caches, and moving it to and fro costs more than a short wait.
func (p *plan) meet(w *worker, ph *phase, items, all int, round, place uint64, profile bool, epoch *epochRun) {
	closes := all > items
	var since time.Duration // when it began to do no more than wait
	for waited := 0; !p.gate.passed(place); waited++ {
		for items > 0 && ph.claims[items-1].round.Load() >= round {
			items--
		}
		switch {
		case items > 0 && p.workers[ph.owners[items-1]].late(place, waited):
			if ph.claims[items-1].take(round) {
				p.do(w, ph, items-1, all, place, profile)
			}
		case items == 0 && closes && p.workers[0].late(place, waited) && p.closing.take(round):
			epoch.stepDone(w)
			p.gate.finish(place, all)
		case waited < spins:
			pause(1)
		default:
			now := time.Since(epochStart)
			if since == 0 {
				since = now
			}
			if now-since > p.patience {
				p.gate.sleep(place)
				w.offered = time.Since(epochStart)
			} else {
				w.offer(now)
				pause(4)
			}
		}
	}
}

// do runs an item that the worker has claimed, of so many of the phase at place, and offers the core where it is time to.
func (p *plan) do(w *worker, ph *phase, i, all int, place uint64, profile bool) {
	p.item(w, ph, i, profile)
	p.gate.finish(place, all)
	cost := ph.cost
	if ph.chain == nil {
		cost = ph.jobs[i].cost
	}
	if w.worked += max(cost, glance/8); w.worked >= glance {
		w.worked = 0
		w.offer(time.Since(epochStart))
	}
}

// item runs one item of a phase: a job, or a set of groups through the chain.
func (p *plan) item(w *worker, ph *phase, i int, profile bool) {
	if ph.chain == nil {
		for _, t := range ph.jobs[i].parts {
			if profile {
				w.timed(t.index, func() { t.run(w) })
				continue
			}
			t.run(w)
		}
		return
	}
	set, chunk := i/ph.chunks, i%ph.chunks
	lo, hi := ph.groupsOf(set)
	w.set, w.first = set, true
	for g, end := lo, min(hi, ph.count(&w.step)); g < end; g++ {
		w.last = g+1 == end
		for k := range ph.chain {
			t := &ph.chain[k]
			from, to := 0, t.chunks
			if ph.chunks > 1 {
				from, to = chunk, chunk+1
			}
			if profile {
				w.timed(t.index, func() { t.chunk(w, g, from, to) })
				continue
			}
			t.chunk(w, g, from, to)
		}
		w.first = false
	}
}

// count is the number of groups of a step.
func (ph *phase) count(s *step) int {
	if ph.single {
		return s.n
	}
	return s.groups
}

// chunk runs some chunks of the task.
func (t *chainTask) chunk(w *worker, g, from, to int) {
	for w.chunk = from; w.chunk < to; w.chunk++ {
		t.run(w, g, w.chunk)
	}
}

// purpose is what a plan is for.
type purpose struct {
	mode    mode
	labels  bool // the gradient starts from the loss, not from a gradient at the output
	infer   bool // dropout and batch normalisation as in inference
	unfused bool
	spread  bool // a phase for each task, so that workers can share a set of groups
	few     int  // not 0: the channel mapping, for up to so many samples
	across  bool // feature maps have channels in the lanes, with a gradient
}

type mode uint8

const (
	training mode = iota
	tracing
	inference
)

// compiler turns a network into a plan.
type compiler struct {
	k        *kernel.Kernels
	prog     *program
	net      *model.Network
	spec     device.Plan
	purpose  purpose
	plan     *plan
	chain    []chainTask // of the phase being made
	shards   []shardTask // the same, where it has shards
	front    *front      // nil where there is none
	division             // that what is emitted now goes by
	single   bool        // its groups are single samples

	vals  []*buffer                 // by slot: outputs
	grads backend.Gradients[buffer] // as far as they are summed

	dense map[int]*denseState // by node: what forward passes leave for backward passes
	conv  map[int]*convState
	pools map[int]*poolState
	norms map[int]*normState
	masks map[int]*buffer // of dropout

	placed      []func() error // what is made once the buffers have their places
	late        [levels][]work // after the last chain
	gemmCache   map[string]*kernel.Gemm
	windowCache map[string]*kernel.Window
	errs        []error
	wide        channels // of the channel mapping
}

// slot is the index of a node, or of the input, in vals.
func slot(node int) int { return node + 1 }
