package reference

import (
	"math"

	"gcnn/data"
	"gcnn/device"
)

// augmented is gather for training: each image is changed as device.Augment.Draw says, then normalised.
func (p *Program) augmented(set *data.Set, order []int32, epoch int) *Tensor {
	x := p.gather(set, order)
	augment := p.plan.Training.Augment
	if augment == (device.Augment{}) {
		return x
	}
	zeros := make([]Ball, set.Channels) // what a zero is once it is normalised
	for c := range zeros {
		zeros[c] = p.normalized(exact(0), c)
	}
	size := set.ImageSize()
	for s, k := range order {
		change := augment.Draw(p.plan.Training.Seed, epoch, k, set.Height, set.Width)
		image := x.Elems[s*size : (s+1)*size]
		if change.Moves() {
			copy(image, moved(change, image, zeros, set))
			continue
		}
		changed := turned(change, toned(change, unit(set, k), set), set)
		for i, e := range changed {
			image[i] = p.normalized(e, i%set.Channels)
		}
	}
	return x
}

// normalized is (v − mean)/std for channel c.
func (p *Program) normalized(v Ball, c int) Ball {
	norm := p.plan.Normalization
	if len(norm.Mean) == 0 {
		return v
	}
	return v.sub(exact(float64(norm.Mean[c]))).div(exact(float64(norm.Std[c])))
}

// unit is an image in units of the full range.
func unit(set *data.Set, k int32) []Ball {
	v := make([]Ball, set.ImageSize())
	for i := range v {
		if set.Floats != nil {
			v[i] = given(set.FloatImage(int(k))[i])
		} else {
			v[i] = constant(float64(set.Image(int(k))[i]) / 255)
		}
	}
	return v
}

// moved flips, shifts and cuts a normalised image.
func moved(change device.Change, image, zeros []Ball, set *data.Set) []Ball {
	out := make([]Ball, len(image))
	for i := range out {
		c, col, row := i%set.Channels, i/set.Channels%set.Width, i/set.Channels/set.Width
		out[i] = zeros[c]
		if r, q, ok := change.Source(row, col, set.Height, set.Width); ok {
			out[i] = image[(r*set.Width+q)*set.Channels+c]
		}
	}
	return out
}

// toned is mean + contrast·(v − mean) + brightness for each channel; values that were bytes stay within [0, 1].
func toned(change device.Change, image []Ball, set *data.Set) []Ball {
	if change.Contrast == 1 && change.Brightness == 0 {
		return image
	}
	out := make([]Ball, len(image))
	for c := range set.Channels {
		var total sum
		for i := c; i < len(image); i += set.Channels {
			total.add(image[i])
		}
		mean := total.ball().mul(constant(1 / float64(total.n)))
		for i := c; i < len(image); i += set.Channels {
			v := mean.add(image[i].sub(mean).mul(exact(float64(change.Contrast)))).add(exact(float64(change.Brightness)))
			if set.Floats == nil {
				v = increasing(v, func(v float64) float64 { return min(max(v, 0), 1) })
			}
			out[i] = v
		}
	}
	return out
}

// turned flips, rotates, shifts and cuts an image. A pixel shows what lies at
// (row, col) = middle + rotation·(its place − shift − middle), bilinearly between the four pixels around; outside are zeros.
//
// The place has an error of some u of its terms. Interpolation is continuous and, with zeros around, has slopes of at most
// twice the largest value along each axis: a place just across a pixel's middle is no other case.
func turned(change device.Change, image []Ball, set *data.Set) []Ball {
	height, width, channels := set.Height, set.Width, set.Channels
	largest := 0.0
	for _, e := range image {
		largest = max(largest, e.magnitude())
	}
	pixel := func(r, q, c int) Ball {
		if r < 0 || r >= height || q < 0 || q >= width {
			return Ball{}
		}
		if change.Flip {
			q = width - 1 - q
		}
		return image[(r*width+q)*channels+c]
	}
	sin, cos := float64(change.Sin), float64(change.Cos)
	middleRow, middleCol := float64(height-1)/2, float64(width-1)/2
	out := make([]Ball, len(image))
	uncut := change
	uncut.CutSide = 0
	for i := range out {
		c, col, row := i%channels, i/channels%width, i/channels/width
		if change.CutSide > 0 && inCut(change, row, col) {
			continue
		}
		if sin == 0 && cos == 1 {
			if r, q, ok := uncut.Source(row, col, height, width); ok {
				out[i] = image[(r*width+q)*channels+c]
			}
			continue
		}
		dr, dq := float64(row-change.Down)-middleRow, float64(col-change.Right)-middleCol
		y, x := middleRow+cos*dr+sin*dq, middleCol-sin*dr+cos*dq
		r, q := math.Floor(y), math.Floor(x)
		fr, fq := y-r, x-q
		var s sum
		for k, weight := range [4]float64{(1 - fr) * (1 - fq), (1 - fr) * fq, fr * (1 - fq), fr * fq} {
			s.addProduct(exact(weight).rounded(4), pixel(int(r)+k/2, int(q)+k%2, c))
		}
		place := gamma(5) * (middleRow + middleCol + 2*math.Abs(dr) + 2*math.Abs(dq))
		out[i] = s.ball().wider(place * 2 * largest)
	}
	return out
}

func inCut(c device.Change, row, col int) bool {
	return row >= c.CutTop && row < c.CutTop+c.CutSide && col >= c.CutLeft && col < c.CutLeft+c.CutSide
}
