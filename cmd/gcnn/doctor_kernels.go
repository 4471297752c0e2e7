package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"gcnn/cpu"
	"gcnn/cpu/kernel"
	"gcnn/data"
	"gcnn/device"
	"gcnn/device/parity"
	"gcnn/model"
	"gcnn/train"
)

// probe is a small training that touches every kind of kernel.
type probe struct{ parity.Case }

func newProbe() (*probe, error) {
	const size, channels, classes, batch, steps = 14, 3, 5, 21, 3 // shapes that fill no vector
	net, err := model.New("doctor", model.Shape{size, size, channels},
		model.Conv2D{Filters: 8, KernelSize: model.Square(3), Activation: model.ReLU},
		model.BatchNormalization{},
		model.MaxPool2D{},
		model.Conv2D{Filters: 12, KernelSize: model.Square(3), Padding: model.Same, Groups: 2, Activation: model.Tanh},
		model.AveragePool2D{},
		model.Flatten{},
		model.Dense{Units: 19, Activation: model.ReLU},
		model.Dropout{Rate: 0.25},
		model.Dense{Units: classes, Activation: model.Softmax},
	)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	set := &data.Set{
		Name: "noise", Height: size, Width: size, Channels: channels,
		Pixels: make([]uint8, batch*steps*size*size*channels), Labels: make([]uint16, batch*steps), Classes: make([]string, classes),
	}
	for i := range set.Pixels {
		set.Pixels[i] = uint8(rng.Uint32())
	}
	for i := range set.Labels {
		set.Labels[i] = uint16(rng.IntN(classes))
	}
	for i := range set.Classes {
		set.Classes[i] = fmt.Sprint(i)
	}
	weights, err := train.InitialWeights(net, 1, set, model.Normalization{})
	if err != nil {
		return nil, err
	}
	return &probe{parity.Case{
		Net: net, Weights: weights, Set: set, Training: device.Training{Optimizer: device.NewAdam(), Seed: 1},
		Rate: 1e-3, Batch: batch, Steps: steps,
	}}, nil
}

// openKernels opens the CPU with one set of kernels.
func openKernels(path kernel.Path, workers int) (device.Device, error) {
	return cpu.Open(cpu.Options{Kernels: path, Workers: workers})
}

// kernels checks each set of kernels against the reference and the portable ones, and vector widths against each other. An error
// says that ctx ended.
func (e *examination) kernels(ctx context.Context, p *probe, paths []kernel.Path, open func(kernel.Path, int) (device.Device, error)) error {
	const advice = "do not train with these kernels: set GCNN_CPU=%s, and report this list"
	trained := map[kernel.Path]map[string]*tensor.Dense{}
	portable, err := p.trainOn(ctx, kernel.Portable, 1, open)
	if err != nil {
		portable = nil // the check of these kernels below says why
	}
	var first kernel.Path
	for _, path := range paths {
		detail, err := p.onKernels(ctx, path, portable, trained, open)
		if ended := context.Cause(ctx); ended != nil {
			return ended
		}
		other := kernel.Portable
		if path == other && len(paths) > 1 {
			other = paths[0]
		}
		e.result("kernels "+string(path), detail, err, fmt.Sprintf(advice, other))
		if path == kernel.Portable || trained[path] == nil {
			continue
		}
		if first == "" {
			first = path
			continue
		}
		err = nil
		if name := differing(trained[first], trained[path]); name != "" {
			err = fmt.Errorf("%s has other bits after the same training", name)
		}
		e.result(fmt.Sprintf("%s and %s", first, path), "the same bits", err, fmt.Sprintf(advice, kernel.Portable))
	}
	return nil
}

// onKernels checks one set of kernels.
func (p *probe) onKernels(ctx context.Context, path kernel.Path, portable map[string]*tensor.Dense, trained map[kernel.Path]map[string]*tensor.Dense,
	open func(kernel.Path, int) (device.Device, error)) (string, error) {
	var err error
	if trained[path], err = p.trainOn(ctx, path, 1, open); err != nil {
		return "", err
	}
	three, err := p.trainOn(ctx, path, 3, open)
	if err != nil {
		return "", err
	}
	if name := differing(trained[path], three); name != "" {
		return "", fmt.Errorf("%s has other bits with 3 workers than with 1", name)
	}
	d, err := open(path, 1)
	if err != nil {
		return "", err
	}
	detail, err := p.bounds(ctx, d)
	if err = errors.Join(err, d.Close()); err != nil {
		return "", err
	}
	if path != kernel.Portable && portable != nil {
		worst := 0.0
		for name, t := range portable {
			d, err := largestDifference(t, trained[path][name])
			if err != nil {
				return "", fmt.Errorf("%s: %w", name, err)
			}
			worst = max(worst, d.absolute)
		}
		detail += fmt.Sprintf(", weights %.1e from the portable ones", worst)
	}
	return detail, nil
}

