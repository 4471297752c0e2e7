package cpu

import (
	"slices"
	"testing"
)

// TestFrontCut cuts pooled outputs into shards: whole rows where they can be, halves and quarters equal to a position.
func TestFrontCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rows, cols int
		bounds     []int
	}{
		{13, 13, []int{0, 26, 42, 65, 84, 104, 126, 143, 169}},
		{16, 5, []int{0, 10, 20, 30, 40, 50, 60, 70, 80}},
		{2, 4, []int{0, 1, 2, 3, 4, 5, 6, 7, 8}},
		{3, 40, []int{0, 15, 30, 40, 60, 80, 90, 105, 120}},
	} {
		var f front
		f.channels = 3
		f.cut(c.rows, c.cols, 8)
		if !slices.Equal(f.bounds, c.bounds) {
			t.Errorf("%d×%d is cut at %v, want %v", c.rows, c.cols, f.bounds, c.bounds)
		}
		most := 0
		for s := range 8 {
			at := f.bounds[s]
			for _, p := range f.pieces[f.first[s]:f.first[s+1]] {
				if p.row*c.cols+p.from != at || p.from >= p.to || p.to > c.cols {
					t.Errorf("%d×%d: piece %+v of shard %d does not begin at position %d", c.rows, c.cols, p, s, at)
				}
				at += p.to - p.from
			}
			if at != f.bounds[s+1] {
				t.Errorf("%d×%d: the pieces of shard %d end at %d, want %d", c.rows, c.cols, s, at, f.bounds[s+1])
			}
			most = max(most, at-f.bounds[s])
		}
		if f.most != 3*most {
			t.Errorf("%d×%d: a shard has %d elements at most, want %d", c.rows, c.cols, f.most, 3*most)
		}
	}
}
