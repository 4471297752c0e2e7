//go:build cuda

package cuda_test

import (
	"context"
	"strings"
	"testing"

	"gcnn/cpu"
	"gcnn/cuda"
	"gcnn/data/fashionmnist"
	"gcnn/device"
	"gcnn/device/parity"
	"gcnn/model"
)

// TestParity trains presets on real images beside the CPU: every layer and every step is within the bound that is derived for
// it.
func TestParity(t *testing.T) {
	t.Parallel()
	train, _, err := fashionmnist.Load()
	if err != nil {
		t.Fatal(err)
	}
	sgd := device.Training{Optimizer: device.SGD{Momentum: 0.9, Nesterov: true}, WeightDecay: 0.01, ClipNorm: 1, LabelSmoothing: 0.1, Seed: 5}
	for name, c := range map[string]struct {
		model        string
		training     device.Training
		options      cuda.Options
		batch, steps int
	}{
		"cnn":                {"cnn", device.Training{Optimizer: device.NewAdam(), Seed: 5}, cuda.Options{}, 16, 4},
		"lenet5":             {"lenet5", sgd, cuda.Options{}, 16, 4},
		"fast":               {"fast", sgd, cuda.Options{}, 2, 1},                // the larger presets take the reference minutes: bench/gpu.sh
		"without workspaces": {"lenet5", sgd, cuda.Options{Workspace: 1}, 16, 4}, // too little for most of cuDNN's algorithms
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			net, err := model.Preset(c.model, nil, 10)
			if err != nil {
				t.Fatal(err)
			}
			host, err := cpu.Open(cpu.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer host.Close()
			gpu := open(t, c.options)
			defer gpu.Close()
			report, err := parity.Compare(context.Background(), parity.Case{
				Net: net, Weights: net.InitialWeights(5), Set: train, Training: c.training, Rate: 0.01, Batch: c.batch, Steps: c.steps,
			}, host, gpu)
			if err != nil {
				t.Fatal(err)
			}
			if !report.Within {
				var table strings.Builder
				if err := report.WriteTable(&table); err != nil {
					t.Fatal(err)
				}
				t.Errorf("errors beyond their bound:\n%s", table.String())
			}
		})
	}
}
