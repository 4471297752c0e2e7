package devicetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/device"
	"gcnn/model"
)

// RunStreamed checks that sets which are streamed give the bits of sets that lie on the device: training with partial batches and
// augmentation over several epochs, cancelled and gone on with, evaluation and prediction. open makes a device that streams all
// sets, in small pieces, or none.
func RunStreamed(t *testing.T, open func(t testing.TB, streams bool) device.Device) {
	still, streams := open(t, false), open(t, true)
	t.Cleanup(func() {
		if err := errors.Join(streams.Close(), still.Close()); err != nil {
			t.Error(err)
		}
	})
	moved := device.Augment{Flip: device.RandomFlip, Shift: 2, Cutout: 2}
	toned := device.Augment{Flip: device.AlternatingFlip, Shift: 1, Rotate: 20, Brightness: 0.1, Contrast: 0.2}
	for i, c := range []struct {
		name            string
		images, samples int
		batch           int
		augment         device.Augment
		floats          bool
	}{
		{name: "bytes", images: 61, samples: 61, batch: 4},
		{name: "whole batches", images: 40, samples: 40, batch: 8},
		{name: "more samples than images", images: 13, samples: 90, batch: 4},
		{name: "fewer than a batch", images: 5, samples: 3, batch: 8},
		{name: "moved", images: 37, samples: 37, batch: 5, augment: moved},
		{name: "toned", images: 37, samples: 37, batch: 5, augment: toned},
		{name: "floats", images: 50, samples: 50, batch: 3, floats: true},
		{name: "toned floats", images: 23, samples: 23, batch: 3, augment: toned, floats: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			net := tiny()
			s := newSource(uint64(900 + i))
			set := s.images(net, c.images)
			if c.floats {
				set.Floats, set.Pixels = fill(s.real, len(set.Pixels)).Float32s(), nil
			}
			weights, orders := s.realWeights(net), [][]int32{s.order(c.samples, c.images), s.order(c.samples, c.images)}
			plan := device.Plan{Batch: c.batch, Training: &device.Training{Optimizer: device.NewAdam(), WeightDecay: 0.01, Augment: c.augment, Seed: 7}}
			var seen [2]seenTraining
			for k, dev := range []device.Device{still, streams} {
				var err error
				if seen[k], err = trainTwice(dev, k == 1, net, plan, set, weights, orders); err != nil {
					t.Fatalf("streamed: %v: %v", k == 1, err)
				}
			}
			if err := seen[1].equal(seen[0]); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("outline", func(t *testing.T) {
		t.Parallel()
		net := tiny()
		set := newSource(990).images(net, 10)
		for k, dev := range []device.Device{still, streams} {
			o, err := dev.Outline(net, device.Plan{Batch: 4}, set, set)
			if err != nil {
				t.Fatal(err)
			}
			want := device.Placement{Set: set.Name, Bytes: set.Bytes(), Streamed: k == 1}
			if len(o.Sets) != 2 || o.Sets[0] != want || o.Sets[1] != want {
				t.Errorf("sets lie at %+v, want %+v twice", o.Sets, want)
			}
		}
	})
}

// seenTraining is what a training shows.
type seenTraining struct {
	first, second device.Metrics // of two epochs
	state         device.State
	evaluation    device.Evaluation
	predictions   *tensor.Dense
}

// equal compares the bits. The second epoch's losses are added up in another order where it was stopped elsewhere.
func (s seenTraining) equal(want seenTraining) error {
	err := errors.Join(sameState(s.state, want.state),
		sameTensors("probabilities", map[string]*tensor.Dense{"evaluated": s.evaluation.Probabilities, "predicted": s.predictions},
			map[string]*tensor.Dense{"evaluated": want.evaluation.Probabilities, "predicted": want.predictions}))
	if s.first != want.first || s.evaluation.Metrics != want.evaluation.Metrics {
		err = errors.Join(err, fmt.Errorf("the metrics are %v and %v, want %v and %v", s.first, s.evaluation.Metrics, want.first, want.evaluation.Metrics))
	}
	if a, b := s.second, want.second; a.Count != b.Count || a.Correct != b.Correct || !closeSums(a.LossSum, b.LossSum, int(b.Count)) {
		err = errors.Join(err, fmt.Errorf("the second epoch's metrics are %v, want %v", a, b))
	}
	return err
}

// trainTwice trains two epochs with the second one cancelled and gone on with, evaluates and predicts.
func trainTwice(dev device.Device, streamed bool, net *model.Network, plan device.Plan, set *data.Set, weights map[string]*tensor.Dense, orders [][]int32) (seen seenTraining, err error) {
	ctx := context.Background()
	p, err := dev.Compile(net, plan)
	if err != nil {
		return seen, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := p.SetState(device.State{Weights: weights}); err != nil {
		return seen, err
	}
	r, err := p.Load(set)
	if err != nil {
		return seen, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if got := r.Placement(); got.Streamed != streamed {
		return seen, fmt.Errorf("the set lies at %+v", got)
	}
	for number, order := range orders {
		rates := make([]float32, (len(order)+plan.Batch-1)/plan.Batch)
		for i := range rates {
			rates[i] = 0.01
		}
		stop, cancel := context.WithCancelCause(ctx)
		epoch := device.Epoch{Number: number, Order: order, Rates: rates}
		if number == 1 {
			epoch.Progress = func(device.Progress) { cancel(errStopped) }
			go cancel(errStopped)
		}
		m, err := p.Train(stop, r, epoch)
		cancel(nil)
		if err != nil && !errors.Is(err, errStopped) {
			return seen, err
		}
		if done := int(m.Count); done < len(order) { // go on
			epoch.Order, epoch.Rates, epoch.Start, epoch.Progress = order[done:], rates[done/plan.Batch:], m, nil
			if m, err = p.Train(ctx, r, epoch); err != nil {
				return seen, err
			}
		}
		seen.first, seen.second = seen.second, m
	}
	if seen.evaluation, err = p.Evaluate(ctx, r); err != nil {
		return seen, err
	}
	if seen.predictions, err = p.Predict(ctx, set); err != nil {
		return seen, err
	}
	seen.state, err = p.State()
	return seen, err
}

var errStopped = errors.New("stopped")
