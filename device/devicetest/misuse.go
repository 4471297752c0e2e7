package devicetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"gcnn/device"
	"gcnn/model"
)

// anotherError says that an error, or none, is not the wanted one.
func anotherError(got, want error) error {
	return fmt.Errorf("the error is %q, want %q", fmt.Sprint(got), fmt.Sprint(want))
}

// testMisuse asks for what cannot be and expects an error that wraps the right sentinel, and a program that goes on working.
func testMisuse(t *testing.T, dev device.Device) {
	t.Run("compile", func(t *testing.T) {
		t.Parallel()
		maps := mustNet(model.Shape{4, 4, 1}, model.Conv2D{Filters: 2, KernelSize: model.Square(3)})
		sgd := device.SGD{}
		for name, c := range map[string]struct {
			net  *model.Network
			plan device.Plan
		}{
			"no batch":           {tiny(), device.Plan{}},
			"negative batch":     {tiny(), device.Plan{Batch: -1}},
			"huge batch":         {tiny(), device.Plan{Batch: 1 << 40}},
			"no optimizer":       {tiny(), device.Plan{Batch: 1, Training: &device.Training{}}},
			"no classifier":      {maps, device.Plan{Batch: 1, Training: &device.Training{Optimizer: sgd}}},
			"momentum":           {tiny(), device.Plan{Batch: 1, Training: &device.Training{Optimizer: device.SGD{Momentum: 1}}}},
			"epsilon":            {tiny(), device.Plan{Batch: 1, Training: &device.Training{Optimizer: device.Adam{Beta1: 0.9, Beta2: 0.999}}}},
			"class weights":      {tiny(), device.Plan{Batch: 1, Training: &device.Training{Optimizer: sgd, ClassWeights: []float32{1}}}},
			"smoothing":          {tiny(), device.Plan{Batch: 1, Training: &device.Training{Optimizer: sgd, LabelSmoothing: 1}}},
			"normalisation":      {tiny(), device.Plan{Batch: 1, Normalization: model.Normalization{Mean: []float32{1, 2}, Std: []float32{1, 1}}}},
			"normalisation by 0": {tiny(), device.Plan{Batch: 1, Normalization: model.Normalization{Mean: []float32{1}, Std: []float32{0}}}},
		} {
			if p, err := dev.Compile(c.net, c.plan); !errors.Is(err, device.ErrArgument) {
				t.Errorf("%s: %v, want %v", name, err, device.ErrArgument)
				if err == nil {
					closeProgram(t, p)
				}
			}
			if _, err := dev.Outline(c.net, c.plan); !errors.Is(err, device.ErrArgument) {
				t.Errorf("outline with %s: %v, want %v", name, err, device.ErrArgument)
			}
		}
	})
	t.Run("state", func(t *testing.T) {
		t.Parallel()
		if err := checkBadStates(dev); err != nil {
			t.Error(err)
		}
	})
	t.Run("sets and epochs", func(t *testing.T) { t.Parallel(); testBadEpochs(t, dev) })
	t.Run("trace", func(t *testing.T) { t.Parallel(); testBadTraces(t, dev) })
	t.Run("purpose", func(t *testing.T) { t.Parallel(); testPurpose(t, dev) })
	t.Run("closed program", func(t *testing.T) { t.Parallel(); testClosedProgram(t, dev) })
}

// checkBadStates tries states that do not fit, each of which must leave the program as it was.
func checkBadStates(dev device.Device) (err error) {
	c := stateCase(device.NewAdam())
	set, state, epoch := c.data()
	p, resident, err := c.start(dev, state, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resident.Close(), p.Close()) }()
	if _, err := p.Train(context.Background(), resident, part(epoch, c.batch, 0)); err != nil {
		return err
	}
	before, err := p.State()
	if err != nil {
		return err
	}
	const weight, slot = "stem/kernel", "stem/kernel/velocity"
	for name, change := range map[string]func(*device.State){
		"no weights":       func(s *device.State) { s.Weights = nil },
		"a missing weight": func(s *device.State) { delete(s.Weights, weight) },
		"no statistics":    func(s *device.State) { delete(s.Weights, "stem_norm/moving_mean") },
		"an unknown one":   func(s *device.State) { s.Weights["other/kernel"] = s.Weights[weight] },
		"a wrong shape":    func(s *device.State) { s.Weights[weight] = s.Weights["logits/kernel"] },
		"float64": func(s *device.State) {
			s.Weights[weight] = tensor.New(tensor.WithShape(s.Weights[weight].Shape()...), tensor.Of(tensor.Float64))
		},
		"a missing slot":    func(s *device.State) { delete(s.Slots, slot) },
		"an unknown slot":   func(s *device.State) { s.Slots["stem/kernel/other"] = s.Slots[slot] },
		"a slot of a shape": func(s *device.State) { s.Slots[slot] = s.Slots["logits/kernel/velocity"] },
		"a negative step":   func(s *device.State) { s.Step = -1 },
	} {
		bad := before.Clone()
		spoil(bad)
		change(&bad)
		if err := p.SetState(bad); !errors.Is(err, device.ErrArgument) {
			return fmt.Errorf("a state with %s: %w", name, anotherError(err, device.ErrArgument))
		}
		after, err := p.State()
		if err != nil {
			return err
		}
		if err := sameState(before, after); err != nil {
			return fmt.Errorf("a state with %s was refused, but changed the program: %w", name, err)
		}
	}
	return nil
}

