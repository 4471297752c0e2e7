package devicetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"gorgonia.org/tensor"

	"gcnn/device"
	"gcnn/device/reference"
	"gcnn/model"
)

// tier says how a trace is judged.
type tier string

const (
	exactTier   tier = "exact"
	derivedTier tier = "derived"
)

// traceCase is one forward and backward pass.
type traceCase struct {
	net      *model.Network
	batch, n int              // what the program is compiled for, and the samples of the pass
	training *device.Training // nil: the gradient at the output is drawn; else it is that of this loss
	labels   []uint16         // nil: drawn where training is given
	infer    bool
	step     int64
	seed     uint64                   // of the data
	weights  map[string]*tensor.Dense // nil: drawn
	x        *tensor.Dense            // nil: drawn
}

// String says all that is needed to repeat the case.
func (c traceCase) String() string {
	s := fmt.Sprintf("%s\nbatch %d, %d samples, infer %v, step %d, seed %d", describe(c.net), c.batch, c.n, c.infer, c.step, c.seed)
	if c.training != nil {
		s += fmt.Sprintf(", training %+v", *c.training)
	}
	return s
}

// check runs the case on a device and returns what is wrong with the result.
func (c traceCase) check(dev device.Device, t tier) error {
	if err := c.run(dev, t); err != nil {
		return fmt.Errorf("%s tier: %w\n%v", t, err, c)
	}
	return nil
}

func (c traceCase) run(dev device.Device, t tier) (err error) {
	ctx := context.Background()
	plan := device.Plan{Batch: c.batch, Trace: true, Training: c.training, Exact: t == exactTier}
	p, err := dev.Compile(c.net, plan)
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	state, in := c.data(t)
	if err := p.SetState(state); err != nil {
		return fmt.Errorf("set state: %w", err)
	}
	before, err := p.State()
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	got, err := p.Trace(ctx, in)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	after, err := p.State()
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := sameState(before, after); err != nil {
		return fmt.Errorf("the trace changed the state: %w", err)
	}

	ref, err := reference.Open(reference.Options{}).Program(c.net, plan)
	if err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	if err := ref.SetState(state); err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	if t == exactTier {
		want, err := ref.TraceBounds(ctx, in)
		if err != nil {
			return fmt.Errorf("reference: %w", err)
		}
		return compareTraces(got, want, reference.CompareExact)
	}
	want, err := ref.LocalBounds(ctx, in, got)
	if err != nil {
		return err
	}
	if in.Labels != nil {
		if d := reference.CompareNumber(got.Loss, want.Loss); !(d.Share <= 1) {
			return fmt.Errorf("loss: %v", d)
		}
	}
	return compareTraces(got, want, withinBound)
}

// data draws the weights and the input of the case.
func (c traceCase) data(t tier) (device.State, device.TraceInput) {
	s := newSource(c.seed)
	draw := s.real
	state := device.State{Weights: c.weights}
	if t == exactTier {
		draw = func() float32 { return s.integer(3) }
	}
	switch {
	case c.weights != nil:
	case t == exactTier:
		state.Weights = s.integerWeights(c.net)
	default:
		state.Weights = s.realWeights(c.net)
	}
	in := device.TraceInput{X: c.x, Labels: c.labels, Infer: c.infer, Step: c.step}
	if in.X == nil {
		in.X = fill(draw, batchShape(c.n, c.net.Input)...)
	}
	switch {
	case c.training == nil:
		in.DY = fill(draw, batchShape(c.n, c.net.Output())...)
	case c.labels == nil:
		in.Labels = s.labels(c.n, c.net.Output()[0])
	}
	return state, in
}

// withinBound fails where an element is beyond its radius.
func withinBound(got *tensor.Dense, want *reference.Tensor) error {
	d, err := reference.Compare(got, want)
	if err == nil && !(d.Share <= 1) {
		err = errors.New(d.String())
	}
	return err
}

// compareTraces holds every array of a trace against the reference's. The sets of names must be the same.
func compareTraces(got device.Trace, want *reference.Trace, compare func(*tensor.Dense, *reference.Tensor) error) error {
	var all error
	for _, part := range []struct {
		what string
		got  map[string]*tensor.Dense
		want map[string]*reference.Tensor
	}{
		{"output of", got.Outputs, want.Outputs},
		{"gradient at the output of", got.OutputGrads, want.OutputGrads},
		{"gradient of", got.ParamGrads, want.ParamGrads},
		{"updated", got.Updated, want.Updated},
	} {
		all = errors.Join(all, compareMaps(part.what, part.got, part.want, compare))
	}
	if err := compare(got.InputGrad, want.InputGrad); err != nil {
		all = errors.Join(all, fmt.Errorf("gradient at the input: %w", err))
	}
	return all
}

func compareMaps(what string, got map[string]*tensor.Dense, want map[string]*reference.Tensor, compare func(*tensor.Dense, *reference.Tensor) error) error {
	var all error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if err := compare(got[name], want[name]); err != nil {
			all = errors.Join(all, fmt.Errorf("%s %s: %w", what, name, err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if want[name] == nil {
			all = errors.Join(all, fmt.Errorf("%s %s: there is no such array", what, name))
		}
	}
	return all
}
