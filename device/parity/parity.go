// Package parity compares devices with the float64 reference and with each other on a network: layer by layer, and over
// training steps.
package parity

import (
	"context"
	"errors"
	"fmt"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/device"
	"gcnn/device/reference"
	"gcnn/model"
)

// Case is what devices are compared on.
type Case struct {
	Net           *model.Network           // a classifier
	Weights       map[string]*tensor.Dense // to start from
	Set           *data.Set                // labelled; batches take its images in order, and start again at its end
	Normalization model.Normalization
	Training      device.Training
	Exact         bool    // as in device.Plan
	Rate          float32 // of every step
	Batch, Steps  int     // at least 1; at least 0
}

// Report is the result of Compare.
type Report struct {
	Model   string   `json:"model"`
	Batch   int      `json:"batch"`
	Devices []string `json:"devices"`
	Layers  []Layer  `json:"layers"` // of one pass over the first batch, in order; the network's input comes first
	Loss    []Error  `json:"loss"`   // of that pass, by device
	Steps   []Step   `json:"steps"`
	Within  bool     `json:"within"` // no error is beyond its bound
}

// Layer has the errors of a layer, by device.
type Layer struct {
	Name   string        `json:"name"`
	Errors []LayerErrors `json:"errors"`
}

// LayerErrors are the largest errors of what a device computed for a layer.
type LayerErrors struct {
	Output     Error `json:"output"`
	Gradient   Error `json:"gradient"`   // at its output
	Parameters Error `json:"parameters"` // gradients of its parameters, and its moving statistics
}

// Error is a largest error.
type Error struct {
	// Absolute is the difference from the reference's float64 run, from the same images and weights.
	Absolute Number `json:"absolute"`
	// Share is the error as a share of the derived bound; above 1 it is beyond it. For a layer the bound is that of the layer
	// alone, from the values that the device itself had around it; for a step that of the step alone, from the device's own
	// weights before it. Bounds of whole networks and trainings grow until they say nothing.
	Share Number `json:"share"`
}

// Step is what a training step made of the weights.
type Step struct {
	Loss    []Number `json:"loss"`    // of the batch before the step, by device
	Drift   []Error  `json:"drift"`   // of the weights, and of moving statistics, by device
	Between Number   `json:"between"` // the largest difference of a weight between two of the devices
}

// Compare runs the case on each device. An error says that a device failed, not that it differs.
func Compare(ctx context.Context, c Case, devices ...device.Device) (Report, error) {
	r := Report{Model: c.Net.Name, Batch: c.Batch, Within: true, Layers: []Layer{{Name: model.InputName}}}
	for _, node := range c.Net.Nodes {
		r.Layers = append(r.Layers, Layer{Name: node.Name})
	}
	if err := c.check(); err != nil {
		return r, err
	}
	for _, dev := range devices {
		r.Devices = append(r.Devices, dev.Info().Name)
		if err := c.addPass(ctx, &r, dev); err != nil {
			return r, fmt.Errorf("%s: %w", dev.Info().Name, err)
		}
	}
	if err := c.addSteps(ctx, &r, devices); err != nil {
		return r, err
	}
	return r, nil
}

func (c Case) check() error {
	if c.Batch < 1 || c.Steps < 0 {
		return fmt.Errorf("%w: parity takes a batch of at least 1 and at least 0 steps, got %d and %d", device.ErrArgument, c.Batch, c.Steps)
	}
	return device.CheckSet(c.Net, c.Set, true)
}

// addPass adds the errors of one forward and backward pass.
func (c Case) addPass(ctx context.Context, r *Report, dev device.Device) (err error) {
	plan := device.Plan{Batch: c.Batch, Normalization: c.Normalization, Training: &c.Training, Trace: true, Exact: c.Exact}
	start := device.State{Weights: c.Weights}
	p, err := dev.Compile(c.Net, plan)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := p.SetState(start); err != nil {
		return err
	}
	ref, err := reference.Open(reference.Options{}).Program(c.Net, plan)
	if err != nil {
		return err
	}
	if err := ref.SetState(start); err != nil {
		return err
	}
	in := device.TraceInput{}
	order := c.order(0)
	if in.X, err = ref.Batch(c.Set, order); err != nil {
		return err
	}
	for _, k := range order {
		in.Labels = append(in.Labels, c.Set.Labels[k])
	}
	got, err := p.Trace(ctx, in)
	if err != nil {
		return err
	}
	run, err := ref.TraceBounds(ctx, in)
	if err != nil {
		return err
	}
	local, err := ref.LocalBounds(ctx, in, got)
	if err != nil {
		return err
	}
	pair := func(e *Error, got *tensor.Dense, run, local *reference.Tensor) error {
		d, err := compare(got, run, local)
		e.add(d)
		return err
	}
	for i := range r.Layers {
		name := r.Layers[i].Name
		var e LayerErrors
		if i == 0 {
			err = pair(&e.Gradient, got.InputGrad, run.InputGrad, local.InputGrad)
		} else {
			node := c.Net.Nodes[i-1]
			err = errors.Join(
				pair(&e.Output, got.Outputs[name], run.Outputs[name], local.Outputs[name]),
				pair(&e.Gradient, got.OutputGrads[name], run.OutputGrads[name], local.OutputGrads[name]))
			for _, param := range node.Params {
				switch {
				case param.Trainable:
					err = errors.Join(err, pair(&e.Parameters, got.ParamGrads[param.Name], run.ParamGrads[param.Name], local.ParamGrads[param.Name]))
				case local.Updated[param.Name] != nil:
					err = errors.Join(err, pair(&e.Parameters, got.Updated[param.Name], run.Updated[param.Name], local.Updated[param.Name]))
				}
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.Layers[i].Errors = append(r.Layers[i].Errors, e)
		r.Within = r.Within && e.Output.within() && e.Gradient.within() && e.Parameters.within()
	}
	loss := Error{
		Absolute: Number(reference.CompareNumber(got.Loss, run.Loss).Absolute),
		Share:    Number(reference.CompareNumber(got.Loss, local.Loss).Share),
	}
	r.Loss = append(r.Loss, loss)
	r.Within = r.Within && loss.within()
	return nil
}

// compare takes the absolute error from a whole run and the share from a bound.
func compare(got *tensor.Dense, run, bound *reference.Tensor) (Error, error) {
	whole, err := reference.Compare(got, run)
	if err != nil {
		return Error{}, err
	}
	part, err := reference.Compare(got, bound)
	return Error{Number(whole.Absolute), Number(part.Share)}, err
}

func (e *Error) add(other Error) {
	e.Absolute, e.Share = max(e.Absolute, other.Absolute), max(e.Share, other.Share)
}

func (e Error) within() bool { return e.Share <= 1 }

// order is the batch of step k.
func (c Case) order(k int) []int32 {
	order := make([]int32, c.Batch)
	for i := range order {
		order[i] = int32((k*c.Batch + i) % c.Set.Len())
	}
	return order
}