func testBadEpochs(t *testing.T, dev device.Device) {
	ctx := context.Background()
	c := stateCase(device.NewAdam())
	set, state, epoch := c.data()
	p, resident, err := c.start(dev, state, set)
	if err != nil {
		t.Fatal(err)
	}
	defer closeProgram(t, p)
	before, err := p.State()
	if err != nil {
		t.Fatal(err)
	}

	other := *set
	other.Height, other.Width = set.Width, set.Height
	if _, err := p.Load(&other); !errors.Is(err, device.ErrArgument) {
		t.Errorf("a set of another shape: %v, want %v", err, device.ErrArgument)
	}
	if _, err := p.Predict(ctx, &other); !errors.Is(err, device.ErrArgument) {
		t.Errorf("images of another shape: %v, want %v", err, device.ErrArgument)
	}
	empty := *set
	empty.Pixels, empty.Labels = []uint8{}, []uint16{}
	if _, err := p.Load(&empty); !errors.Is(err, device.ErrArgument) {
		t.Errorf("an empty set: %v, want %v", err, device.ErrArgument)
	}
	short := *set
	short.Pixels = set.Pixels[:len(set.Pixels)-1]
	if _, err := p.Load(&short); !errors.Is(err, device.ErrArgument) {
		t.Errorf("a set with half an image: %v, want %v", err, device.ErrArgument)
	}

	wrong := *set
	wrong.Labels = slices.Clone(set.Labels)
	wrong.Labels[3] = uint16(len(set.Classes))
	wrong.Classes = classNames(len(set.Classes) + 1) // a sound set, of another classifier
	unlabelled := *set
	unlabelled.Labels = nil
	// A device may say at once, or when the labels are needed.
	r, err := p.Load(&wrong)
	if err == nil {
		defer r.Close()
		_, err = p.Train(ctx, r, epoch)
		if _, evalErr := p.Evaluate(ctx, r); !errors.Is(evalErr, device.ErrArgument) {
			t.Errorf("evaluate with a label beyond the classes: %v, want %v", evalErr, device.ErrArgument)
		}
	}
	if !errors.Is(err, device.ErrArgument) {
		t.Errorf("a label beyond the classes: %v, want %v", err, device.ErrArgument)
	}
	r, err = p.Load(&unlabelled)
	if err != nil {
		t.Fatalf("a set without labels: %v", err)
	}
	if _, err := p.Train(ctx, r, epoch); !errors.Is(err, device.ErrArgument) {
		t.Errorf("training without labels: %v, want %v", err, device.ErrArgument)
	}
	if _, err := p.Evaluate(ctx, r); !errors.Is(err, device.ErrArgument) {
		t.Errorf("evaluating without labels: %v, want %v", err, device.ErrArgument)
	}
	if err := r.Close(); err != nil {
		t.Errorf("closing a set: %v", err)
	}
	if _, err := p.Train(ctx, r, epoch); !errors.Is(err, device.ErrClosed) {
		t.Errorf("training on a closed set: %v, want %v", err, device.ErrClosed)
	}

	for name, change := range map[string]func(*device.Epoch){
		"an index beyond the set": func(e *device.Epoch) { e.Order[5] = int32(set.Len()) },
		"a negative index":        func(e *device.Epoch) { e.Order[0] = -1 },
		"too few rates":           func(e *device.Epoch) { e.Rates = e.Rates[1:] },
		"too many rates":          func(e *device.Epoch) { e.Rates = append(e.Rates, 1) },
		"a negative rate":         func(e *device.Epoch) { e.Rates[1] = -0.1 },
		"a rate of NaN":           func(e *device.Epoch) { e.Rates[2] = float32(math.NaN()) },
		"an infinite rate":        func(e *device.Epoch) { e.Rates[2] = float32(math.Inf(1)) },
	} {
		bad := epoch
		bad.Order, bad.Rates = slices.Clone(epoch.Order), slices.Clone(epoch.Rates)
		change(&bad)
		if _, err := p.Train(ctx, resident, bad); !errors.Is(err, device.ErrArgument) {
			t.Errorf("an epoch with %s: %v, want %v", name, err, device.ErrArgument)
		}
	}
	after, err := p.State()
	if err != nil {
		t.Fatal(err)
	}
	if err := sameState(before, after); err != nil {
		t.Errorf("what was refused changed the program: %v", err)
	}
	if _, err := p.Train(ctx, resident, epoch); err != nil {
		t.Errorf("a good epoch after bad ones: %v", err)
	}

	strange, err := dev.Compile(c.net, c.plan())
	if err != nil {
		t.Fatal(err)
	}
	defer closeProgram(t, strange)
	foreign, err := strange.Load(set)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	if _, err := p.Train(ctx, nil, epoch); !errors.Is(err, device.ErrArgument) {
		t.Errorf("training on no set: %v, want %v", err, device.ErrArgument)
	}
	if _, err := p.Evaluate(ctx, otherResident{}); !errors.Is(err, device.ErrArgument) {
		t.Errorf("evaluating another device's set: %v, want %v", err, device.ErrArgument)
	}
}

