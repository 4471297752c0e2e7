package reference

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"gcnn/data"
	"gcnn/data/fashionmnist"
	"gcnn/device"
	"gcnn/model"
	"gcnn/weights"
)

func readGolden(t *testing.T, name string) goldenCase {
	file, err := weights.ReadFile(filepath.Join(goldens, name+".npz"))
	if err != nil {
		t.Fatal(err)
	}
	return goldenCase{Name: name, arrays: file.Tensors}
}

// TestGoldenRuns trains the lesson's networks on the first images of Fashion-MNIST and compares with the same runs in float64
// by Keras and PyTorch.
func TestGoldenRuns(t *testing.T) {
	t.Parallel()
	const tolerance = 1e-9 // of what 20 steps make of differences of 1e-15; relative to the largest element
	train, test, err := fashionmnist.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		golden, preset string
		batch          int
		rate           float32
		optimizer      device.Optimizer
	}{
		{"M1", "cnn", 32, 1e-3, device.NewAdam()},
		{"M2", "lenet5", 128, 0.01, device.SGD{}},
	} {
		t.Run(c.preset, func(t *testing.T) {
			t.Parallel()
			net, err := model.Preset(c.preset, nil, 10)
			if err != nil {
				t.Fatal(err)
			}
			p, err := Open(Options{Float64State: true}).Program(net, device.Plan{Batch: c.batch, Training: &device.Training{Optimizer: c.optimizer}})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.SetState(device.State{Weights: readGolden(t, c.golden+"_init").arrays}); err != nil {
				t.Fatal(err)
			}
			run := readGolden(t, c.golden+"_run20_f64")
			firstGradients(t, p, train, run, tolerance)
			set, err := p.Load(train)
			if err != nil {
				t.Fatal(err)
			}
			losses := run.tensor(t, "step_loss").Elems
			steps := len(losses)
			if testing.Short() {
				steps = 2
			}
			for s := range steps {
				m, err := p.Train(context.Background(), set, device.Epoch{Order: batch(s, c.batch), Rates: []float32{c.rate}})
				if err != nil {
					t.Fatal(err)
				}
				near(t, fmt.Sprint("loss of step ", s+1), []Ball{{V: m.Loss()}}, losses[s:s+1], tolerance)
				if s+1 == 1 || s+1 == len(losses) {
					after := readGolden(t, fmt.Sprintf("%s_step%d_f64", c.golden, s+1))
					for name, w := range p.weights {
						near(t, fmt.Sprint(name, " after step ", s+1), w.Elems, after.tensor(t, name).Elems, tolerance)
					}
				}
			}
			if testing.Short() {
				return
			}
			first, err := test.Limit(64)
			if err != nil {
				t.Fatal(err)
			}
			out, err := p.PredictBounds(context.Background(), first)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "softmax after 20 steps", out.Outputs.Elems, run.tensor(t, "test_softmax_after20").Elems, tolerance)
		})
	}
}

func batch(step, size int) []int32 {
	order := make([]int32, size)
	for i := range order {
		order[i] = int32(step*size + i)
	}
	return order
}

func firstGradients(t *testing.T, p *Program, train *data.Set, run goldenCase, tolerance float64) {
	t.Helper()
	x, err := p.Batch(train, batch(0, p.plan.Batch))
	if err != nil {
		t.Fatal(err)
	}
	trace, err := p.TraceBounds(context.Background(), device.TraceInput{X: x, Labels: train.Labels[:p.plan.Batch]})
	if err != nil {
		t.Fatal(err)
	}
	for name, g := range trace.ParamGrads {
		near(t, "first gradient of "+name, g.Elems, run.tensor(t, "grad1/"+name).Elems, tolerance)
	}
}
