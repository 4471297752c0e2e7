package cpu_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"gcnn/data/fashionmnist"
	"gcnn/device"
	"gcnn/model"
)

// BenchmarkEpoch is an epoch of Fashion-MNIST as the lesson trains it: go test -bench Epoch -benchtime 3x ./cpu
func BenchmarkEpoch(b *testing.B) {
	train, _, err := fashionmnist.Load()
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"cnn", "lenet5"} {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/workers=%d", name, workers), func(b *testing.B) {
				net, plan := preset(b, name), lesson(name)
				p, r := start(b, workers, net, plan, train)
				epoch := epochOf(train, plan.Batch, 0.001)
				epoch.Order = shuffled(train.Len())
				best := math.Inf(1) // on a shared machine the mean says more about the neighbours
				b.ResetTimer()
				for range b.N {
					start := time.Now()
					if _, err := p.Train(context.Background(), r, epoch); err != nil {
						b.Fatal(err)
					}
					best = min(best, time.Since(start).Seconds())
				}
				b.ReportMetric(best, "best-s/epoch")
				b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/epoch")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkEvaluate is the test set in inference.
func BenchmarkEvaluate(b *testing.B) {
	_, test, err := fashionmnist.Load()
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"cnn", "lenet5"} {
		b.Run(name, func(b *testing.B) {
			p, r := start(b, 2, preset(b, name), device.Plan{Batch: 32}, test)
			for range b.N {
				if _, err := p.Evaluate(context.Background(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTasks prints where an epoch's time goes: go test -bench Tasks -benchtime 1x -v ./cpu
func BenchmarkTasks(b *testing.B) {
	train, _, err := fashionmnist.Load()
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"cnn", "lenet5", "vgg-small", "resnet9"} {
		b.Run(name, func(b *testing.B) {
			net, plan, set := preset(b, name), lesson(name), train
			if !net.Input.Equal(model.Shape{28, 28, 1}) {
				plan.Batch = 64
				set = images(b, net, 2*plan.Batch)
			}
			plan.Profile = true
			p, r := start(b, 1, net, plan, set)
			epoch := epochOf(set, plan.Batch, 0.001)
			epoch.Order = shuffled(set.Len())
			for range b.N {
				if _, err := p.Train(context.Background(), r, epoch); err != nil {
					b.Fatal(err)
				}
			}
			steps := float64(len(epoch.Rates) * b.N)
			for _, t := range p.Profile() {
				b.Logf("%8.2f µs a step %8.1f GFLOP/s  %-24s %s", t.Seconds/steps*1e6, float64(t.FLOPs)*steps/t.Seconds/1e9, t.Kernel, t.Name)
			}
		})
	}
}
