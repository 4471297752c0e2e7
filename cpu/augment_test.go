package cpu_test

import (
	"context"
	"testing"

	"gcnn/data"
	"gcnn/device"
	"gcnn/model"
)

// TestAugmentation trains on images that the device changes, and on the same images changed beforehand.
func TestAugmentation(t *testing.T) {
	t.Parallel()
	net, err := model.New("small", model.Shape{11, 9, 2}, model.Conv2D{Filters: 3, KernelSize: model.Square(3), Activation: model.ReLU},
		model.Flatten{}, model.Dense{Units: 4, Activation: model.Softmax})
	if err != nil {
		t.Fatal(err)
	}
	set := images(t, net, 53)
	floats := *set
	floats.Floats, floats.Pixels = nil, nil
	for _, v := range set.Pixels {
		floats.Floats = append(floats.Floats, float32(v)/255)
	}
	norm := model.Normalization{Mean: []float32{0.5, 0.25}, Std: []float32{0.25, 2}}
	for name, c := range map[string]struct {
		augment device.Augment
		set     *data.Set
	}{
		"moves":            {device.Augment{Flip: device.RandomFlip, Shift: 2, Cutout: 3}, set},
		"moves, floats":    {device.Augment{Flip: device.AlternatingFlip, Shift: 1, Cutout: 4}, &floats},
		"rotation":         {device.Augment{Flip: device.RandomFlip, Rotate: 20, Shift: 1}, set},
		"tone":             {device.Augment{Brightness: 0.2, Contrast: 0.5}, set},
		"everything":       {device.Augment{Flip: device.RandomFlip, Shift: 2, Cutout: 3, Rotate: 9, Brightness: 0.1, Contrast: 0.3}, set},
		"floats unclipped": {device.Augment{Brightness: 0.9}, &floats},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const seed, number = 5, 3
			changed := floats
			changed.Floats = make([]float32, len(floats.Floats))
			size := set.ImageSize()
			for i := range set.Len() {
				change := c.augment.Draw(seed, number, int32(i), set.Height, set.Width)
				change.Apply(changed.Floats[i*size:][:size], floats.Floats[i*size:][:size], set.Height, set.Width, set.Channels, c.set.Floats == nil)
			}
			train := func(set *data.Set, augment device.Augment) (device.Metrics, device.State) {
				plan := device.Plan{Batch: 20, Normalization: norm, Training: &device.Training{Optimizer: device.SGD{}, Augment: augment, Seed: seed}}
				p, r := start(t, 2, net, plan, set)
				e := epochOf(set, plan.Batch, 0.1)
				e.Number = number
				m, err := p.Train(context.Background(), r, e)
				if err != nil {
					t.Fatal(err)
				}
				s, err := p.State()
				if err != nil {
					t.Fatal(err)
				}
				return m, s
			}
			m1, s1 := train(c.set, c.augment)
			m2, s2 := train(&changed, device.Augment{})
			if m1 != m2 {
				t.Errorf("metrics %+v changed on the device, %+v beforehand", m1, m2)
			}
			sameBits(t, "changed on the device and beforehand", s1, s2)
			if _, s := train(c.set, device.Augment{}); c.augment != (device.Augment{}) && s.Weights["dense/bias"].Float32s()[0] == s1.Weights["dense/bias"].Float32s()[0] {
				t.Error("augmentation changed nothing")
			}
		})
	}
}
