package devicetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"gcnn/device"
	"gcnn/model"
)

// testEnding checks how training and inference end before their time: cancelled, with a loss that is no number, or closed.
func testEnding(t *testing.T, dev device.Device) {
	for name, after := range map[string]int{"before": 0, "within": 3} {
		t.Run("cancelled "+name, func(t *testing.T) {
			t.Parallel()
			if err := checkCancelled(dev, after); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("inference cancelled", func(t *testing.T) {
		t.Parallel()
		c := stateCase(device.SGD{})
		set, state, _ := c.data()
		p, resident, err := c.start(dev, state, set)
		if err != nil {
			t.Fatal(err)
		}
		defer closeProgram(t, p)
		ctx, cancel := context.WithCancelCause(context.Background())
		cause := errors.New("enough")
		cancel(cause)
		if _, err := p.Evaluate(ctx, resident); !errors.Is(err, cause) {
			t.Errorf("evaluate: %v, want the context's cause", err)
		}
		if _, err := p.Predict(ctx, set); !errors.Is(err, cause) {
			t.Errorf("predict: %v, want the context's cause", err)
		}
	})
	t.Run("progress", func(t *testing.T) {
		t.Parallel()
		if err := checkProgress(dev); err != nil {
			t.Error(err)
		}
	})
	for name, first := range map[string]int{"first": 1, "third": 3} {
		t.Run("not finite in the "+name+" step", func(t *testing.T) {
			t.Parallel()
			if err := checkNotFinite(dev, first); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("NaN before a ReLU", func(t *testing.T) {
		t.Parallel()
		if err := checkHiddenNaN(dev); err != nil {
			t.Error(err)
		}
	})
	t.Run("closed within", func(t *testing.T) {
		t.Parallel()
		if err := checkClosedWithin(dev); err != nil {
			t.Error(err)
		}
	})
}

// checkCancelled cancels a training and holds what it left against a training of as many steps.
func checkCancelled(dev device.Device, after int) (err error) {
	c := stateCase(device.NewAdam())
	c.samples = 40 * c.batch
	set, state, epoch := c.data()
	p, resident, err := c.start(dev, state, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resident.Close(), p.Close()) }()
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	if after == 0 {
		cancel(cause)
	}
	epoch.Progress = func(p device.Progress) {
		if p.Step >= after {
			cancel(cause)
		}
	}
	m, err := p.Train(ctx, resident, epoch)
	cancel(nil)
	got, stateErr := p.State()
	if stateErr != nil {
		return stateErr
	}
	if !errors.Is(err, cause) && got.Step != int64(len(epoch.Rates)) {
		return fmt.Errorf("after %d of %d steps: %w", got.Step, len(epoch.Rates), anotherError(err, cause))
	}
	if after == 0 && got.Step > 1 {
		return fmt.Errorf("%d steps after the context had ended", got.Step)
	}
	if m.Count != got.Step*int64(c.batch) {
		return fmt.Errorf("%d steps of %d samples, and %d samples counted", got.Step, c.batch, m.Count)
	}
	if got.Step == 0 {
		return sameTensors("weight", state.Weights, got.Weights)
	}
	again, residentAgain, err := c.start(dev, state, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, residentAgain.Close(), again.Close()) }()
	done := device.Epoch{Order: epoch.Order[:m.Count], Rates: epoch.Rates[:got.Step]}
	if _, err := again.Train(context.Background(), residentAgain, done); err != nil {
		return err
	}
	want, err := again.State()
	if err != nil {
		return err
	}
	if err := sameState(want, got); err != nil {
		return fmt.Errorf("a training stopped after %d steps is not one of %d steps: %w", got.Step, got.Step, err)
	}
	return nil
}

// checkProgress checks that progress rises, never passes the end, and ends there with the metrics of the epoch.
func checkProgress(dev device.Device) (err error) {
	c := stateCase(device.SGD{})
	set, state, epoch := c.data()
	p, resident, err := c.start(dev, state, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resident.Close(), p.Close()) }()
	var seen []device.Progress
	epoch.Progress = func(p device.Progress) { seen = append(seen, p) }
	epoch.Start = device.Metrics{LossSum: 100, Correct: 7, Count: 11}
	m, err := p.Train(context.Background(), resident, epoch)
	if err != nil {
		return err
	}
	if m.Count != 11+int64(len(epoch.Order)) || m.LossSum < 100 || m.Correct < 7 {
		return fmt.Errorf("the metrics %+v do not go on from Epoch.Start", m)
	}
	if len(seen) == 0 {
		return errors.New("no progress was reported")
	}
	last := 0
	for _, s := range seen {
		if s.Step < last || s.Step > s.Steps || s.Steps != len(epoch.Rates) || s.Metrics.Count > m.Count || s.Metrics.Count < 11 {
			return fmt.Errorf("progress %+v after step %d of %d", s, last, len(epoch.Rates))
		}
		last = s.Step
	}
	if end := seen[len(seen)-1]; end.Step != end.Steps || end.Metrics != m {
		return fmt.Errorf("the last progress is %+v, the epoch's metrics are %+v", end, m)
	}
	epoch = device.Epoch{Start: epoch.Start}
	if m, err = p.Train(context.Background(), resident, epoch); err == nil && m != epoch.Start {
		err = fmt.Errorf("metrics %+v", m)
	}
	if err != nil {
		return fmt.Errorf("an epoch without samples: %w", err)
	}
	return nil
}

// checkNotFinite trains until the given step's loss is no number: from weights that are none, or from weights that the step
// before made infinite.
func checkNotFinite(dev device.Device, step int) (err error) {
	net := mustNet(model.Shape{2, 2, 1}, model.Flatten{}, model.Dense{Units: 3, Activation: model.Softmax})
	s := newSource(700)
	set := s.images(net, 6)
	set.Pixels, set.Labels = nil, make([]uint16, 6)
	set.Floats = fill(func() float32 { return 50 + 50*float32(s.Float64()) }, 6*4).Float32s()
	c := trainCase{net: net, batch: 2, set: set, samples: 10, seed: 701, training: device.Training{Optimizer: device.SGD{}}}
	c.rates = func(k int) float32 {
		if k == step-2 {
			return 3e38
		}
		return 1e-6
	}
	_, state, epoch := c.data()
	for _, t := range state.Weights {
		for i := range t.Float32s() {
			t.Float32s()[i] = 0
		}
	}
	if step == 1 {
		state.Weights["dense/bias"].Float32s()[1] = float32(math.NaN())
	}
	p, resident, err := c.start(dev, state, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resident.Close(), p.Close()) }()
	_, err = p.Train(context.Background(), resident, epoch)
	var notFinite *device.NonFiniteError
	if !errors.As(err, &notFinite) {
		return anotherError(err, &device.NonFiniteError{Step: step, Loss: math.NaN()})
	}
	if notFinite.Step != step || !(math.IsNaN(notFinite.Loss) || math.IsInf(notFinite.Loss, 0)) {
		return fmt.Errorf("%w: want step %d", err, step)
	}
	got, err := p.State()
	if err != nil {
		return err
	}
	if got.Step != int64(step) {
		return fmt.Errorf("the state is that after %d steps, want %d", got.Step, step)
	}
	return nil
}

// checkHiddenNaN trains with a kernel of NaN before a ReLU, which may make 0 of it (cuDNN's fused one does): the step ends the
// training all the same.
func checkHiddenNaN(dev device.Device) (err error) {
	net := mustNet(model.Shape{4, 4, 1}, model.Conv2D{Name: "conv", Filters: 2, KernelSize: model.Square(3), Activation: model.ReLU},
		model.Flatten{}, model.Dense{Units: 3, Activation: model.Softmax})
	c := trainCase{net: net, batch: 2, images: 6, samples: 6, seed: 702, training: device.Training{Optimizer: device.SGD{}}}
	set, state, epoch := c.data()
	state.Weights["conv/kernel"].Float32s()[4] = float32(math.NaN())
	p, resident, err := c.start(dev, state, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resident.Close(), p.Close()) }()
	_, err = p.Train(context.Background(), resident, epoch)
	var notFinite *device.NonFiniteError
	if !errors.As(err, &notFinite) || notFinite.Step != 1 {
		return anotherError(err, &device.NonFiniteError{Step: 1, Loss: math.NaN()})
	}
	return nil
}

// checkClosedWithin closes a program while it trains: Close waits for the training, which is cancelled.
func checkClosedWithin(dev device.Device) error {
	c := stateCase(device.SGD{})
	c.samples = 200 * c.batch
	set, state, epoch := c.data()
	p, resident, err := c.start(dev, state, set)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	started, ended := make(chan struct{}), make(chan error, 1)
	epoch.Progress = func(device.Progress) {
		select {
		case <-started:
		default:
			close(started)
		}
	}
	go func() {
		_, err := p.Train(ctx, resident, epoch)
		ended <- err
	}()
	<-started
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := p.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	select {
	case err = <-ended:
	case <-time.After(10 * time.Second):
		return errors.New("the program was closed while it trained")
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("the training ended with %w", err)
	}
	if _, err := p.State(); !errors.Is(err, device.ErrClosed) {
		return fmt.Errorf("the state of a closed program: %w", anotherError(err, device.ErrClosed))
	}
	return nil
}
