package train

import (
	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/model"
)

// whiteningImages bounds the images that data-dependent initial weights are computed from.
const whiteningImages = 5000

// InitialWeights draws a network's weights from a seed, and computes those that depend on the training images from the first of
// them, normalised.
func InitialWeights(net *model.Network, seed uint64, set *data.Set, norm model.Normalization) (map[string]*tensor.Dense, error) {
	w := net.InitialWeights(seed)
	if !net.NeedsImages() {
		return w, nil
	}
	tables := make([][256]float32, set.Channels)
	for c := range tables {
		tables[c] = norm.Table(c)
	}
	image := make([]float32, set.ImageSize())
	err := net.Whiten(w, min(set.Len(), whiteningImages), func(i int) []float32 {
		for k := range image {
			c := k % set.Channels
			switch {
			case set.Pixels != nil:
				image[k] = tables[c][set.Image(i)[k]]
			case len(norm.Mean) > 0:
				image[k] = (set.FloatImage(i)[k] - norm.Mean[c]) / norm.Std[c]
			default:
				image[k] = set.FloatImage(i)[k]
			}
		}
		return image
	})
	return w, err
}
