package devicetest

import (
	"context"
	"testing"

	"gorgonia.org/tensor"

	"gcnn/device"
	"gcnn/device/reference"
	"gcnn/model"
)

// mutant is a device with a mistake, for testing the suite: it compiles another plan or network than asked, or changes what
// a trace says.
type mutant struct {
	device.Device
	plan  func(*device.Plan)
	net   func(*model.Network) *model.Network
	trace func(*device.Trace, device.TraceInput)
}

func (m mutant) Compile(net *model.Network, plan device.Plan) (device.Program, error) {
	if plan.Training != nil {
		training := *plan.Training
		plan.Training = &training
	}
	if m.plan != nil {
		m.plan(&plan)
	}
	if m.net != nil {
		net = m.net(net)
	}
	p, err := m.Device.Compile(net, plan)
	return mutantProgram{p, m}, err
}

type mutantProgram struct {
	device.Program
	mutant
}

func (p mutantProgram) Close() error { return p.Program.Close() }

func (p mutantProgram) Trace(ctx context.Context, in device.TraceInput) (device.Trace, error) {
	t, err := p.Program.Trace(ctx, in)
	if err == nil && p.trace != nil {
		p.trace(&t, in)
	}
	return t, err
}

func newMutant(m mutant) mutant {
	m.Device = reference.Open(reference.Options{})
	return m
}

// TestTrainingMutants makes mistakes that a backend could make in a training step. The suite must see each.
func TestTrainingMutants(t *testing.T) {
	t.Parallel()
	adam := device.NewAdam()
	all := device.Training{
		Optimizer: adam, WeightDecay: 0.05, ClipNorm: 0.5, LabelSmoothing: 0.1, ClassWeights: []float32{1, 0.5, 2}, Seed: 1,
	}
	nesterov := device.Training{Optimizer: device.SGD{Momentum: 0.9, Nesterov: true}}
	rmsprop := device.Training{Optimizer: device.NewRMSprop()}
	for name, c := range map[string]struct {
		training device.Training
		net      *model.Network
		mutant   mutant
	}{
		"decay forgotten":      {training: all, mutant: mutant{plan: func(p *device.Plan) { p.Training.WeightDecay = 0 }}},
		"clip forgotten":       {training: all, mutant: mutant{plan: func(p *device.Plan) { p.Training.ClipNorm = 0 }}},
		"smoothing forgotten":  {training: all, mutant: mutant{plan: func(p *device.Plan) { p.Training.LabelSmoothing = 0 }}},
		"weights forgotten":    {training: all, mutant: mutant{plan: func(p *device.Plan) { p.Training.ClassWeights = nil }}},
		"smoothing a bit less": {training: all, mutant: mutant{plan: func(p *device.Plan) { p.Training.LabelSmoothing = 0.0999 }}},
		"adam's beta1":         {training: all, mutant: mutant{plan: func(p *device.Plan) { p.Training.Optimizer = device.Adam{Beta1: 0.9001, Beta2: 0.999, Epsilon: 1e-7} }}},
		"adam's beta2":         {training: all, mutant: mutant{plan: func(p *device.Plan) { p.Training.Optimizer = device.Adam{Beta1: 0.9, Beta2: 0.9991, Epsilon: 1e-7} }}},
		"adam's epsilon":       {training: all, mutant: mutant{plan: func(p *device.Plan) { p.Training.Optimizer = device.Adam{Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-6} }}},
		"nesterov forgotten":   {training: nesterov, mutant: mutant{plan: func(p *device.Plan) { p.Training.Optimizer = device.SGD{Momentum: 0.9} }}},
		"momentum a bit more":  {training: nesterov, mutant: mutant{plan: func(p *device.Plan) { p.Training.Optimizer = device.SGD{Momentum: 0.9001, Nesterov: true} }}},
		"rmsprop's epsilon":    {training: rmsprop, mutant: mutant{plan: func(p *device.Plan) { p.Training.Optimizer = device.RMSprop{Rho: 0.9, Epsilon: 2e-7} }}},
		"normalisation":        {training: all, mutant: mutant{plan: func(p *device.Plan) { p.Normalization = model.Normalization{Mean: []float32{0}, Std: []float32{1.001}} }}},
		"flip forgotten": {training: device.Training{Optimizer: adam, Augment: device.Augment{Flip: device.RandomFlip}},
			mutant: mutant{plan: func(p *device.Plan) { p.Training.Augment.Flip = device.NoFlip }}},
		"half the contrast": {training: device.Training{Optimizer: adam, Augment: device.Augment{Contrast: 0.2}},
			mutant: mutant{plan: func(p *device.Plan) { p.Training.Augment.Contrast = 0.1 }}},
		"another dropout":       {training: all, net: branched(), mutant: mutant{plan: func(p *device.Plan) { p.Training.Seed++ }}},
		"batch norm's momentum": {training: all, mutant: mutant{net: changed(func(b *model.BatchNormalization) { b.Momentum = 0.990001 })}},
		"batch norm's epsilon":  {training: all, mutant: mutant{net: changed(func(b *model.BatchNormalization) { b.Epsilon = 2e-3 })}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc := trainCase{net: tiny(), batch: 5, training: c.training, images: 23, samples: 98, seed: 900}
			if c.net != nil {
				tc.net, tc.samples, tc.training.ClassWeights = c.net, 10, nil
			}
			if err := tc.check(newMutant(mutant{})); err != nil {
				t.Fatalf("without the mistake: %v", err)
			}
			if err := tc.check(newMutant(c.mutant)); err == nil {
				t.Error("the suite did not see it")
			}
		})
	}
}

