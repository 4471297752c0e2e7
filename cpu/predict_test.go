package cpu

import (
	"context"
	"fmt"
	"testing"

	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// BenchmarkPredict is the prediction of few images.
func BenchmarkPredict(b *testing.B) {
	k, err := kernel.Open("")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"cnn", "lenet5", "vgg-small", "resnet9", "alexnet"} {
		net, err := model.Preset(name, nil, 10)
		if err != nil {
			b.Fatal(err)
		}
		for _, workers := range []int{1, 2} {
			for _, n := range []int{1, 4, 8, 12} {
				for _, mapping := range []string{"channels", "samples"} {
					b.Run(fmt.Sprintf("%s/workers=%d/images=%d/%s", name, workers, n, mapping), func(b *testing.B) {
						p, err := newProgram(k, workers, net, device.Plan{Batch: n}, false)
						if err != nil {
							b.Fatal(err)
						}
						p.shut = func() {}
						defer p.Close()
						p.prefers = func(int) bool { return mapping == "channels" }
						if err := p.SetState(device.State{Weights: drawnWeights(net)}); err != nil {
							b.Fatal(err)
						}
						set := drawnImages(net, n)
						b.ReportAllocs()
						for b.Loop() {
							if _, _, err := p.forward(context.Background(), set); err != nil {
								b.Fatal(err)
							}
						}
					})
				}
			}
		}
	}
}

// TestPredictAllocations: a prediction allocates its result and what describes the call, whatever the network and the number of images.
func TestPredictAllocations(t *testing.T) {
	k, err := kernel.Open("")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cnn", "lenet5", "resnet9"} {
		net, err := model.Preset(name, model.Shape{32, 32, 3}, 10)
		if err != nil {
			t.Fatal(err)
		}
		p, err := newProgram(k, 1, net, device.Plan{Batch: 1}, false)
		if err != nil {
			t.Fatal(err)
		}
		p.shut = func() {}
		defer p.Close()
		for _, n := range []int{1, 3, 7} {
			set := drawnImages(net, n)
			got := testing.AllocsPerRun(10, func() { // after one that is not counted
				if _, _, err := p.forward(context.Background(), set); err != nil {
					t.Fatal(err)
				}
			})
			if got > 16 && !RaceDetector {
				t.Errorf("%s: %g allocations for %d images", name, got, n)
			}
		}
	}
}

// TestPredictMemory: a program for one image takes no more than the weights and one image's activations.
func TestPredictMemory(t *testing.T) {
	t.Parallel()
	net, err := model.Preset("alexnet", nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Open("")
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProgram(k, 2, net, device.Plan{Batch: 1}, true)
	if err != nil {
		t.Fatal(err)
	}
	weights, activations := int64(0), int64(4*net.Input.Size())
	for _, q := range net.Params() {
		weights += 4 * int64(q.Size())
	}
	for _, node := range net.Nodes {
		activations += 4 * int64(node.Out.Size())
	}
	if got := p.outline().bytes(); got > weights+activations {
		t.Errorf("%d bytes, weights of %d and activations of %d", got, weights, activations)
	}
}

// TestKeep: a program that keeps the weights it is given predicts as one that copies them.
func TestKeep(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	net, err := model.Preset("resnet9", model.Shape{28, 28, 1}, 10)
	if err != nil {
		t.Fatal(err)
	}
	weights := drawnWeights(net)
	d, err := Open(Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	var outputs [2][]float32
	for i := range outputs {
		for _, n := range []int{1, 16, 35} {
			p, err := d.Compile(net, device.Plan{Batch: n})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if err := p.SetState(device.State{Weights: weights, Keep: i == 1}); err != nil {
				t.Fatal(err)
			}
			set := drawnImages(net, n)
			set.Labels = nil
			out, err := p.Predict(ctx, set)
			if err != nil {
				t.Fatal(err)
			}
			outputs[i] = append(outputs[i], out.Float32s()...)
			if kept := &p.(*program).params["prep_conv/kernel"].w[0] == &weights["prep_conv/kernel"].Float32s()[0]; kept != (i == 1) {
				t.Errorf("kept: %v, asked for %v", kept, i == 1)
			}
		}
	}
	for i, v := range outputs[0] {
		if outputs[1][i] != v {
			t.Fatalf("output %d is %g with kept weights, %g with copied ones", i, outputs[1][i], v)
		}
	}
}
