package devicetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/device"
	"gcnn/device/reference"
	"gcnn/model"
)

// trainCase is a training that is followed step by step. Each step is judged from the device's own state before it, so that
// radii do not grow with the number of steps.
type trainCase struct {
	net      *model.Network
	batch    int
	training device.Training
	norm     model.Normalization
	exact    bool
	images   int // of the set
	samples  int // of the epoch; the last step may be partial
	epoch    int
	rates    func(step int) float32 // nil: 0.01
	first    int64                  // State.Step at the start
	seed     uint64                 // of the data
	set      *data.Set              // nil: drawn
}

// String says all that is needed to repeat the case.
func (c trainCase) String() string {
	return fmt.Sprintf("%s\nbatch %d, %d samples of %d images, seed %d, %T%+v", describe(c.net), c.batch, c.samples, c.images, c.seed,
		c.training.Optimizer, c.training)
}

func (c trainCase) check(dev device.Device) error {
	if err := c.run(dev); err != nil {
		return fmt.Errorf("%w\n%v", err, c)
	}
	return nil
}

func (c trainCase) plan() device.Plan {
	return device.Plan{Batch: c.batch, Normalization: c.norm, Training: &c.training, Exact: c.exact}
}

// epochOf draws the set, the start and the order of the case.
func (c trainCase) data() (*data.Set, device.State, device.Epoch) {
	s := newSource(c.seed)
	start := device.State{Step: c.first, Weights: s.realWeights(c.net)}
	set := c.set
	if set == nil {
		set = s.images(c.net, c.images)
	}
	epoch := device.Epoch{Number: c.epoch, Order: s.order(c.samples, set.Len())}
	for k := range (c.samples + c.batch - 1) / c.batch {
		rate := float32(0.01)
		if c.rates != nil {
			rate = c.rates(k)
		}
		epoch.Rates = append(epoch.Rates, rate)
	}
	return set, start, epoch
}

// start compiles the case's network on a device and loads its set.
func (c trainCase) start(dev device.Device, state device.State, set *data.Set) (device.Program, device.Resident, error) {
	p, err := dev.Compile(c.net, c.plan())
	if err != nil {
		return nil, nil, fmt.Errorf("compile: %w", err)
	}
	if err := p.SetState(state); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("set state: %w", err), p.Close())
	}
	resident, err := p.Load(set)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("load: %w", err), p.Close())
	}
	return p, resident, nil
}

// part is step k of an epoch as an epoch of its own.
func part(epoch device.Epoch, batch, k int) device.Epoch {
	return device.Epoch{
		Number: epoch.Number,
		Order:  epoch.Order[k*batch : min((k+1)*batch, len(epoch.Order))],
		Rates:  epoch.Rates[k : k+1],
	}
}

// run follows the training, and then does it again in one call, which must give the same bits.
func (c trainCase) run(dev device.Device) (err error) {
	ctx := context.Background()
	set, state, epoch := c.data()
	p, resident, err := c.start(dev, state, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resident.Close(), p.Close()) }()
	ref, err := reference.Open(reference.Options{}).Program(c.net, c.plan())
	if err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	before, err := p.State()
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	var total device.Metrics
	for k := range epoch.Rates {
		step := part(epoch, c.batch, k)
		m, err := p.Train(ctx, resident, step)
		if err != nil {
			return fmt.Errorf("step %d: %w", k+1, err)
		}
		after, err := p.State()
		if err != nil {
			return fmt.Errorf("state: %w", err)
		}
		if err := checkStep(ref, set, step, before, after, m); err != nil {
			return fmt.Errorf("step %d: %w", k+1, err)
		}
		total = device.Metrics{LossSum: total.LossSum + m.LossSum, Correct: total.Correct + m.Correct, Count: total.Count + m.Count}
		before = after
	}

	again, residentAgain, err := c.start(dev, state, set)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, residentAgain.Close(), again.Close()) }()
	m, err := again.Train(ctx, residentAgain, epoch)
	if err != nil {
		return fmt.Errorf("the epoch in one call: %w", err)
	}
	after, err := again.State()
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := sameState(before, after); err != nil {
		return fmt.Errorf("the epoch in one call differs from its steps one by one: %w", err)
	}
	if m.Correct != total.Correct || m.Count != total.Count || !closeSums(m.LossSum, total.LossSum, len(epoch.Order)) {
		return fmt.Errorf("the metrics of the epoch in one call are %+v, of its steps %+v", m, total)
	}
	return nil
}

