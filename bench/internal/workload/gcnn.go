package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gcnn/data"
	"gcnn/device"
)

// Trainer is gcnn in this process, training a workload on a device.
type Trainer struct {
	Loss float64 // mean of the last epoch

	work    Workload
	program device.Program
	set     device.Resident
	epoch   int
	order   []int32
	rates   []float32
	draw    *rand.Rand
}

// Option changes the plan that a Trainer is compiled for.
type Option func(*device.Plan)

// Profile takes the time of each task.
func Profile(p *device.Plan) { p.Profile = true }

// NewTrainer compiles a workload and loads its set. The device stays the caller's.
func NewTrainer(d device.Device, w Workload, set *data.Set, options ...Option) (*Trainer, error) {
	net, err := w.Network()
	if err != nil {
		return nil, err
	}
	plan := device.Plan{Batch: w.Batch, Training: &device.Training{Optimizer: w.Optimizer, Seed: 1}}
	for _, o := range options {
		o(&plan)
	}
	program, err := d.Compile(net, plan)
	if err != nil {
		return nil, err
	}
	t := &Trainer{work: w, program: program, draw: rand.New(rand.NewPCG(1, 2))}
	if err := program.SetState(device.State{Weights: net.InitialWeights(1)}); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	if t.set, err = program.Load(set); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	t.order = make([]int32, set.Len())
	for i := range t.order {
		t.order[i] = int32(i)
	}
	t.rates = slices.Repeat([]float32{w.Rate}, (set.Len()+w.Batch-1)/w.Batch)
	return t, nil
}

// Steps is the number of steps of an epoch.
func (t *Trainer) Steps() int { return len(t.rates) }

// Epoch trains once over the set in a new order and returns the seconds that it took, the shuffling included.
func (t *Trainer) Epoch(ctx context.Context) (float64, error) {
	start := time.Now()
	t.draw.Shuffle(len(t.order), func(i, j int) { t.order[i], t.order[j] = t.order[j], t.order[i] })
	m, err := t.program.Train(ctx, t.set, device.Epoch{Number: t.epoch, Order: t.order, Rates: t.rates})
	if err != nil {
		return 0, fmt.Errorf("epoch %d of %s: %w", t.epoch+1, t.work.Name, err)
	}
	t.epoch++
	t.Loss = m.Loss()
	return time.Since(start).Seconds(), nil
}

// Epochs trains whole epochs until at least so many seconds have passed, and returns the mean seconds of one. Short epochs are
// so timed over a span in which other processes' work can be told.
func (t *Trainer) Epochs(ctx context.Context, least float64) (float64, error) {
	sum, n := 0.0, 0
	for sum < least || n == 0 {
		s, err := t.Epoch(ctx)
		if err != nil {
			return 0, err
		}
		sum, n = sum+s, n+1
	}
	return sum / float64(n), nil
}

// Tasks is the time spent in each task; the Trainer is made with Profile.
func (t *Trainer) Tasks() []device.TaskTime { return t.program.Profile() }

// Close frees the program and its set.
func (t *Trainer) Close() error {
	var err error
	if t.set != nil {
		err = t.set.Close()
	}
	return errors.Join(err, t.program.Close())
}

// Predictor is gcnn in this process, predicting with a workload's network.
type Predictor struct {
	program device.Program
	images  *data.Set
}

// NewPredictor compiles a workload's network, forward only, for batches of so many images, with its initial weights.
func NewPredictor(d device.Device, w Workload, images *data.Set, batch int) (*Predictor, error) {
	net, err := w.Network()
	if err != nil {
		return nil, err
	}
	program, err := d.Compile(net, device.Plan{Batch: batch})
	if err != nil {
		return nil, err
	}
	p := &Predictor{program, images}
	if err := program.SetState(device.State{Weights: net.InitialWeights(1)}); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Predict runs all images so many times and returns the mean seconds of once.
func (p *Predictor) Predict(ctx context.Context, times int) (float64, error) {
	start := time.Now()
	for range times {
		if _, err := p.program.Predict(ctx, p.images); err != nil {
			return 0, err
		}
	}
	return time.Since(start).Seconds() / float64(times), nil
}

// Close frees the program.
func (p *Predictor) Close() error { return p.program.Close() }
