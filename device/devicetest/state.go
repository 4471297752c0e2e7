package devicetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"gcnn/device"
	"gcnn/device/reference"
)

// sameState fails where two states differ in any bit.
func sameState(a, b device.State) error {
	var all error
	if a.Step != b.Step {
		all = fmt.Errorf("the step is %d and %d", a.Step, b.Step)
	}
	return errors.Join(all, sameTensors("weight", a.Weights, b.Weights), sameTensors("slot", a.Slots, b.Slots), sameTensors("averaged weight", a.Average, b.Average))
}

func sameTensors(what string, a, b map[string]*tensor.Dense) error {
	if len(a) != len(b) {
		return fmt.Errorf("%ss: %v and %v", what, slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
	}
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if b[name] == nil {
			return fmt.Errorf("%s %s is missing", what, name)
		}
		x, y := a[name].Float32s(), b[name].Float32s()
		if !slices.Equal(a[name].Shape(), b[name].Shape()) {
			return fmt.Errorf("%s %s is %v and %v", what, name, a[name].Shape(), b[name].Shape())
		}
		for i := range x {
			if math.Float32bits(x[i]) != math.Float32bits(y[i]) {
				return fmt.Errorf("%s %s: element %d is %v and %v", what, name, i, x[i], y[i])
			}
		}
	}
	return nil
}

// stateCase is a training with everything that could carry a hidden state: slots, moving statistics and dropout.
func stateCase(optimizer device.Optimizer) trainCase {
	return trainCase{
		net: branched(), batch: 6, images: 30, samples: 6*4 + 3, seed: 600,
		training: device.Training{Optimizer: optimizer, WeightDecay: 0.01, ClipNorm: 5, Seed: 1, EMA: device.EMA{Momentum: 0.8, Every: 2}},
	}
}