// changed makes the network anew with its batch normalisations changed.
func changed(change func(*model.BatchNormalization)) func(*model.Network) *model.Network {
	return func(net *model.Network) *model.Network {
		var layers []model.Layer
		for _, node := range net.Nodes {
			l := node.Layer
			if b, ok := l.(model.BatchNormalization); ok {
				change(&b)
				l = b
			}
			layers = append(layers, l)
		}
		return mustNet(net.Input, layers...)
	}
}

// TestTraceMutants makes mistakes in what a pass computes.
func TestTraceMutants(t *testing.T) {
	t.Parallel()
	relu := mustNet(model.Shape{4, 4, 2}, model.Conv2D{Name: "c", Filters: 3, KernelSize: model.Square(3), Padding: model.Same, Activation: model.ReLU}, model.MaxPool2D{Name: "p"})
	smooth := mustNet(model.Shape{4, 4, 2}, model.Conv2D{Name: "c", Filters: 3, KernelSize: model.Square(3), Activation: model.Tanh}, model.AveragePool2D{Name: "p"})
	scale := func(d *tensor.Dense, by float32) {
		for i, v := range d.Float32s() {
			d.Float32s()[i] = v * by
		}
	}
	for name, c := range map[string]struct {
		net   *model.Network
		tier  tier
		trace func(*device.Trace, device.TraceInput)
	}{
		"an output off by 1e-5":     {smooth, derivedTier, func(t *device.Trace, _ device.TraceInput) { scale(t.Outputs["c"], 1+1e-5) }},
		"an input gradient":         {smooth, derivedTier, func(t *device.Trace, _ device.TraceInput) { scale(t.InputGrad, 1-1e-5) }},
		"a kernel gradient":         {smooth, derivedTier, func(t *device.Trace, _ device.TraceInput) { scale(t.ParamGrads["c/kernel"], 1+1e-4) }},
		"a sum instead of a mean":   {smooth, derivedTier, func(t *device.Trace, _ device.TraceInput) { scale(t.ParamGrads["c/bias"], 5) }},
		"a missing output":          {smooth, derivedTier, func(t *device.Trace, _ device.TraceInput) { delete(t.Outputs, "p") }},
		"a missing gradient":        {smooth, derivedTier, func(t *device.Trace, _ device.TraceInput) { delete(t.ParamGrads, "c/bias") }},
		"a gradient too many":       {smooth, derivedTier, func(t *device.Trace, _ device.TraceInput) { t.ParamGrads["x"] = t.InputGrad }},
		"NaN":                       {smooth, derivedTier, func(t *device.Trace, _ device.TraceInput) { scale(t.Outputs["p"], float32(nan())) }},
		"one bit of an integer":     {relu, exactTier, func(t *device.Trace, _ device.TraceInput) { scale(t.ParamGrads["c/kernel"], 1+0x1p-23) }},
		"a gradient through relu 0": {relu, exactTier, throughZero},
		"the last of equal maxima":  {relu, exactTier, lastMaximum},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc := traceCase{net: c.net, batch: 5, n: 5, seed: 901}
			if err := tc.check(newMutant(mutant{}), c.tier); err != nil {
				t.Fatalf("without the mistake: %v", err)
			}
			if err := tc.check(newMutant(mutant{trace: c.trace}), c.tier); err == nil {
				t.Error("the suite did not see it")
			}
		})
	}
}

func nan() float64 { var zero float64; return zero / zero }

// throughZero adds to a bias gradient what comes out where relu's input is zero.
func throughZero(t *device.Trace, _ device.TraceInput) {
	y, dy, bias := t.Outputs["c"].Float32s(), t.OutputGrads["c"].Float32s(), t.ParamGrads["c/bias"].Float32s()
	for i, v := range y {
		if v == 0 {
			bias[i%len(bias)] += dy[i]
		}
	}
}

// lastMaximum routes the gradient of a 2×2 pool to the last of equal maxima.
func lastMaximum(t *device.Trace, in device.TraceInput) {
	x, dx, dy := t.Outputs["c"].Float32s(), t.OutputGrads["c"].Float32s(), in.DY.Float32s()
	clear(dx)
	const size, channels = 4, 3
	for i, d := range dy {
		s, y, xx, c := i/(2*2*channels), i/(2*channels)%2, i/channels%2, i%channels
		best := -1
		for _, k := range [][2]int{{0, 0}, {0, 1}, {1, 0}, {1, 1}} {
			at := ((s*size+2*y+k[0])*size+2*xx+k[1])*channels + c
			if best < 0 || x[at] >= x[best] {
				best = at
			}
		}
		dx[best] = d
	}
}