// closeSums compares two sums of n positive float32 numbers in different orders, also where a device sums in float32.
func closeSums(a, b float64, n int) bool {
	return a-b <= 2*float64(n)*0x1p-24*a && b-a <= 2*float64(n)*0x1p-24*a
}

// checkStep holds a step's metrics, weights, moving statistics and slots against the reference's.
func checkStep(ref *reference.Program, set *data.Set, step device.Epoch, before, after device.State, m device.Metrics) error {
	if after.Step != before.Step+1 {
		return fmt.Errorf("State.Step went from %d to %d", before.Step, after.Step)
	}
	if err := ref.SetState(before); err != nil {
		return fmt.Errorf("the state before: %w", err)
	}
	want, err := ref.StepBounds(set, step.Order, step.Rates[0], step.Number, after.Slots)
	if err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	all := checkMetrics(m, want.LossSum, want.Correct, want.Open, len(step.Order))
	all = errors.Join(all, compareMaps("weight", after.Weights, want.Weights, withinBound))
	all = errors.Join(all, compareMaps("averaged weight", after.Average, want.Average, withinBound))
	return errors.Join(all, compareMaps("slot", after.Slots, want.Slots, withinBound))
}

func checkMetrics(m device.Metrics, lossSum reference.Ball, correct, open, count int) error {
	var all error
	if d := reference.CompareNumber(m.LossSum, lossSum); !(d.Share <= 1) {
		all = fmt.Errorf("loss: %v", d)
	}
	if m.Count != int64(count) {
		all = errors.Join(all, fmt.Errorf("%d samples counted of %d", m.Count, count))
	}
	if m.Correct < int64(correct) || m.Correct > int64(correct+open) {
		all = errors.Join(all, fmt.Errorf("%d samples correct, want %d, and up to %d more where rounding decides", m.Correct, correct, open))
	}
	return all
}

// tiny is a network with every kind of trainable parameter.
func tiny() *model.Network {
	return mustNet(model.Shape{4, 4, 1},
		model.Conv2D{Filters: 3, KernelSize: model.Square(3), Padding: model.Same},
		model.BatchNormalization{},
		model.Activation{Func: model.Tanh},
		model.MaxPool2D{},
		model.Flatten{},
		model.Dense{Units: 5, Activation: model.Tanh, Frozen: true},
		model.Dense{Units: 3, Activation: model.Softmax})
}