// testState checks that a state is all that a program has learnt, and that runs repeat bit for bit.
func testState(t *testing.T, dev device.Device) {
	for name, optimizer := range map[string]device.Optimizer{
		"sgd": device.SGD{}, "nesterov": device.SGD{Momentum: 0.9, Nesterov: true}, "adam": device.NewAdam(), "rmsprop": device.NewRMSprop(),
	} {
		t.Run("repeat "+name, func(t *testing.T) {
			t.Parallel()
			if err := checkRepeat(dev, stateCase(optimizer)); err != nil {
				t.Error(err)
			}
		})
		t.Run("resume "+name, func(t *testing.T) {
			t.Parallel()
			if err := checkResume(dev, stateCase(optimizer)); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("seeds draw apart", func(t *testing.T) {
		t.Parallel()
		c := stateCase(device.SGD{})
		_, a, err := trainOnce(dev, c)
		if err != nil {
			t.Fatal(err)
		}
		c.training.Seed = 2
		_, b, err := trainOnce(dev, c)
		if err != nil {
			t.Fatal(err)
		}
		if sameState(a, b) == nil {
			t.Error("two seeds of dropout ended in the same weights")
		}
	})
	t.Run("copies", func(t *testing.T) {
		t.Parallel()
		if err := checkCopies(dev, stateCase(device.NewAdam())); err != nil {
			t.Error(err)
		}
	})
	t.Run("inference with the average", func(t *testing.T) {
		t.Parallel()
		if err := checkAveraged(dev, stateCase(device.NewAdam())); err != nil {
			t.Error(err)
		}
	})
	t.Run("inference within", func(t *testing.T) {
		t.Parallel()
		if err := checkInferenceWithin(dev, stateCase(device.NewAdam())); err != nil {
			t.Error(err)
		}
	})
	t.Run("traces of other sizes", func(t *testing.T) {
		t.Parallel()
		if err := checkTraceSizes(dev); err != nil {
			t.Error(err)
		}
	})
	t.Run("new program", func(t *testing.T) {
		t.Parallel()
		c := stateCase(device.NewAdam())
		p, err := dev.Compile(c.net, c.plan())
		if err != nil {
			t.Fatal(err)
		}
		defer closeProgram(t, p)
		got, err := p.State()
		if err != nil {
			t.Fatal(err)
		}
		ref, err := reference.Open(reference.Options{}).Compile(c.net, c.plan())
		if err != nil {
			t.Fatal(err)
		}
		zeros, err := ref.State()
		if err != nil {
			t.Fatal(err)
		}
		if err := sameState(got, zeros); err != nil {
			t.Errorf("a new program is zero: %v", err)
		}
	})
}

// trainOnce runs the whole case from its start.
func trainOnce(dev device.Device, c trainCase) (m device.Metrics, s device.State, err error) {
	set, state, epoch := c.data()
	p, resident, err := c.start(dev, state, set)
	if err != nil {
		return m, s, err
	}
	defer func() { err = errors.Join(err, resident.Close(), p.Close()) }()
	if m, err = p.Train(context.Background(), resident, epoch); err != nil {
		return m, s, err
	}
	s, err = p.State()
	return m, s, err
}

func checkRepeat(dev device.Device, c trainCase) error {
	m1, s1, err := trainOnce(dev, c)
	if err != nil {
		return err
	}
	m2, s2, err := trainOnce(dev, c)
	if err != nil {
		return err
	}
	if m1 != m2 {
		return fmt.Errorf("two runs of one training: metrics %+v and %+v", m1, m2)
	}
	if err := sameState(s1, s2); err != nil {
		return fmt.Errorf("two runs of one training: %w", err)
	}
	return nil
}

// checkResume stops after two steps, moves the state to another program and goes on there.
func checkResume(dev device.Device, c trainCase) (err error) {
	ctx := context.Background()
	m, want, err := trainOnce(dev, c)
	if err != nil {
		return err
	}
	set, state, epoch := c.data()
	p, resident, err := c.start(dev, state, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resident.Close(), p.Close()) }()
	const steps = 2
	head := device.Epoch{Order: epoch.Order[:steps*c.batch], Rates: epoch.Rates[:steps]}
	m1, err := p.Train(ctx, resident, head)
	if err != nil {
		return err
	}
	half, err := p.State()
	if err != nil {
		return err
	}
	q, residentQ, err := c.start(dev, half, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, residentQ.Close(), q.Close()) }()
	moved, err := q.State()
	if err != nil {
		return err
	}
	if err := sameState(half, moved); err != nil {
		return fmt.Errorf("a state that was set and read: %w", err)
	}
	m2, err := q.Train(ctx, residentQ, device.Epoch{Order: epoch.Order[steps*c.batch:], Rates: epoch.Rates[steps:], Start: m1})
	if err != nil {
		return err
	}
	got, err := q.State()
	if err != nil {
		return err
	}
	if err := sameState(want, got); err != nil {
		return fmt.Errorf("a resumed training differs from one in one go: %w", err)
	}
	if m2.Correct != m.Correct || m2.Count != m.Count || !closeSums(m2.LossSum, m.LossSum, len(epoch.Order)) {
		return fmt.Errorf("the metrics of a resumed epoch are %+v, in one go %+v", m2, m)
	}
	return nil
}

// checkCopies changes tensors after they were given and got; without slots the slots become zero.
func checkCopies(dev device.Device, c trainCase) (err error) {
	set, state, epoch := c.data()
	given := state.Clone()
	p, resident, err := c.start(dev, given, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resident.Close(), p.Close()) }()
	spoil(given)
	if _, err := p.Train(context.Background(), resident, epoch); err != nil {
		return err
	}
	got, err := p.State()
	if err != nil {
		return err
	}
	_, want, err := trainOnce(dev, c)
	if err != nil {
		return err
	}
	if err := sameState(got, want); err != nil {
		return fmt.Errorf("SetState kept a tensor that was changed afterwards: %w", err)
	}
	spoil(got)
	again, err := p.State()
	if err != nil {
		return err
	}
	if err := sameState(again, want); err != nil {
		return fmt.Errorf("a state shares the program's memory: %w", err)
	}
	looked := errors.New("looked")
	err = p.View(func(s device.State) error {
		if err := sameState(s, want); err != nil {
			return fmt.Errorf("a view differs from the state: %w", err)
		}
		return looked
	})
	if !errors.Is(err, looked) {
		return fmt.Errorf("a view returned %w, want what its function returned", err)
	}
	want.Slots, want.Average = nil, nil
	if err := p.SetState(want); err != nil {
		return err
	}
	cleared, err := p.State()
	if err != nil {
		return err
	}
	for name, t := range cleared.Average {
		if err := sameTensors("averaged weight", map[string]*tensor.Dense{name: t}, map[string]*tensor.Dense{name: want.Weights[name]}); err != nil {
			return fmt.Errorf("after a state without an average: %w", err)
		}
	}
	if len(cleared.Average) != len(again.Average) {
		return fmt.Errorf("%d averaged weights after a state without an average, want %d", len(cleared.Average), len(again.Average))
	}
	if len(cleared.Slots) != len(again.Slots) {
		return fmt.Errorf("%d slots after a state without slots, want %d", len(cleared.Slots), len(again.Slots))
	}
	for name, t := range cleared.Slots {
		for i, v := range t.Float32s() {
			if v != 0 {
				return fmt.Errorf("slot %s[%d] is %v after a state without slots", name, i, v)
			}
		}
	}
	return nil
}

