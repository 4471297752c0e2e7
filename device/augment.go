package device

import (
	"math"

	"gcnn/internal/philox"
)

// Change is how one image is changed, in this order: its values (contrast, then brightness), then its place (flip, rotation,
// shift), then a square is cut out. The zeros that rotation, shift and cutout bring in are zeros before normalising.
type Change struct {
	Contrast   float32 // factor of the distance from the mean of the channel of the image; 1 is none
	Brightness float32 // added, in units of the full range; 0 is none
	Flip       bool    // left to right
	Sin, Cos   float32 // of the angle by which the image is turned anticlockwise about its centre; 0 and 1 are none
	Down       int     // rows
	Right      int     // columns
	// The square's first row and column, which may lie outside, and its side; 0 is none.
	CutTop, CutLeft, CutSide int
}

// Draw is the change of a sample in an epoch: the definition that every device follows. Philox' stream Augment is counted by
// (block, sample, epoch). Block 0 draws the flip, the rows and the columns of the shift, and the angle; block 1 the row and the
// column of the cut's centre, the brightness and the contrast. All eight are drawn whether they are used or not.
//
// A flip is a word's top bit; AlternatingFlip draws it as for epoch 0 and turns it round in odd epochs. An integer below n is
// ⌊word·n/2³²⌋, a real number the unit interval's 2·Unit(word) − 1 times its limit.
func (a Augment) Draw(seed uint64, epoch int, sample int32, height, width int) Change {
	first := philox.Words(seed, philox.Augment, 0, uint32(sample), uint32(epoch))
	second := philox.Words(seed, philox.Augment, 1, uint32(sample), uint32(epoch))
	c := Change{Contrast: 1, Cos: 1}
	switch a.Flip {
	case NoFlip:
	case RandomFlip:
		c.Flip = first[0]>>31 == 1
	case AlternatingFlip:
		start := philox.Words(seed, philox.Augment, 0, uint32(sample), 0)
		c.Flip = (start[0]>>31 == 1) != (epoch%2 == 1)
	}
	if a.Shift > 0 {
		c.Down, c.Right = below(first[1], 2*a.Shift+1)-a.Shift, below(first[2], 2*a.Shift+1)-a.Shift
	}
	if a.Rotate > 0 {
		sin, cos := math.Sincos(float64(symmetric(first[3])) * float64(a.Rotate) * math.Pi / 180)
		c.Sin, c.Cos = float32(sin), float32(cos)
	}
	if a.Cutout > 0 {
		c.CutTop, c.CutLeft, c.CutSide = below(second[0], height)-a.Cutout/2, below(second[1], width)-a.Cutout/2, a.Cutout
	}
	c.Brightness = symmetric(second[2]) * a.Brightness
	c.Contrast = 1 + symmetric(second[3])*a.Contrast
	return c
}

// below is an integer in [0, n).
func below(word uint32, n int) int { return int(uint64(word) * uint64(n) >> 32) }

// symmetric is a number in [−1, 1).
func symmetric(word uint32) float32 { return 2*philox.Unit(word) - 1 }

// Moves reports whether the change only moves or cuts whole pixels: Source then tells all about it.
func (c Change) Moves() bool {
	return c.Contrast == 1 && c.Brightness == 0 && c.Sin == 0 && c.Cos == 1
}

// cut reports whether a pixel of the changed image lies in the square that is cut out.
func (c Change) cut(row, col int) bool {
	return row >= c.CutTop && row < c.CutTop+c.CutSide && col >= c.CutLeft && col < c.CutLeft+c.CutSide
}

// Source is the pixel of the image that a pixel of the changed image shows, where the change only moves; ok is false where it
// shows zeros.
func (c Change) Source(row, col, height, width int) (r, q int, ok bool) {
	if c.cut(row, col) {
		return 0, 0, false
	}
	row, col = row-c.Down, col-c.Right
	if row < 0 || row >= height || col < 0 || col >= width {
		return 0, 0, false
	}
	if c.Flip {
		col = width - 1 - col
	}
	return row, col, true
}

// Apply changes an image of height×width×channels: dst is made of src, both channels last and in units of the full range. With
// clip, contrast and brightness keep values within [0, 1].
func (c Change) Apply(dst, src []float32, height, width, channels int, clip bool) {
	if c.Contrast != 1 || c.Brightness != 0 {
		toned := make([]float32, len(src))
		c.Tone(toned, src, channels, clip)
		src = toned
	}
	c.Place(dst, src, height, width, channels)
}

// Tone is the first half of Apply, contrast and brightness; dst may be src.
func (c Change) Tone(dst, src []float32, channels int, clip bool) {
	for ch := range channels {
		c.tone(dst[ch:], src[ch:], channels, clip)
	}
}

// Place is the second half of Apply: flip, rotation, which is bilinear, shift and cutout. dst may not be src.
func (c Change) Place(dst, values []float32, height, width, channels int) {
	middleRow, middleCol := float32(height-1)/2, float32(width-1)/2
	for row := range height {
		for col := range width {
			out := dst[(row*width+col)*channels:][:channels]
			if c.Sin == 0 && c.Cos == 1 {
				r, q, ok := c.Source(row, col, height, width)
				for ch := range out {
					out[ch] = 0
					if ok {
						out[ch] = values[(r*width+q)*channels+ch]
					}
				}
				continue
			}
			if c.cut(row, col) {
				clear(out)
				continue
			}
			dr, dq := float32(row-c.Down)-middleRow, float32(col-c.Right)-middleCol
			c.bilinear(out, values, middleRow+c.Cos*dr+c.Sin*dq, middleCol-c.Sin*dr+c.Cos*dq, height, width)
		}
	}
}

// tone applies contrast and brightness to one channel.
func (c Change) tone(dst, src []float32, channels int, clip bool) {
	mean, n := 0.0, 0
	for i := 0; i < len(src); i += channels {
		mean += float64(src[i])
		n++
	}
	m := float32(mean / float64(n))
	for i := 0; i < len(src); i += channels {
		v := m + c.Contrast*(src[i]-m) + c.Brightness
		if clip {
			v = min(max(v, 0), 1)
		}
		dst[i] = v
	}
}

// bilinear reads the (flipped) image between pixels; outside it is zero.
func (c Change) bilinear(out, values []float32, row, col float32, height, width int) {
	clear(out)
	r0, q0 := float32(math.Floor(float64(row))), float32(math.Floor(float64(col)))
	fr, fq := row-r0, col-q0
	for k, weight := range [4]float32{(1 - fr) * (1 - fq), (1 - fr) * fq, fr * (1 - fq), fr * fq} {
		r, q := int(r0)+k/2, int(q0)+k%2
		if r < 0 || r >= height || q < 0 || q >= width {
			continue
		}
		if c.Flip {
			q = width - 1 - q
		}
		pixel := values[(r*width+q)*len(out):]
		for ch := range out {
			out[ch] += weight * pixel[ch]
		}
	}
}
