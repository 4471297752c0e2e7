package reference

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gcnn/data"
	"gcnn/device"
	"gcnn/model"
)

// TestAugmentation holds the definition in float32, device.Change.Apply, against the reference's own.
func TestAugmentation(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(21, 22))
	const height, width, channels, n = 7, 10, 3, 40
	set := &data.Set{Name: "random", Height: height, Width: width, Channels: channels, Labels: make([]uint16, n), Classes: []string{"a", "b"}}
	for range n * set.ImageSize() {
		set.Pixels = append(set.Pixels, uint8(rng.IntN(256)))
	}
	floats := *set
	floats.Pixels = nil
	for range n * set.ImageSize() {
		floats.Floats = append(floats.Floats, float32(3*rng.NormFloat64()))
	}
	net, err := model.New("net", model.Shape{height, width, channels}, model.Flatten{}, model.Dense{Units: 2, Activation: model.Softmax})
	if err != nil {
		t.Fatal(err)
	}
	norms := []model.Normalization{{}, {Mean: []float32{0.5, 0.25, 0.1}, Std: []float32{0.5, 2, 0.3}}}
	for _, augment := range []device.Augment{
		{Flip: device.RandomFlip},
		{Flip: device.AlternatingFlip, Shift: 3},
		{Cutout: 4},
		{Brightness: 0.3},
		{Contrast: 0.5},
		{Rotate: 25},
		{Flip: device.RandomFlip, Shift: 2, Cutout: 3, Rotate: 180, Brightness: 0.2, Contrast: 0.3},
	} {
		for i, norm := range norms {
			for _, s := range []*data.Set{set, &floats} {
				t.Run(fmt.Sprintf("%+v norm %d floats %v", augment, i, s.Floats != nil), func(t *testing.T) {
					t.Parallel()
					p, err := Open(Options{}).Program(net, device.Plan{Batch: n, Normalization: norm, Training: &device.Training{
						Optimizer: device.SGD{}, Augment: augment, Seed: 5,
					}})
					if err != nil {
						t.Fatal(err)
					}
					order := make([]int32, n)
					for k := range order {
						order[k] = int32(n - 1 - k)
					}
					got := p.augmented(s, order, 3)
					for k, image := range order {
						want := inFloat32(augment, norm, s, image)
						for i, v := range want {
							within(t, fmt.Sprintf("image %d, value %d", image, i), v, got.Elems[k*len(want)+i])
						}
					}
				})
			}
		}
	}
}

func inFloat32(augment device.Augment, norm model.Normalization, set *data.Set, k int32) []float32 {
	src, dst := make([]float32, set.ImageSize()), make([]float32, set.ImageSize())
	for i := range src {
		if set.Floats != nil {
			src[i] = set.FloatImage(int(k))[i]
		} else {
			src[i] = float32(set.Image(int(k))[i]) / 255
		}
	}
	augment.Draw(5, 3, k, set.Height, set.Width).Apply(dst, src, set.Height, set.Width, set.Channels, set.Floats == nil)
	for i := range dst {
		if c := i % set.Channels; len(norm.Mean) > 0 {
			dst[i] = (dst[i] - norm.Mean[c]) / norm.Std[c]
		}
	}
	return dst
}
