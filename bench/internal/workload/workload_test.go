package workload

import (
	"errors"
	"math"
	"testing"

	"gcnn/device/reference"
	"gcnn/model"
)

// The figures of a measured study of the two lesson networks: 173.6 K and 249.9 K operations a sample for cnn, 25.4 GFLOP an
// epoch; 682.5 K and 1,280 K for lenet5, 117.8 GFLOP.
func TestTrainingFLOPs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		sample float64
		epoch  float64
	}{{"cnn", 423.5e3, 25.4e9}, {"lenet5", 1962.5e3, 117.8e9}} {
		found, err := Find(c.name)
		if err != nil {
			t.Fatal(err)
		}
		net, err := found[0].Network()
		if err != nil {
			t.Fatal(err)
		}
		got := float64(TrainingFLOPs(net))
		if math.Abs(got/c.sample-1) > 1e-3 || math.Abs(60000*got/c.epoch-1) > 2e-3 {
			t.Errorf("%s: %.4g operations a sample and %.4g an epoch, want %.4g and %.4g", c.name, got, 60000*got, c.sample, c.epoch)
		}
	}
}

// A frozen layer has no gradient of its kernel, and nothing before a trainable layer has one of its input.
func TestFrozenFLOPs(t *testing.T) {
	t.Parallel()
	flops := func(first, second model.Frozen) int64 {
		net, err := model.New("n", model.Shape{4, 4, 1}, model.Flatten{},
			model.Dense{Units: 8, Frozen: first}, model.Dense{Units: 4, Frozen: second}, model.Dense{Units: 2, Activation: model.Softmax})
		if err != nil {
			t.Fatal(err)
		}
		return TrainingFLOPs(net)
	}
	const a, b, c = 2 * 16 * 8, 2 * 8 * 4, 2 * 4 * 2
	for _, x := range []struct {
		first, second model.Frozen
		want          int64
	}{{false, false, 2*a + 3*b + 3*c}, {true, false, a + 2*b + 3*c}, {true, true, a + b + 2*c}, {false, true, 2*a + 2*b + 3*c}} {
		if got := flops(x.first, x.second); got != x.want {
			t.Errorf("frozen %v, %v: %d operations, want %d", x.first, x.second, got, x.want)
		}
	}
}

// Every workload's set fits its network, and its batch divides the noise, so that no step is partial.
func TestWorkloads(t *testing.T) {
	t.Parallel()
	for _, w := range all {
		net, err := w.Network()
		if err != nil {
			t.Fatal(err)
		}
		set, err := w.Set()
		if err != nil {
			t.Fatal(err)
		}
		if !net.Input.Equal(model.Shape{set.Height, set.Width, set.Channels}) || set.Validate() != nil || w.Images%w.Batch != 0 {
			t.Errorf("%s: input %v, set %d×%d×%d, %v", w.Name, net.Input, set.Height, set.Width, set.Channels, set.Validate())
		}
		if classes, err := net.Classes(); err != nil || classes != Classes {
			t.Errorf("%s: %d classes, %v", w.Name, classes, err)
		}
	}
	if _, err := Find("cnn,lenet"); err == nil {
		t.Error("an unknown network is found")
	}
}

// The loops train and predict: on the reference device, over a few images.
func TestTrainerAndPredictor(t *testing.T) {
	t.Parallel()
	found, err := Find("cnn")
	if err != nil {
		t.Fatal(err)
	}
	w := found[0]
	set, err := w.Set()
	if err != nil {
		t.Fatal(err)
	}
	d := reference.Open(reference.Options{})
	trainer, err := NewTrainer(d, w, set.Slice(0, 70))
	if err != nil {
		t.Fatal(err)
	}
	if trainer.Steps() != 3 {
		t.Errorf("70 images in batches of 32 are %d steps, want 3", trainer.Steps())
	}
	first, err := trainer.Epochs(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	loss := trainer.Loss
	for range 4 {
		if _, err := trainer.Epoch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if first <= 0 || !(trainer.Loss < loss) {
		t.Errorf("an epoch took %v s; the loss went from %v to %v", first, loss, trainer.Loss)
	}
	if err := trainer.Close(); err != nil {
		t.Error(err)
	}
	p, err := NewPredictor(d, w, set.Slice(0, 3), 2)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := p.Predict(t.Context(), 2); err != nil || s <= 0 {
		t.Errorf("predicting took %v s, %v", s, err)
	}
	if err := errors.Join(p.Close(), d.Close()); err != nil {
		t.Error(err)
	}
}
