package cpu

import (
	"math/rand/v2"
	"testing"
)

// TestPlace draws buffers and checks that no two of them share memory while both are in use.
func TestPlace(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		groups, workers, sets := 1+r.IntN(4), 1+r.IntN(3), 1+r.IntN(3)
		var buffers []*buffer
		for range 1 + r.IntN(20) {
			b := &buffer{words: 1 + r.IntN(500), scope: scope(r.IntN(4)), pinned: r.IntN(8) == 0, chunks: r.IntN(3), division: division{groups, sets}}
			b.first = r.IntN(20)
			b.last = b.first + r.IntN(5)
			b.phase, b.lastPhase = b.first/4, b.last/4
			buffers = append(buffers, b)
		}
		words := place(buffers, workers)
		bind(buffers, make([]float32, words))
		copies := func(b *buffer) int {
			return map[scope]int{perGroup: groups, perWorker: workers, perSet: sets * max(1, b.chunks), single: 1}[b.scope]
		}
		// Each pair of copies that may be in use together must lie apart.
		for i, a := range buffers {
			for k, b := range buffers {
				for m := range copies(a) {
					for n := range copies(b) {
						if i == k && m == n || apart(a, b) && (a.scope != perWorker || m == n) {
							continue
						}
						from, to := a.offset+m*a.stride, a.offset+m*a.stride+a.words
						start := b.offset + n*b.stride
						if start < to && from < start+b.words {
							t.Fatalf("%+v copy %d and %+v copy %d share memory", *a, m, *b, n)
						}
					}
				}
			}
		}
	}
}