// trainOn opens kernels, trains on them and closes them.
func (p *probe) trainOn(ctx context.Context, path kernel.Path, workers int, open func(kernel.Path, int) (device.Device, error)) (map[string]*tensor.Dense, error) {
	d, err := open(path, workers)
	if err != nil {
		return nil, err
	}
	weights, err := p.train(ctx, d)
	return weights, errors.Join(err, d.Close())
}

// train makes the probe's steps as trainings do, and returns the weights after them.
func (p *probe) train(ctx context.Context, d device.Device) (weights map[string]*tensor.Dense, err error) {
	program, err := d.Compile(p.Net, device.Plan{Batch: p.Batch, Normalization: p.Normalization, Training: &p.Training})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, program.Close()) }()
	if err := program.SetState(device.State{Weights: p.Weights}); err != nil {
		return nil, err
	}
	set, err := program.Load(p.Set)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, set.Close()) }()
	epoch := device.Epoch{Order: make([]int32, p.Set.Len()), Rates: make([]float32, p.Steps)}
	for i := range epoch.Order {
		epoch.Order[i] = int32(i)
	}
	for i := range epoch.Rates {
		epoch.Rates[i] = p.Rate
	}
	if _, err := program.Train(ctx, set, epoch); err != nil {
		return nil, err
	}
	state, err := program.State()
	return state.Weights, err
}

// bounds holds a device against the reference and says how near it is.
func (p *probe) bounds(ctx context.Context, d device.Device) (string, error) {
	report, err := parity.Compare(ctx, p.Case, d)
	if err != nil {
		return "", err
	}
	worst, where := parity.Number(0), "nothing"
	note := func(e parity.Error, what string) {
		if !(e.Share <= worst) {
			worst, where = e.Share, what
		}
	}
	for _, l := range report.Layers {
		note(l.Errors[0].Output, l.Name+", output")
		note(l.Errors[0].Gradient, l.Name+", gradient")
		note(l.Errors[0].Parameters, l.Name+", gradients of parameters")
	}
	note(report.Loss[0], "loss")
	for i, step := range report.Steps {
		note(step.Drift[0], fmt.Sprintf("step %d, weights", i+1))
	}
	if !report.Within {
		return "", fmt.Errorf("wrong results: %s, off by %.3g times the bound of float32", where, float64(worst))
	}
	return fmt.Sprintf("%d steps within the bound of float32 (at most %.0f %% of it)", len(report.Steps), math.Ceil(100*float64(worst))), nil
}

// gpus checks every GPU like the kernels of the CPU.
func (e *examination) gpus(ctx context.Context, p *probe) error {
	n, err := cudaBackend.count()
	switch {
	case errors.Is(err, errWithoutCUDA):
		e.add(check{"cuda", checkAbsent, "this build is without CUDA", "for a GPU: go build -tags cuda ./cmd/gcnn"})
	case errors.Is(err, device.ErrUnavailable):
		e.add(check{"cuda", checkAbsent, err.Error(), "trainings take the CPU; for a GPU, NVIDIA's driver must be there"})
	case err != nil:
		e.add(check{"cuda", checkFailed, err.Error(), "see that nvidia-smi works; --device cpu trains without a GPU"})
	case n == 0:
		e.add(check{"cuda", checkAbsent, "there is no GPU", "trainings take the CPU"})
	}
	if err != nil {
		return nil //nolint:nilerr // it is a line of the report
	}
	for i := range n {
		name := fmt.Sprintf("cuda:%d", i)
		detail, err := p.onGPU(ctx, i)
		if ended := context.Cause(ctx); ended != nil {
			return ended
		}
		advice := "do not train on this GPU: --device cpu; and report this list"
		if errors.Is(err, device.ErrUnavailable) {
			advice = "see with nvidia-smi whether another program fills or holds it; --device cpu trains without it"
		}
		e.result(name, detail, err, advice)
	}
	return nil
}

func (p *probe) onGPU(ctx context.Context, index int) (detail string, err error) {
	d, err := cudaBackend.open(choice{index: index, precision: train.Float32})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	detail, err = p.bounds(ctx, d)
	return d.Info().Model + ", " + detail, err
}

// difference is how two tensors differ.
type difference struct {
	absolute float64 // the largest
	bits     bool    // whether any bit does
}

func largestDifference(a, b *tensor.Dense) (difference, error) {
	if a == nil || b == nil {
		return difference{}, errors.New("a tensor is missing")
	}
	x, okX := a.Data().([]float32)
	y, okY := b.Data().([]float32)
	if !okX || !okY || !a.Shape().Eq(b.Shape()) {
		return difference{}, fmt.Errorf("%v %v and %v %v cannot be compared", a.Dtype(), a.Shape(), b.Dtype(), b.Shape())
	}
	var d difference
	for i := range x {
		d.absolute = max(d.absolute, math.Abs(float64(x[i])-float64(y[i])))
		d.bits = d.bits || math.Float32bits(x[i]) != math.Float32bits(y[i])
	}
	return d, nil
}
