package report

import (
	"image"
	"image/color"
	"math"

	"golang.org/x/image/draw"

	"gcnn/data"
)

const (
	tileSize    = 96  // small images are enlarged to about this, by a whole number
	largestTile = 160 // larger images are reduced to this
)

// tileScale returns the size at which images of a set are drawn. Small ones grow by a whole number, so that each
// pixel stays a sharp square; large ones shrink and keep their proportions.
func tileScale(height, width int) (h, w int) {
	longest := max(height, width)
	if longest > largestTile {
		f := float64(largestTile) / float64(longest)
		return max(1, int(math.Round(float64(height)*f))), max(1, int(math.Round(float64(width)*f)))
	}
	f := max(1, int(math.Round(float64(tileSize)/float64(longest))))
	return height * f, width * f
}

// tile draws image i into r.
func (c canvas) tile(r image.Rectangle, set *data.Set, i int, levels levels) {
	src := toImage(set, i, levels)
	var scaler draw.Scaler = draw.NearestNeighbor
	if r.Dx() < set.Width || r.Dy() < set.Height {
		scaler = draw.CatmullRom
	}
	scaler.Scale(c, r, src, src.Bounds(), draw.Src, nil)
}

// levels are the values drawn as black and as white.
type levels struct{ black, white float64 }

// setLevels returns [0, 255] for bytes. For floats it is [0, 1] or [0, 255] where the images lie inside, else their
// own range.
func setLevels(set *data.Set, images []int) levels {
	if set.Floats == nil {
		return levels{0, 255}
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, i := range images {
		for _, v := range set.FloatImage(i) {
			low, high = min(low, float64(v)), max(high, float64(v))
		}
	}
	switch {
	case low >= 0 && high <= 1:
		return levels{0, 1}
	case low >= 0 && high <= 255:
		return levels{0, 255}
	}
	return levels{low, high}
}

func (l levels) byte(v float64) uint8 {
	if !(l.white > l.black) {
		return 0
	}
	return uint8(math.Round(255 * min(1, max(0, (v-l.black)/(l.white-l.black)))))
}

// toImage returns three channels as RGB and any other number as grey, the channels' mean.
func toImage(set *data.Set, i int, levels levels) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, set.Width, set.Height))
	value := func(k int) float64 {
		if set.Floats != nil {
			return float64(set.Floats[i*set.ImageSize()+k])
		}
		return float64(set.Pixels[i*set.ImageSize()+k])
	}
	for y := range set.Height {
		for x := range set.Width {
			k := (y*set.Width + x) * set.Channels
			if set.Channels == 3 {
				img.SetRGBA(x, y, color.RGBA{levels.byte(value(k)), levels.byte(value(k + 1)), levels.byte(value(k + 2)), 255})
				continue
			}
			sum := 0.0
			for channel := range set.Channels {
				sum += value(k + channel)
			}
			grey := levels.byte(sum / float64(set.Channels))
			img.SetRGBA(x, y, color.RGBA{grey, grey, grey, 255})
		}
	}
	return img
}