// testOptimizers follows 20 steps of each optimiser and option.
func testOptimizers(t *testing.T, dev device.Device) {
	adam, rmsprop := device.NewAdam(), device.NewRMSprop()
	for i, c := range []struct {
		name     string
		training device.Training
		rates    func(int) float32
		first    int64
	}{
		{name: "sgd", training: device.Training{Optimizer: device.SGD{}}},
		{name: "momentum", training: device.Training{Optimizer: device.SGD{Momentum: 0.9}}},
		{name: "nesterov", training: device.Training{Optimizer: device.SGD{Momentum: 0.8, Nesterov: true}}},
		{name: "adam", training: device.Training{Optimizer: adam}},
		{name: "adam other betas", training: device.Training{Optimizer: device.Adam{Beta1: 0.5, Beta2: 0.9, Epsilon: 1e-3}}},
		{name: "adam without momentum", training: device.Training{Optimizer: device.Adam{Beta2: 0.99, Epsilon: 1e-7}}},
		{name: "adam late", training: device.Training{Optimizer: adam}, first: 1 << 40},
		{name: "rmsprop", training: device.Training{Optimizer: rmsprop}},
		{name: "rmsprop momentum", training: device.Training{Optimizer: device.RMSprop{Rho: 0.8, Momentum: 0.7, Epsilon: 1e-4}}},
		{name: "sgd decay", training: device.Training{Optimizer: device.SGD{}, WeightDecay: 0.1}},
		{name: "momentum decay", training: device.Training{Optimizer: device.SGD{Momentum: 0.9}, WeightDecay: 0.1}},
		{name: "nesterov decay", training: device.Training{Optimizer: device.SGD{Momentum: 0.9, Nesterov: true}, WeightDecay: 0.1}},
		{name: "adamw", training: device.Training{Optimizer: adam, WeightDecay: 0.004}},
		{name: "rmsprop decay", training: device.Training{Optimizer: rmsprop, WeightDecay: 0.1}},
		{name: "sgd clipped", training: device.Training{Optimizer: device.SGD{}, ClipNorm: 0.1}},
		{name: "momentum clipped", training: device.Training{Optimizer: device.SGD{Momentum: 0.9}, ClipNorm: 0.1}},
		{name: "adam clipped", training: device.Training{Optimizer: adam, ClipNorm: 0.1}},
		{name: "rmsprop clipped", training: device.Training{Optimizer: rmsprop, ClipNorm: 0.1}},
		{name: "clip never reached", training: device.Training{Optimizer: device.SGD{}, ClipNorm: 1e6}},
		{name: "all", training: device.Training{
			Optimizer: adam, WeightDecay: 0.05, ClipNorm: 0.5, LabelSmoothing: 0.1, ClassWeights: []float32{1, 0.5, 2},
		}},
		{name: "sgd averaged", training: device.Training{Optimizer: device.SGD{}, EMA: device.EMA{Momentum: 0.9}}},
		{name: "adam averaged", training: device.Training{Optimizer: adam, WeightDecay: 0.01, EMA: device.EMA{Momentum: 0.99, Every: 3}}, first: 1 << 40},
		{name: "clipped and averaged", training: device.Training{Optimizer: device.SGD{Momentum: 0.9}, ClipNorm: 0.1, EMA: device.EMA{Momentum: 0.1, Every: 1}}},
		{name: "rates", training: device.Training{Optimizer: adam}, rates: func(k int) float32 { return 0.02 / float32(1+k%5) }},
		{name: "rate 0", training: device.Training{Optimizer: device.SGD{Momentum: 0.9}}, rates: func(int) float32 { return 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tc := trainCase{
				net: tiny(), batch: 5, training: c.training, images: 23, samples: 98, rates: c.rates, first: c.first, seed: uint64(200 + i),
			}
			if err := tc.check(dev); err != nil {
				t.Error(err)
			}
		})
	}
}

// branched has branches, batch normalisation, dropout, local response normalisation and every pool.
func branched() *model.Network {
	same := model.Same
	return mustNet(model.Shape{12, 10, 3},
		model.ZeroPadding2D{},
		model.Conv2D{Name: "stem", Filters: 8, KernelSize: model.Square(3), NoBias: true},
		model.BatchNormalization{Name: "stem_norm", Momentum: 0.9},
		model.Activation{Name: "stem_relu", Func: model.ReLU},
		model.Conv2D{Name: "block1", Filters: 8, KernelSize: model.Square(3), Padding: same, NoBias: true},
		model.BatchNormalization{Name: "block1_norm", Momentum: 0.9},
		model.Add{Name: "residual", Inputs: []string{"block1_norm", "stem_relu"}},
		model.Activation{Name: "relu", Func: model.ReLU},
		model.MaxPool2D{Name: "pool", PoolSize: model.Square(3), Strides: model.Square(2), Padding: same},
		model.LocalResponseNormalization{Name: "lrn", Alpha: 0.1},
		model.Conv2D{Name: "left", Filters: 6, KernelSize: model.Size{H: 1, W: 3}, Padding: same, Activation: model.SiLU},
		model.Conv2D{Name: "right", Inputs: []string{"lrn"}, KernelSize: model.Square(3), DepthMultiplier: 1, Padding: same, Activation: model.Tanh},
		model.Concatenate{Name: "both", Inputs: []string{"left", "right"}},
		model.Dropout{Name: "drop", Rate: 0.25},
		model.AveragePool2D{Name: "average", Padding: same},
		model.GlobalAveragePool2D{Name: "mean"},
		model.GlobalMaxPool2D{Name: "most", Inputs: []string{"average"}},
		model.Concatenate{Name: "features", Inputs: []string{"mean", "most"}},
		model.Dropout{Name: "drop2", Rate: 0.5},
		model.Dense{Name: "logits", Units: 5},
		model.Activation{Name: "softmax", Func: model.Softmax})
}