// otherResident is a set of some other device.
type otherResident struct{}

func (otherResident) Len() int                    { return 1 }
func (otherResident) Placement() device.Placement { return device.Placement{} }
func (otherResident) Close() error                { return nil }

func testBadTraces(t *testing.T, dev device.Device) {
	ctx := context.Background()
	net := tiny()
	training := &device.Training{Optimizer: device.SGD{}}
	p, err := dev.Compile(net, device.Plan{Batch: 4, Trace: true, Training: training})
	if err != nil {
		t.Fatal(err)
	}
	defer closeProgram(t, p)
	zeros := func(shape ...int) *tensor.Dense { return fill(func() float32 { return 0 }, shape...) }
	for name, in := range map[string]device.TraceInput{
		"nothing":             {},
		"no x":                {DY: zeros(2, 3)},
		"too many samples":    {X: zeros(5, 4, 4, 1), DY: zeros(5, 3)},
		"another shape":       {X: zeros(2, 4, 4, 2), DY: zeros(2, 3)},
		"a flat x":            {X: zeros(2, 16), DY: zeros(2, 3)},
		"neither":             {X: zeros(2, 4, 4, 1)},
		"both":                {X: zeros(2, 4, 4, 1), DY: zeros(2, 3), Labels: []uint16{0, 1}},
		"another dy":          {X: zeros(2, 4, 4, 1), DY: zeros(2, 4)},
		"dy of fewer samples": {X: zeros(2, 4, 4, 1), DY: zeros(1, 3)},
		"too few labels":      {X: zeros(2, 4, 4, 1), Labels: []uint16{0}},
		"a label beyond":      {X: zeros(2, 4, 4, 1), Labels: []uint16{0, 3}},
	} {
		if _, err := p.Trace(ctx, in); !errors.Is(err, device.ErrArgument) {
			t.Errorf("a trace with %s: %v, want %v", name, err, device.ErrArgument)
		}
	}
	good := device.TraceInput{X: zeros(4, 4, 4, 1), DY: zeros(4, 3)}
	if _, err := p.Trace(ctx, good); err != nil {
		t.Errorf("a good trace after bad ones: %v", err)
	}
	cancelled, cancel := context.WithCancelCause(ctx)
	cause := errors.New("enough")
	cancel(cause)
	if _, err := p.Trace(cancelled, good); !errors.Is(err, cause) {
		t.Errorf("a trace whose context has ended: %v, want its cause", err)
	}
}