// checkInferenceWithin evaluates and predicts between the steps of a training, which must not change it.
func checkInferenceWithin(dev device.Device, c trainCase) (err error) {
	ctx := context.Background()
	_, want, err := trainOnce(dev, c)
	if err != nil {
		return err
	}
	set, state, epoch := c.data()
	p, resident, err := c.start(dev, state, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resident.Close(), p.Close()) }()
	for k := range epoch.Rates {
		if _, err := p.Train(ctx, resident, part(epoch, c.batch, k)); err != nil {
			return err
		}
		e, err := p.Evaluate(ctx, resident)
		if err != nil {
			return err
		}
		probabilities, err := p.Predict(ctx, set)
		if err != nil {
			return err
		}
		if err := sameTensors("result", map[string]*tensor.Dense{"": e.Probabilities}, map[string]*tensor.Dense{"": probabilities}); err != nil {
			return fmt.Errorf("evaluate and predict: %w", err)
		}
	}
	got, err := p.State()
	if err != nil {
		return err
	}
	if err := sameState(want, got); err != nil {
		return fmt.Errorf("inference between steps changed the training: %w", err)
	}
	return nil
}

// checkAveraged compares evaluation and prediction of a program that keeps averaged weights with those of one that was given
// them as its weights.
func checkAveraged(dev device.Device, c trainCase) (err error) {
	ctx := context.Background()
	set, state, epoch := c.data()
	p, resident, err := c.start(dev, state, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resident.Close(), p.Close()) }()
	if _, err := p.Train(ctx, resident, epoch); err != nil {
		return err
	}
	learnt, err := p.State()
	if err != nil {
		return err
	}
	use := device.State{Weights: maps.Clone(learnt.Weights)}
	maps.Copy(use.Weights, learnt.Average)
	plain := c
	plain.training.EMA = device.EMA{}
	q, residentQ, err := plain.start(dev, use, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, residentQ.Close(), q.Close()) }()
	seen := func(p device.Program, r device.Resident) (map[string]*tensor.Dense, device.Metrics, error) {
		e, err := p.Evaluate(ctx, r)
		if err != nil {
			return nil, device.Metrics{}, err
		}
		y, err := p.Predict(ctx, set.Slice(0, 7))
		return map[string]*tensor.Dense{"evaluated": e.Probabilities, "predicted": y}, e.Metrics, err
	}
	got, m, err := seen(p, resident)
	if err != nil {
		return err
	}
	want, wantM, err := seen(q, residentQ)
	if err != nil {
		return err
	}
	if m != wantM {
		return fmt.Errorf("the metrics with the averaged weights are %+v, want %+v", m, wantM)
	}
	if err := q.SetState(device.State{Weights: learnt.Weights}); err != nil {
		return err
	}
	raw, _, err := seen(q, residentQ)
	if err != nil {
		return err
	}
	if sameTensors("probabilities", raw, want) == nil {
		return errors.New("the case does not tell averaged weights from the others")
	}
	return sameTensors("probabilities", got, want)
}

// checkTraceSizes traces batches of other sizes one after the other in one program: nothing of a larger one may be left.
func checkTraceSizes(dev device.Device) (err error) {
	net := branched()
	s := newSource(610)
	state := device.State{Weights: s.realWeights(net)}
	const batch = 18
	trace := func(p device.Program, n int) (device.Trace, error) {
		s := newSource(uint64(n))
		return p.Trace(context.Background(), device.TraceInput{
			X: fill(s.real, batchShape(n, net.Input)...), DY: fill(s.real, batchShape(n, net.Output())...),
		})
	}
	compile := func() (device.Program, error) {
		p, err := dev.Compile(net, device.Plan{Batch: batch, Trace: true})
		if err != nil {
			return nil, err
		}
		return p, p.SetState(state)
	}
	used, err := compile()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, used.Close()) }()
	for _, n := range []int{18, 1, 17, 2, 16} {
		got, err := trace(used, n)
		if err != nil {
			return err
		}
		fresh, err := compile()
		if err != nil {
			return err
		}
		want, err := trace(fresh, n)
		if err := errors.Join(err, fresh.Close()); err != nil {
			return err
		}
		same := map[string]*tensor.Dense{"input": got.InputGrad}
		if err := errors.Join(
			sameTensors("output", want.Outputs, got.Outputs), sameTensors("gradient", want.OutputGrads, got.OutputGrads),
			sameTensors("gradient", want.ParamGrads, got.ParamGrads), sameTensors("statistic", want.Updated, got.Updated),
			sameTensors("gradient", map[string]*tensor.Dense{"input": want.InputGrad}, same),
		); err != nil {
			return fmt.Errorf("%d samples after other numbers of them: %w", n, err)
		}
	}
	return nil
}

func spoil(s device.State) {
	for _, m := range []map[string]*tensor.Dense{s.Weights, s.Slots, s.Average} {
		for _, t := range m {
			for i := range t.Float32s() {
				t.Float32s()[i] = 1e9
			}
		}
	}
}
