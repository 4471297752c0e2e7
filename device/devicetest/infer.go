package devicetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"gcnn/data"
	"gcnn/device"
	"gcnn/device/reference"
	"gcnn/model"
)

// testInference compares Evaluate and Predict with the reference, for programs made for inference and for training.
func testInference(t *testing.T, dev device.Device) {
	map2 := mustNet(model.Shape{5, 6, 2}, model.Conv2D{Filters: 3, KernelSize: model.Square(3), Activation: model.ReLU}, model.MaxPool2D{})
	twoMeans := model.Normalization{Mean: []float32{0.5, 0.25, 0.75}, Std: []float32{0.25, 2, 0.125}}
	for i, c := range []struct {
		name     string
		net      *model.Network
		batch, n int
		training *device.Training
		norm     model.Normalization
		floats   bool
	}{
		{name: "cnn", net: preset("cnn"), batch: 16, n: 35},
		{name: "cnn one image", net: preset("cnn"), batch: 32, n: 1},
		{name: "cnn batch 1", net: preset("cnn"), batch: 1, n: 3},
		{name: "lenet5", net: preset("lenet5"), batch: 8, n: 9},
		{name: "branched", net: branched(), batch: 17, n: 17, norm: twoMeans},
		{name: "branched trained", net: branched(), batch: 5, n: 33, training: &device.Training{
			Optimizer: device.SGD{}, LabelSmoothing: 0.1, ClassWeights: []float32{9, 9, 9, 9, 9}, Augment: device.Augment{Flip: device.RandomFlip},
		}},
		{name: "feature map", net: map2, batch: 4, n: 6},
		{name: "floats", net: tiny(), batch: 4, n: 6, floats: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			s := newSource(uint64(500 + i))
			set := s.images(c.net, c.n)
			if c.floats {
				set.Floats, set.Pixels = fill(s.real, len(set.Pixels)).Float32s(), nil
			}
			_, notClassifier := c.net.Classes()
			if notClassifier != nil {
				set.Labels = nil
			}
			state := device.State{Weights: s.realWeights(c.net)}
			plan := device.Plan{Batch: c.batch, Normalization: c.norm, Training: c.training}
			p, err := dev.Compile(c.net, plan)
			if err != nil {
				t.Fatal(err)
			}
			defer closeProgram(t, p)
			if err := p.SetState(state); err != nil {
				t.Fatal(err)
			}
			ref, err := reference.Open(reference.Options{}).Program(c.net, plan)
			if err != nil {
				t.Fatal(err)
			}
			if err := ref.SetState(state); err != nil {
				t.Fatal(err)
			}
			want, err := ref.PredictBounds(ctx, set)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkPredict(ctx, p, set, want); err != nil {
				t.Error(err)
			}
			if notClassifier == nil {
				if err := checkEvaluate(ctx, p, set, want); err != nil {
					t.Error(err)
				}
			}
			after, err := p.State()
			if err != nil {
				t.Fatal(err)
			}
			if err := sameTensors("weight", state.Weights, after.Weights); err != nil {
				t.Errorf("inference changed the weights: %v", err)
			}
		})
	}
}

// testFew predicts one image and a few with every layer: a backend may compute them in another way than whole batches.
func testFew(t *testing.T, dev device.Device) {
	for i, c := range eachLayer() {
		for _, tier := range []tier{exactTier, derivedTier} {
			if c.derived && tier == exactTier {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", c.name, tier), func(t *testing.T) {
				t.Parallel()
				for _, n := range []int{1, 3, 15} {
					if err := checkFew(dev, c.net, n, tier, uint64(700+i)); err != nil {
						t.Errorf("%d images: %v\n%s", n, err, describe(c.net))
					}
				}
			})
		}
	}
}

func checkFew(dev device.Device, net *model.Network, n int, t tier, seed uint64) (err error) {
	ctx := context.Background()
	s := newSource(seed)
	set := s.images(net, n)
	set.Labels = nil
	draw, weights, compare := s.real, s.realWeights, withinBound
	if t == exactTier {
		draw, weights, compare = func() float32 { return s.integer(3) }, s.integerWeights, reference.CompareExact
	}
	set.Floats, set.Pixels = fill(draw, len(set.Pixels)).Float32s(), nil
	state := device.State{Weights: weights(net)}
	plan := device.Plan{Batch: n, Exact: t == exactTier}
	p, err := dev.Compile(net, plan)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := p.SetState(state); err != nil {
		return err
	}
	ref, err := reference.Open(reference.Options{}).Program(net, plan)
	if err != nil {
		return err
	}
	if err := ref.SetState(state); err != nil {
		return err
	}
	want, err := ref.PredictBounds(ctx, set)
	if err != nil {
		return err
	}
	got, err := p.Predict(ctx, set)
	if err != nil {
		return err
	}
	return compare(got, want.Outputs)
}

func checkPredict(ctx context.Context, p device.Program, set *data.Set, want reference.Prediction) error {
	got, err := p.Predict(ctx, set)
	if err != nil {
		return fmt.Errorf("predict: %w", err)
	}
	if err := withinBound(got, want.Outputs); err != nil {
		return fmt.Errorf("predict: %w", err)
	}
	return nil
}

func checkEvaluate(ctx context.Context, p device.Program, set *data.Set, want reference.Prediction) error {
	resident, err := p.Load(set)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	defer resident.Close()
	if resident.Len() != set.Len() {
		return fmt.Errorf("the loaded set has %d images, not %d", resident.Len(), set.Len())
	}
	got, err := p.Evaluate(ctx, resident)
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	if err := withinBound(got.Probabilities, want.Outputs); err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	if err := checkMetrics(got.Metrics, want.LossSum, want.Correct, want.Open, set.Len()); err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	return nil
}
