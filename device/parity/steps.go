package parity

import (
	"context"
	"errors"
	"fmt"

	"gorgonia.org/tensor"

	"gcnn/device"
	"gcnn/device/reference"
)

// runner is a device's program in the middle of its training.
type runner struct {
	name    string
	program device.Program
	set     device.Resident
	state   device.State
}

func (c Case) newRunner(dev device.Device) (*runner, error) {
	plan := device.Plan{Batch: c.Batch, Normalization: c.Normalization, Training: &c.Training, Exact: c.Exact}
	p, err := dev.Compile(c.Net, plan)
	if err != nil {
		return nil, err
	}
	r := &runner{name: dev.Info().Name, program: p}
	err = p.SetState(device.State{Weights: c.Weights})
	if err == nil {
		r.set, err = p.Load(c.Set)
	}
	if err == nil {
		r.state, err = p.State()
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *runner) close() error {
	var err error
	if r.set != nil {
		err = r.set.Close()
	}
	return errors.Join(err, r.program.Close())
}

// addSteps trains every device and the reference from the same weights with the same batches.
func (c Case) addSteps(ctx context.Context, r *Report, devices []device.Device) (err error) {
	truth, err := c.newRunner(reference.Open(reference.Options{Float64State: true}))
	if err != nil {
		return err
	}
	judge, err := c.newRunner(reference.Open(reference.Options{})) // steps from each device's own state
	if err != nil {
		return err
	}
	var runners []*runner
	defer func() {
		for _, run := range append(runners, truth, judge) {
			err = errors.Join(err, run.close())
		}
	}()
	for _, dev := range devices {
		run, err := c.newRunner(dev)
		if err != nil {
			return fmt.Errorf("%s: %w", dev.Info().Name, err)
		}
		runners = append(runners, run)
	}
	for k := range c.Steps {
		epoch := device.Epoch{Order: c.order(k), Rates: []float32{c.Rate}}
		if _, err := truth.program.Train(ctx, truth.set, epoch); err != nil {
			return fmt.Errorf("reference, step %d: %w", k+1, err)
		}
		weights, err := truth.program.(*reference.Program).Weights()
		if err != nil {
			return err
		}
		var step Step
		for _, run := range runners {
			if err := c.addStep(ctx, &step, run, judge.program.(*reference.Program), epoch, weights); err != nil {
				return fmt.Errorf("%s, step %d: %w", run.name, k+1, err)
			}
		}
		step.Between = between(runners)
		for _, drift := range step.Drift {
			r.Within = r.Within && drift.within()
		}
		r.Steps = append(r.Steps, step)
	}
	return nil
}

func (c Case) addStep(ctx context.Context, step *Step, run *runner, judge *reference.Program, epoch device.Epoch, truth map[string]*reference.Tensor) error {
	metrics, err := run.program.Train(ctx, run.set, epoch)
	if err != nil {
		return err
	}
	before := run.state
	if run.state, err = run.program.State(); err != nil {
		return err
	}
	if err := judge.SetState(before); err != nil {
		return err
	}
	bound, err := judge.StepBounds(c.Set, epoch.Order, c.Rate, epoch.Number, run.state.Slots)
	if err != nil {
		return err
	}
	var drift Error
	for name, want := range bound.Weights {
		e, err := compare(run.state.Weights[name], truth[name], want)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		drift.add(e)
	}
	for name, want := range bound.Slots {
		d, err := reference.Compare(run.state.Slots[name], want)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		drift.add(Error{Share: Number(d.Share)})
	}
	step.Loss = append(step.Loss, Number(metrics.Loss()))
	step.Drift = append(step.Drift, drift)
	return nil
}

// between is the largest difference of a weight between any two devices.
func between(runners []*runner) Number {
	var most float64
	for i, a := range runners {
		for _, b := range runners[:i] {
			for name, t := range a.state.Weights {
				most = max(most, difference(t, b.state.Weights[name]))
			}
		}
	}
	return Number(most)
}

func difference(a, b *tensor.Dense) float64 {
	var most float64
	y := b.Float32s()
	for i, x := range a.Float32s() {
		d := float64(x) - float64(y[i])
		most = max(most, d, -d)
	}
	return most
}
