//go:build cuda

package cuda_test

import (
	"context"
	"fmt"
	"testing"

	"gcnn/cuda"
	"gcnn/data"
	"gcnn/device"
	"gcnn/model"
)

// BenchmarkTrain is the time of a training step, a graph launch with everything that a step has, on images of noise. The uploads
// of an epoch are in it, spread over its steps.
func BenchmarkTrain(b *testing.B) {
	const images = 1 << 13
	for _, c := range []struct {
		model string
		batch int
	}{{"cnn", 32}, {"cnn", 256}, {"lenet5", 32}, {"lenet5", 256}, {"vgg-small", 64}, {"resnet9", 64}, {"resnet9", 512}} {
		b.Run(fmt.Sprintf("%s/%d", c.model, c.batch), func(b *testing.B) {
			net, err := model.Preset(c.model, nil, 10)
			if err != nil {
				b.Fatal(err)
			}
			set := &data.Set{Name: "noise", Height: net.Input[0], Width: net.Input[1], Channels: net.Input[2], Pixels: make([]uint8, images*net.Input.Size()), Labels: make([]uint16, images), Classes: make([]string, 10)}
			epoch := device.Epoch{Order: make([]int32, images), Rates: make([]float32, images/c.batch)}
			for i := range set.Pixels {
				set.Pixels[i] = uint8(i * 2654435761 >> 13)
			}
			for i := range epoch.Order {
				set.Labels[i], epoch.Order[i] = uint16(i%10), int32(i)
			}
			for i := range set.Classes {
				set.Classes[i] = fmt.Sprint(i)
			}
			for i := range epoch.Rates {
				epoch.Rates[i] = 1e-4
			}
			d := open(b, cuda.Options{})
			defer d.Close()
			p, err := d.Compile(net, device.Plan{Batch: c.batch, Training: &device.Training{Optimizer: device.NewAdam(), Seed: 1}})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			if err := p.SetState(device.State{Weights: net.InitialWeights(1)}); err != nil {
				b.Fatal(err)
			}
			r, err := p.Load(set)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := p.Train(context.Background(), r, epoch); err != nil { // captures
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := p.Train(context.Background(), r, epoch); err != nil {
					b.Fatal(err)
				}
			}
			steps := float64(b.N * len(epoch.Rates))
			b.ReportMetric(float64(b.Elapsed().Microseconds())/steps, "µs/step")
			b.ReportMetric(steps*float64(c.batch)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