// testNetworks follows training steps of whole networks, with partial batches.
func testNetworks(t *testing.T, dev device.Device) {
	scaled := model.Normalization{Mean: []float32{0.3, 0.5, 0.4}, Std: []float32{0.2, 0.25, 0.3}}
	for i, c := range []struct {
		name string
		trainCase
	}{
		{"cnn", trainCase{net: preset("cnn"), batch: 32, samples: 32*3 + 7, training: device.Training{Optimizer: device.NewAdam()}}},
		{"cnn batch 1", trainCase{net: preset("cnn"), batch: 1, samples: 3, training: device.Training{Optimizer: device.NewAdam()}}},
		{"cnn batch 17", trainCase{net: preset("cnn"), batch: 17, samples: 50, training: device.Training{Optimizer: device.SGD{Momentum: 0.9}}}},
		{"lenet5", trainCase{net: preset("lenet5"), batch: 16, samples: 33, training: device.Training{Optimizer: device.SGD{}}}},
		{"branched", trainCase{net: branched(), batch: 16, samples: 16*4 + 5, norm: scaled, training: device.Training{
			Optimizer: device.SGD{Momentum: 0.9, Nesterov: true}, WeightDecay: 0.01, Seed: 42,
		}}},
		{"branched adam", trainCase{net: branched(), batch: 18, samples: 40, first: 1000, training: device.Training{
			Optimizer: device.NewAdam(), LabelSmoothing: 0.1, ClipNorm: 1, Seed: 43,
		}}},
	} {
		c.images, c.seed = 60, uint64(300+i)
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := c.check(dev); err != nil {
				t.Error(err)
			}
		})
	}
	for name, norm := range map[string]model.Normalization{
		"floats": {}, "normalised floats": {Mean: []float32{0.5}, Std: []float32{0.3}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			net := tiny()
			s := newSource(320)
			set := s.images(net, 19)
			set.Floats, set.Pixels = fill(s.real, len(set.Pixels)).Float32s(), nil
			c := trainCase{net: net, batch: 8, samples: 30, set: set, norm: norm, seed: 321, training: device.Training{Optimizer: device.SGD{}}}
			if err := c.check(dev); err != nil {
				t.Error(err)
			}
		})
	}
}

// testExactSteps trains where every implementation has the same bits: black and white images, classes and batches that are
// powers of two, and weights of zero, so that all probabilities are equal.
func testExactSteps(t *testing.T, dev device.Device) {
	for name, optimizer := range map[string]device.Optimizer{
		"sgd": device.SGD{}, "momentum": device.SGD{Momentum: 0.5}, "nesterov": device.SGD{Momentum: 0.5, Nesterov: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			net := mustNet(model.Shape{3, 3, 2}, model.MaxPool2D{}, model.Flatten{}, model.Dense{Units: 4, Activation: model.Softmax})
			s := newSource(400)
			set := s.images(net, 8)
			for i := range set.Pixels {
				set.Pixels[i] = uint8(255 * s.IntN(2))
			}
			zeros := device.State{Weights: map[string]*tensor.Dense{}}
			for _, p := range net.Params() {
				zeros.Weights[p.Name] = fill(func() float32 { return 0 }, p.Shape...)
			}
			c := trainCase{net: net, batch: 8, exact: true, training: device.Training{Optimizer: optimizer}}
			p, resident, err := c.start(dev, zeros, set)
			if err != nil {
				t.Fatal(err)
			}
			defer closeProgram(t, p)
			epoch := device.Epoch{Order: []int32{3, 1, 4, 1, 5, 7, 2, 6}, Rates: []float32{0.5}}
			if _, err := p.Train(context.Background(), resident, epoch); err != nil {
				t.Fatal(err)
			}
			got, err := p.State()
			if err != nil {
				t.Fatal(err)
			}
			ref, err := reference.Open(reference.Options{}).Program(net, c.plan())
			if err != nil {
				t.Fatal(err)
			}
			if err := ref.SetState(zeros); err != nil {
				t.Fatal(err)
			}
			want, err := ref.StepBounds(set, epoch.Order, 0.5, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := compareMaps("weight", got.Weights, want.Weights, reference.CompareExact); err != nil {
				t.Error(err)
			}
			if err := compareMaps("slot", got.Slots, want.Slots, reference.CompareExact); err != nil {
				t.Error(err)
			}
		})
	}
}
