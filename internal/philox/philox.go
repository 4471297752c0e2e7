// Package philox is the counter-based random number generator Philox 4×32-10 (Salmon et al., "Parallel random numbers: as easy
// as 1, 2, 3", SC 2011): a bijection of a 128-bit counter under a 64-bit key. A number depends on its counter alone, so that
// every device and any number of workers draw the same ones in any order.
package philox

import "math/bits"

const (
	m0, m1 = 0xD2511F53, 0xCD9E8D57 // multipliers
	w0, w1 = 0x9E3779B9, 0xBB67AE85 // Weyl increments of the key
	rounds = 10
)

// Block is the four random words at a counter.
func Block(key [2]uint32, ctr [4]uint32) [4]uint32 {
	k0, k1 := key[0], key[1]
	c0, c1, c2, c3 := ctr[0], ctr[1], ctr[2], ctr[3]
	for range rounds {
		h0, l0 := bits.Mul32(m0, c0)
		h1, l1 := bits.Mul32(m1, c2)
		c0, c1, c2, c3 = h1^c1^k0, l1, h0^c3^k1, l0
		k0 += w0
		k1 += w1
	}
	return [4]uint32{c0, c1, c2, c3}
}

// Key is the key of a seed.
func Key(seed uint64) [2]uint32 { return [2]uint32{uint32(seed), uint32(seed >> 32)} }

// Stream numbers keep the uses of one seed apart. They are the counter's last word; the words before it count within a use.
type Stream uint32

// The streams. Dropout and Augment count (element block, step or sample, layer or epoch).
const (
	Init    Stream = iota + 1 // initial weights: (block of four elements low, high, parameter)
	Shuffle                   // the order of an epoch: (draw, epoch, 0)
	Dropout                   // (block of four elements, step, layer)
	Augment                   // (block of four draws, sample, epoch)
	Spread                    // the order of a set that comes sorted by class: (place in the class low, high, 0)
)

// Words is the block of four words (a, b, c) of a stream.
func Words(seed uint64, s Stream, a, b, c uint32) [4]uint32 {
	return Block(Key(seed), [4]uint32{a, b, c, uint32(s)})
}

// Unit makes a float32 of a word, uniform on the 2²⁴ multiples of 2⁻²⁴ in [0, 1).
func Unit(w uint32) float32 { return float32(w>>8) * (1.0 / (1 << 24)) }
