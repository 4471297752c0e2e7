// Package measure takes timings that can be trusted on a machine that may be busy: it lets contestants take turns, watches what
// else ran meanwhile, probes the processor's peak, and refuses to report what noise has spoiled.
package measure

import "slices"

// Median is the middle value, the mean of the middle two for an even number, and 0 of none.
func Median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	switch n := len(s); {
	case n == 0:
		return 0
	case n%2 == 1:
		return s[n/2]
	default:
		return (s[n/2-1] + s[n/2]) / 2
	}
}

// Mean is the arithmetic mean, 0 of none.
func Mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(1, len(values)))
}

// Ratios divides b by a, pair by pair: how many times as fast a was as b in the same round.
func Ratios(b, a []float64) []float64 {
	r := make([]float64, min(len(a), len(b)))
	for i := range r {
		r[i] = b[i] / a[i]
	}
	return r
}