// testPurpose asks programs for what they were not compiled for.
func testPurpose(t *testing.T, dev device.Device) {
	ctx := context.Background()
	net := tiny()
	s := newSource(800)
	set := s.images(net, 4)
	p, err := dev.Compile(net, device.Plan{Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer closeProgram(t, p)
	resident, err := p.Load(set)
	if err != nil {
		t.Fatal(err)
	}
	defer resident.Close()
	if _, err := p.Train(ctx, resident, device.Epoch{Order: []int32{0, 1}, Rates: []float32{1}}); !errors.Is(err, device.ErrNoTraining) {
		t.Errorf("training a program for inference: %v, want %v", err, device.ErrNoTraining)
	}
	in := device.TraceInput{X: fill(s.real, 2, 4, 4, 1), DY: fill(s.real, 2, 3)}
	if _, err := p.Trace(ctx, in); !errors.Is(err, device.ErrArgument) {
		t.Errorf("a trace of a program without Plan.Trace: %v, want %v", err, device.ErrArgument)
	}
	if times := p.Profile(); len(times) != 0 {
		t.Errorf("%d times of a program without Plan.Profile", len(times))
	}
	state, err := p.State()
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Slots) != 0 {
		t.Errorf("a program for inference has %d slots", len(state.Slots))
	}
}

func testClosedProgram(t *testing.T, dev device.Device) {
	ctx := context.Background()
	c := stateCase(device.SGD{})
	set, state, epoch := c.data()
	p, resident, err := c.start(dev, state, set)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	if err := resident.Close(); err != nil {
		t.Errorf("closing a set after its program: %v", err)
	}
	_, err = p.State()
	want := map[string]error{"State": err, "SetState": p.SetState(state)}
	want["View"] = p.View(func(device.State) error { return nil })
	_, want["Load"] = p.Load(set)
	_, want["Train"] = p.Train(ctx, resident, epoch)
	_, want["Evaluate"] = p.Evaluate(ctx, resident)
	_, want["Predict"] = p.Predict(ctx, set)
	_, want["Trace"] = p.Trace(ctx, device.TraceInput{})
	for name, err := range want {
		if !errors.Is(err, device.ErrClosed) {
			t.Errorf("%s of a closed program: %v, want %v", name, err, device.ErrClosed)
		}
	}
	p.Profile() // must not panic
}

// testClosedDevice closes a device and asks it for more.
func testClosedDevice(t *testing.T, dev device.Device) {
	if err := dev.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := dev.Compile(tiny(), device.Plan{Batch: 1}); !errors.Is(err, device.ErrClosed) {
		t.Errorf("compiling on a closed device: %v, want %v", err, device.ErrClosed)
	}
	if _, err := dev.Outline(tiny(), device.Plan{Batch: 1}); !errors.Is(err, device.ErrClosed) {
		t.Errorf("an outline from a closed device: %v, want %v", err, device.ErrClosed)
	}
	if dev.Info().Name == "" {
		t.Error("a closed device has no name")
	}
}

// checkOutline checks that an outline names every layer and counts the work and the memory.
func checkOutline(t *testing.T, dev device.Device, net *model.Network) {
	t.Helper()
	const batch = 16
	plan := device.Plan{Batch: batch, Training: &device.Training{Optimizer: device.NewAdam()}}
	o, err := dev.Outline(net, plan)
	if err != nil {
		t.Errorf("outline of %s: %v", net.Name, err)
		return
	}
	in := map[string]bool{}
	var flops, bytes int64
	for _, task := range o.Tasks {
		if task.Name == "" || task.Kernel == "" {
			t.Errorf("%s: a task without a name or a kernel: %+v", net.Name, task)
		}
		for _, layer := range task.Layers {
			in[layer] = true
		}
		flops += task.FLOPs
	}
	var macs int64
	for _, node := range net.Nodes {
		macs += node.MACs
		if reshapes := model.OutputActivation(node.Layer) == model.Linear && node.MACs == 0 && len(node.Params) == 0; !in[node.Name] && !reshapes {
			t.Errorf("%s: no task computes %s", net.Name, node.Name)
		}
	}
	if least := 2 * macs * batch; flops < least || flops > 10*least {
		t.Errorf("%s: tasks of %d FLOPs, and the convolutions and dense layers have %d forward alone", net.Name, flops, least)
	}
	for _, m := range o.Memory {
		if m.Use == "" || m.Bytes < 0 {
			t.Errorf("%s: memory %+v", net.Name, m)
		}
		bytes += m.Bytes
	}
	var parameters int64
	for _, p := range net.Params() {
		parameters += int64(p.Size())
	}
	if least := 4 * 3 * parameters; bytes < least { // weights and Adam's two slots
		t.Errorf("%s: %d bytes of memory, and weights and slots take %d", net.Name, bytes, least)
	}
}
