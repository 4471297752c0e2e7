package devicetest

import (
	"fmt"
	"testing"

	"gcnn/device"
	"gcnn/model"
)

// testAugmentation trains with changed images, of bytes and of floats, normalised, in several epochs.
func testAugmentation(t *testing.T, dev device.Device) {
	net := mustNet(model.Shape{7, 10, 3},
		model.Conv2D{Filters: 4, KernelSize: model.Square(3), Activation: model.ReLU}, model.MaxPool2D{},
		model.Flatten{}, model.Dense{Units: 4, Activation: model.Softmax})
	norm := model.Normalization{Mean: []float32{0.5, 0.25, 0.1}, Std: []float32{0.5, 2, 0.3}}
	for i, augment := range []device.Augment{
		{Flip: device.RandomFlip},
		{Flip: device.AlternatingFlip},
		{Shift: 3},
		{Cutout: 4},
		{Brightness: 0.3},
		{Contrast: 0.5},
		{Rotate: 25},
		{Flip: device.RandomFlip, Shift: 2, Cutout: 3},
		{Flip: device.AlternatingFlip, Shift: 2, Cutout: 3, Rotate: 180, Brightness: 0.2, Contrast: 0.3},
	} {
		for epoch := range 3 {
			for _, floats := range []bool{false, true} {
				t.Run(fmt.Sprintf("%+v epoch %d floats %v", augment, epoch, floats), func(t *testing.T) {
					t.Parallel()
					s := newSource(uint64(1000 + i))
					set := s.images(net, 40)
					if floats {
						set.Floats, set.Pixels = fill(s.real, len(set.Pixels)).Float32s(), nil
					}
					c := trainCase{
						net: net, batch: 17, samples: 39, set: set, epoch: epoch, seed: uint64(1100 + i),
						training: device.Training{Optimizer: device.SGD{Momentum: 0.9}, Augment: augment, Seed: 1 << 33},
					}
					if i%2 == 0 {
						c.norm = norm
					}
					if err := c.check(dev); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}
