package cpu

import (
	"testing"
	"time"
)

// TestOffer counts the items after which a worker that has had its core for a turn offers it: one that is large, some that are small.
func TestOffer(t *testing.T) {
	t.Parallel()
	const most = 8
	for _, c := range []struct {
		name  string
		jobs  bool
		cost  int64
		had   time.Duration // since the core was offered
		items int           // until it is again; 0: not within most
	}{
		{"large job", true, glance, 2 * turn, 1},
		{"large set of groups", false, 3 * glance, 2 * turn, 1},
		{"jobs of half the size", true, glance / 2, 2 * turn, 2},
		{"sets of half the size", false, glance / 2, 2 * turn, 2},
		{"jobs without arithmetic", true, 0, 2 * turn, 8},
		{"the turn is not over", true, glance, -time.Hour, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ph := &phase{chunks: 1}
			if c.jobs {
				ph.jobs = make([]job, most)
				for i := range ph.jobs {
					ph.jobs[i].cost = c.cost
				}
			} else {
				ph.chain, ph.cost = make([]chainTask, 0, 1), c.cost
				ph.division = division{groups: most, sets: most}
			}
			p := &plan{phases: []*phase{ph}}
			w := &worker{}
			w.offered = time.Since(epochStart) - c.had
			before, offered := w.offered, 0
			for i := range most {
				p.do(w, ph, i, most+1, 0, false)
				if w.offered != before {
					offered = i + 1
					break
				}
			}
			if offered != c.items {
				t.Errorf("offered after %d items, want %d", offered, c.items)
			}
			if done := int(p.gate.done.Load()); offered > 0 && done != offered {
				t.Errorf("%d items were done when the core was offered, want %d: it holds one", done, offered)
			}
		})
	}
}
