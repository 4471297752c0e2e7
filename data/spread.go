package data

import (
	"cmp"
	"slices"

	"gcnn/internal/philox"
)

// spread is the order in which a set that is sorted by class is read, so that its first images, and its last, hold every class in
// its share of the whole. Image k of n of a class lies at (k + ½)/n of the set. Which image of a class is its k-th is drawn by Philox from its place in the class alone: the order is the same in every
// run, and images that are added behind the others of a class leave the others in their order.
func spread(labels []uint16) []int {
	type place struct {
		image int
		key   uint64
		k     int
	}
	byClass := map[uint16][]place{}
	for i, label := range labels {
		j := len(byClass[label])
		w := philox.Words(0, philox.Spread, uint32(j), uint32(uint64(j)>>32), 0)
		byClass[label] = append(byClass[label], place{image: i, key: uint64(w[0])<<32 | uint64(w[1])})
	}
	places := make([]place, 0, len(labels))
	for _, class := range byClass {
		slices.SortStableFunc(class, func(a, b place) int { return cmp.Compare(a.key, b.key) })
		for k := range class {
			class[k].k = k
		}
		places = append(places, class...)
	}
	slices.SortFunc(places, func(a, b place) int {
		la, lb := labels[a.image], labels[b.image]
		// (a.k + ½)/n of a's class against (b.k + ½)/n of b's.
		return cmp.Or(cmp.Compare((2*a.k+1)*len(byClass[lb]), (2*b.k+1)*len(byClass[la])), cmp.Compare(la, lb))
	})
	order := make([]int, len(labels))
	for i, p := range places {
		order[i] = p.image
	}
	return order
}

// sortedByClass reports whether the images of each class lie in one stretch, and there is more than one class.
func (s *Set) sortedByClass() bool {
	seen := map[uint16]bool{}
	for i, label := range s.Labels {
		if i > 0 && label == s.Labels[i-1] {
			continue
		}
		if seen[label] {
			return false
		}
		seen[label] = true
	}
	return len(seen) > 1
}

// spreadSorted puts a set that is sorted by class into the order of spread, in place, unless its pixels lie in a file.
func (s *Set) spreadSorted() {
	if s == nil || s.mapped || !s.sortedByClass() {
		return
	}
	order, size := spread(s.Labels), s.ImageSize()
	reorder(s.Labels, order, 1)
	reorder(s.Pixels, order, size)
	reorder(s.Floats, order, size)
}

// reorder moves row order[i] of values to row i, for every i, in place. Rows have size elements; values may be nil.
func reorder[T any](values []T, order []int, size int) {
	if values == nil {
		return
	}
	moved := make([]bool, len(order))
	first := make([]T, size)
	row := func(i int) []T { return values[i*size : (i+1)*size] }
	for start := range order { // along each cycle of the permutation
		copy(first, row(start))
		for i := start; !moved[i]; i = order[i] {
			moved[i] = true
			if order[i] == start {
				copy(row(i), first)
			} else {
				copy(row(i), row(order[i]))
			}
		}
	}
}
