package train

import (
	"math"
	"slices"
	"testing"
)

func TestOrderIsAPermutation(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 5, 1000} {
		order := Order(n, 3, 7, true)
		sorted := slices.Clone(order)
		slices.Sort(sorted)
		if !slices.Equal(sorted, Order(n, 3, 7, false)) {
			t.Errorf("the order of %d samples is no permutation: %v", n, order)
		}
		if !slices.Equal(order, Order(n, 3, 7, true)) {
			t.Errorf("two draws of %d samples differ", n)
		}
	}
	if a := Order(1000, 0, 1, true); slices.Equal(a, Order(1000, 1, 1, true)) || slices.Equal(a, Order(1000, 0, 2, true)) {
		t.Error("another epoch or seed gives the same order")
	}
}

// TestOrderIsUniform counts which sample comes to which place: χ² with (5−1)² degrees of freedom stays below its 1 − 1e-6 quantile, 58.
func TestOrderIsUniform(t *testing.T) {
	t.Parallel()
	const n, draws = 5, 20_000
	var count [n][n]float64
	for epoch := range draws {
		for place, sample := range Order(n, epoch, 11, true) {
			count[place][sample]++
		}
	}
	chi := 0.0
	for _, row := range count {
		for _, c := range row {
			chi += math.Pow(c-draws/n, 2) / (draws / n)
		}
	}
	if chi > 58 {
		t.Errorf("χ² is %.1f: %v", chi, count)
	}
}

// TestOrderStays pins the order: a checkpoint of an older gcnn goes on with it.
func TestOrderStays(t *testing.T) {
	t.Parallel()
	if got, want := Order(10, 0, 1, true), []int32{6, 7, 0, 4, 5, 9, 8, 2, 3, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
