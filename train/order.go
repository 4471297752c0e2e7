package train

import "gcnn/internal/philox"

// Order is the order in which an epoch, counted from 0, takes n samples: 0 to n−1 without shuffling. Otherwise a Fisher–Yates
// shuffle of them with Philox' words of (seed, Shuffle, epoch): for i from n−1 down to 1, the sample at i changes places with the
// one at ⌊w·(i+1)/2³²⌋, w the next word. It depends on nothing else, so that a resumed training goes on in the same order.
func Order(n, epoch int, seed uint64, shuffle bool) []int32 {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	if !shuffle {
		return order
	}
	var words [4]uint32
	for draw, i := 0, n-1; i > 0; draw, i = draw+1, i-1 {
		if draw%4 == 0 {
			words = philox.Words(seed, philox.Shuffle, uint32(draw/4), uint32(epoch), 0)
		}
		j := int(uint64(words[draw%4]) * uint64(i+1) >> 32)
		order[i], order[j] = order[j], order[i]
	}
	return order
}
