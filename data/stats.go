package data

import (
	"fmt"
	"math"
	"math/bits"
)

// ChannelStats returns the mean and the standard deviation (of the population) of each channel over all images of a
// set, in the units of its pixels: [0, 255] for bytes. Sums over bytes are exact; floats are summed in float64 in the
// order of the images, so that equal sets give equal bits.
func (s *Set) ChannelStats() (mean, std []float64, err error) {
	if s.Len() == 0 {
		return nil, nil, fmt.Errorf("%s: no images to compute a mean and a standard deviation of", s.Name)
	}
	mean, std = make([]float64, s.Channels), make([]float64, s.Channels)
	for c := range s.Channels {
		if s.Floats != nil {
			mean[c], std[c] = floatStats(s.Floats, c, s.Channels)
		} else {
			mean[c], std[c] = byteStats(s.Pixels, c, s.Channels)
		}
	}
	return mean, std, nil
}

// byteStats computes √(n·Σx² − (Σx)²)/n, whose radicand is an exact integer of at most 128 bits.
func byteStats(pixels []uint8, channel, channels int) (mean, std float64) {
	var count [256]uint64
	for i := channel; i < len(pixels); i += channels {
		count[pixels[i]]++
	}
	var n, sum, squares uint64
	for value, times := range count {
		v := uint64(value)
		n += times
		sum += times * v
		squares += times * v * v
	}
	hi, lo := bits.Mul64(n, squares)
	subHi, subLo := bits.Mul64(sum, sum)
	lo, borrow := bits.Sub64(lo, subLo, 0)
	hi, _ = bits.Sub64(hi, subHi, borrow)
	return float64(sum) / float64(n), math.Sqrt(math.Ldexp(float64(hi), 64)+float64(lo)) / float64(n)
}

// floatStats takes the mean first and then the squares of the differences, which does not cancel.
func floatStats(values []float32, channel, channels int) (mean, std float64) {
	n := float64(len(values) / channels)
	sum := 0.0
	for i := channel; i < len(values); i += channels {
		sum += float64(values[i])
	}
	mean = sum / n
	squares := 0.0
	for i := channel; i < len(values); i += channels {
		d := float64(values[i]) - mean
		squares += float64(d * d) // the conversion keeps this a product and a sum on every processor
	}
	return mean, math.Sqrt(squares / n)
}
