package cpu_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"gcnn/cpu"
	"gcnn/cpu/kernel"
	"gcnn/data"
	"gcnn/device"
	"gcnn/internal/philox"
	"gcnn/model"
)

// images draws a set for a network: blobs of bytes whose place depends on the label, so that training has something to learn.
func images(tb testing.TB, net *model.Network, n int) *data.Set {
	tb.Helper()
	classes, err := net.Classes()
	if err != nil {
		tb.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	set := &data.Set{Name: "drawn", Height: net.Input[0], Width: net.Input[1], Channels: net.Input[2]}
	for c := range classes {
		set.Classes = append(set.Classes, fmt.Sprint(c))
	}
	for range n {
		label := r.IntN(classes)
		set.Labels = append(set.Labels, uint16(label))
		for e := range set.ImageSize() {
			v := r.IntN(100)
			if e*classes/set.ImageSize() == label {
				v += 155
			}
			set.Pixels = append(set.Pixels, uint8(v))
		}
	}
	return set
}

// preset is a preset, or "wide": convolutions that Winograd's algorithm computes, with planes that sets keep and with planes that are
// jobs, pools that leave rows over, and batch normalisation.
func preset(tb testing.TB, name string) *model.Network {
	tb.Helper()
	net, err := model.Preset(name, nil, 10)
	if name == "wide" {
		conv := func(filters int, f model.ActivationFunc) model.Layer {
			return model.Conv2D{Filters: filters, KernelSize: model.Square(3), Padding: model.Same, Activation: f}
		}
		net, err = model.New(name, model.Shape{14, 14, 3}, conv(32, model.ReLU), conv(48, model.ReLU), model.MaxPool2D{PoolSize: model.Square(3)},
			conv(192, model.Linear), model.BatchNormalization{}, model.Activation{Func: model.ReLU},
			model.GlobalAveragePool2D{}, model.Dense{Units: 10, Activation: model.Softmax})
	}
	if err != nil {
		tb.Fatal(err)
	}
	return net
}

// lesson is how the lesson trains a preset.
func lesson(name string) device.Plan {
	if name == "lenet5" {
		return device.Plan{Batch: 128, Training: &device.Training{Optimizer: device.SGD{}, Seed: 1}}
	}
	return device.Plan{Batch: 32, Training: &device.Training{Optimizer: device.NewAdam(), Seed: 1}}
}

// epochOf goes over a set in order, with one learning rate.
func epochOf(set *data.Set, batch int, rate float32) device.Epoch {
	var e device.Epoch
	for i := range set.Len() {
		e.Order = append(e.Order, int32(i))
	}
	for range (set.Len() + batch - 1) / batch {
		e.Rates = append(e.Rates, rate)
	}
	return e
}

// start compiles a network, draws its weights from seed 7 and loads a set.
func start(tb testing.TB, workers int, net *model.Network, plan device.Plan, set *data.Set) (device.Program, device.Resident) {
	tb.Helper()
	return startOn(tb, cpu.Options{Workers: workers}, net, plan, set)
}

func startOn(tb testing.TB, o cpu.Options, net *model.Network, plan device.Plan, set *data.Set) (device.Program, device.Resident) {
	tb.Helper()
	dev, err := cpu.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	p, err := dev.Compile(net, plan)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Close(); err != nil {
			tb.Error(err)
		}
		if err := dev.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := p.SetState(device.State{Weights: net.InitialWeights(7)}); err != nil {
		tb.Fatal(err)
	}
	r, err := p.Load(set)
	if err != nil {
		tb.Fatal(err)
	}
	return p, r
}

// learnt is what a program knows after an epoch.
func learnt(tb testing.TB, workers int, net *model.Network, plan device.Plan, set *data.Set, rate float32) (device.Metrics, device.State) {
	tb.Helper()
	return learntOn(tb, cpu.Options{Workers: workers}, net, plan, set, rate)
}

func learntOn(tb testing.TB, o cpu.Options, net *model.Network, plan device.Plan, set *data.Set, rate float32) (device.Metrics, device.State) {
	tb.Helper()
	p, r := startOn(tb, o, net, plan, set)
	m, err := p.Train(context.Background(), r, epochOf(set, plan.Batch, rate))
	if err != nil {
		tb.Fatal(err)
	}
	s, err := p.State()
	if err != nil {
		tb.Fatal(err)
	}
	return m, s
}

// sameBits fails the test where two states differ in any bit.
func sameBits(t *testing.T, what string, a, b device.State) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(a.Weights)) {
		x, y := a.Weights[name].Float32s(), b.Weights[name].Float32s()
		for i := range x {
			if math.Float32bits(x[i]) != math.Float32bits(y[i]) {
				t.Fatalf("%s: %s[%d] is %v and %v", what, name, i, x[i], y[i])
			}
		}
	}
}

// TestWorkersDoNotChangeBits trains with 1 to 5 workers, more than there are cores, over whole and partial batches.
func TestWorkersDoNotChangeBits(t *testing.T) {
	t.Parallel()
	plans := map[string]device.Plan{"cnn": lesson("cnn"), "lenet5": lesson("lenet5")}
	clipped := lesson("cnn")
	clipped.Training.ClipNorm, clipped.Training.WeightDecay = 0.5, 0.01
	for _, c := range []struct {
		name, preset string
		plan         device.Plan
		images       int
	}{
		{"cnn", "cnn", plans["cnn"], 32*6 + 5},
		{"cnn clipped", "cnn", clipped, 32*3 + 17},
		{"lenet5", "lenet5", plans["lenet5"], 128*2 + 35},
		{"lenet5 batch 300", "lenet5", device.Plan{Batch: 300, Training: plans["lenet5"].Training}, 400},
		{"wide", "wide", lesson("wide"), 32 + 18},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			net := preset(t, c.preset)
			set := images(t, net, c.images)
			m1, s1 := learnt(t, 1, net, c.plan, set, 0.01)
			for workers := 2; workers <= 5; workers++ {
				m, s := learnt(t, workers, net, c.plan, set, 0.01)
				if m != m1 {
					t.Errorf("%d workers: metrics %+v, 1 worker: %+v", workers, m, m1)
				}
				sameBits(t, fmt.Sprintf("1 and %d workers", workers), s1, s)
			}
		})
	}
}

// TestWidthsDoNotChangeBits trains with each width of registers, by Winograd's algorithm and without.
func TestWidthsDoNotChangeBits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		n     int
		exact bool
	}{{"wide", 40, false}, {"wide", 40, true}, {"lenet5", 200, false}, {"lenet5", 200, true}} {
		net, plan := preset(t, c.name), lesson(c.name)
		plan.Exact = c.exact
		set := images(t, net, c.n)
		var first *device.State
		for _, path := range kernel.Available() {
			if path == kernel.Portable {
				continue
			}
			_, s := learntOn(t, cpu.Options{Workers: 2, Kernels: path}, net, plan, set, 0.01)
			if first == nil {
				first = &s
			}
			sameBits(t, fmt.Sprintf("%s, exact %v, %s", c.name, c.exact, path), *first, s)
		}
	}
}

// TestExactIsNotWinograd: a plan without Exact computes a wide convolution, and one of 5×5, in another way, whose results differ by a little.
func TestExactIsNotWinograd(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"wide", "lenet5"} {
		net := preset(t, name)
		set := images(t, net, 16)
		var all [2][]float32
		for i, exact := range []bool{false, true} {
			p, _ := start(t, 1, net, device.Plan{Batch: 16, Exact: exact}, set)
			y, err := p.Predict(context.Background(), set)
			if err != nil {
				t.Fatal(err)
			}
			all[i] = y.Float32s()
		}
		largest := 0.0
		for i := range all[0] {
			largest = max(largest, math.Abs(float64(all[0][i]-all[1][i])))
		}
		if largest == 0 || largest > 1e-4 {
			t.Errorf("%s: probabilities differ by %g at most, want a little", name, largest)
		}
	}
}

// TestProcessorsDoNotChangeBits runs more workers than Go may use threads: they have to give way to each other.
func TestProcessorsDoNotChangeBits(t *testing.T) {
	net := preset(t, "cnn")
	set := images(t, net, 100)
	_, want := learnt(t, 3, net, lesson("cnn"), set, 0.01)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	_, got := learnt(t, 3, net, lesson("cnn"), set, 0.01)
	sameBits(t, "GOMAXPROCS", want, got)
}

// TestFusionDoesNotChangeBits compares the fused plan of a network with the unfused one. Fusion changes where values lie and
// which rows are summed in one go. Where a convolution has no padding, and the batch is large enough that its rows are not
// summed in chunks, it changes no order of summation: all bits are the same. (Otherwise the gradient of a kernel may differ by
// the rounding of its sum: the conformance suite holds both plans to the bound of that.)
func TestFusionDoesNotChangeBits(t *testing.T) {
	t.Parallel()
	conv := func(f model.ActivationFunc) model.Layer {
		return model.Conv2D{Filters: 5, KernelSize: model.Square(3), Activation: f}
	}
	small := func(f model.ActivationFunc) model.Layer {
		return model.Conv2D{Filters: 5, KernelSize: model.Square(2), Activation: f}
	}
	deep := func(f model.ActivationFunc) model.Layer {
		return model.Conv2D{Filters: 32, KernelSize: model.Square(3), Padding: model.Same, Activation: f}
	}
	tail := []model.Layer{model.Flatten{}, model.Dense{Units: 4, Activation: model.Tanh}, model.Dense{Units: 3, Activation: model.Softmax}}
	with := func(layers ...model.Layer) []model.Layer { return append(layers, tail...) }
	norm, relu := model.BatchNormalization{}, model.Activation{Func: model.ReLU}
	wide := model.Conv2D{Filters: 17, KernelSize: model.Square(2), Activation: model.Sigmoid}
	rows := model.Conv2D{Filters: 16, KernelSize: model.Square(5), Activation: model.Tanh} // by Winograd's algorithm
	for name, layers := range map[string][]model.Layer{
		"windows":            with(small(model.ReLU), model.MaxPool2D{}), // the gradient at the sums is not made
		"windows of tanh":    with(small(model.Tanh), model.MaxPool2D{}),
		"linear windows":     with(small(model.Linear), model.MaxPool2D{}),
		"windows of groups":  with(model.Conv2D{Filters: 6, KernelSize: model.Size{H: 1, W: 2}, Groups: 2, Activation: model.ReLU}, model.MaxPool2D{}),
		"relu max":           with(conv(model.ReLU), model.MaxPool2D{}),
		"tanh max":           with(conv(model.Tanh), model.MaxPool2D{}),
		"relu6 max":          with(conv(model.ReLU6), model.MaxPool2D{}),
		"hard sigmoid mean":  with(conv(model.HardSigmoid), model.AveragePool2D{}),
		"hard silu max":      with(conv(model.HardSiLU), model.MaxPool2D{}),
		"linear max":         with(conv(model.Linear), model.MaxPool2D{}),
		"relu average":       with(conv(model.ReLU), model.AveragePool2D{}),
		"tanh average":       with(conv(model.Tanh), model.AveragePool2D{PoolSize: model.Size{H: 3, W: 2}}),
		"sigmoid average":    with(conv(model.Sigmoid), model.AveragePool2D{PoolSize: model.Square(4)}), // rows and columns left over
		"relu average of 3":  with(conv(model.ReLU), model.AveragePool2D{PoolSize: model.Square(3)}),
		"elu average":        with(conv(model.ELU), model.AveragePool2D{PoolSize: model.Size{H: 1, W: 3}}),
		"same tanh average":  with(model.Conv2D{Filters: 7, KernelSize: model.Square(3), Padding: model.Same, Activation: model.Tanh}, model.AveragePool2D{}),
		"winograd average":   with(deep(model.ReLU), deep(model.Tanh), model.AveragePool2D{}, deep(model.Sigmoid), model.AveragePool2D{PoolSize: model.Square(2)}),
		"leaky layer max":    with(conv(model.Linear), model.Activation{Func: model.LeakyReLU, Alpha: 0.3}, model.MaxPool2D{}),
		"gelu":               with(conv(model.GELU), model.MaxPool2D{}),
		"softmax":            with(conv(model.Softmax), model.MaxPool2D{}),
		"rows left over":     with(conv(model.ReLU), model.MaxPool2D{PoolSize: model.Square(4)}),
		"second convolution": with(conv(model.ReLU), model.MaxPool2D{}, wide, model.AveragePool2D{}),
		"second, max":        with(conv(model.ELU), model.AveragePool2D{}, conv(model.ReLU), model.MaxPool2D{}),
		"rows, average":      with(conv(model.Linear), rows, model.AveragePool2D{}),
		"rows, max":          with(conv(model.Linear), rows, model.MaxPool2D{PoolSize: model.Size{H: 3, W: 2}}),
		"norm relu":          with(conv(model.Linear), norm, relu, conv(model.Linear)),
		"norm relu max":      with(conv(model.Linear), norm, relu, model.MaxPool2D{}, norm, relu),
		"norm first":         with(norm, relu, conv(model.ReLU)),
		"norm frozen":        with(conv(model.Linear), model.BatchNormalization{Frozen: true}, relu, conv(model.Linear), model.MaxPool2D{}),
		"norm of units":      {model.Flatten{}, model.Dense{Units: 19}, norm, relu, model.Dense{Units: 3, Activation: model.Softmax}},
		"norm tanh":          with(conv(model.Linear), norm, model.Activation{Func: model.Tanh}),
		"norm add relu": with(conv(model.Linear), model.BatchNormalization{Name: "bn"}, model.Activation{Name: "taken", Func: model.ReLU}, norm,
			model.Add{Inputs: []string{"taken", "batch_normalization"}}, relu),
		"norm read twice":     with(conv(model.Linear), model.BatchNormalization{Name: "bn"}, relu, model.Add{Inputs: []string{"bn", "activation"}}),
		"stride and groups":   with(model.Conv2D{Filters: 6, KernelSize: model.Size{H: 2, W: 3}, Strides: model.Square(2), Groups: 2, Activation: model.ReLU}, model.MaxPool2D{}),
		"dilation":            with(model.Conv2D{Filters: 9, KernelSize: model.Square(3), DilationRate: model.Square(2), Activation: model.ReLU}, model.MaxPool2D{}),
		"same padding":        with(model.Conv2D{Filters: 7, KernelSize: model.Square(3), Padding: model.Same, Activation: model.ReLU}, model.MaxPool2D{}),
		"same padding, even":  with(model.Conv2D{Filters: 7, KernelSize: model.Square(4), Padding: model.Same}, model.MaxPool2D{}),
		"padding and stride":  with(model.Conv2D{Filters: 7, KernelSize: model.Square(5), Padding: model.Same, Strides: model.Square(2), Activation: model.ReLU}, model.MaxPool2D{}),
		"overlapping windows": with(conv(model.ReLU), model.MaxPool2D{PoolSize: model.Square(3), Strides: model.Square(2)}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shape := model.Shape{13, 12, 2}
			if name == "windows of groups" {
				shape[2] = 6
			}
			net, err := model.New(name, shape, layers...)
			if err != nil {
				t.Fatal(err)
			}
			set := images(t, net, 64*2+29)
			plan := device.Plan{Batch: 64, Training: &device.Training{Optimizer: device.SGD{Momentum: 0.9}}}
			traced := plan
			traced.Trace = true // nothing is fused
			metrics, unfused := learnt(t, 2, net, traced, set, 0.05)
			for workers := 1; workers <= 3; workers++ {
				fusedMetrics, fused := learnt(t, workers, net, plan, set, 0.05)
				if metrics != fusedMetrics {
					t.Errorf("%d workers: metrics %+v fused, %+v unfused", workers, fusedMetrics, metrics)
				}
				sameBits(t, fmt.Sprintf("fused with %d workers and unfused", workers), fused, unfused)
			}
		})
	}
}

// TestStepsAllocateNothing counts the allocations of epochs of different lengths.
func TestStepsAllocateNothing(t *testing.T) {
	for _, name := range []string{"cnn", "lenet5", "wide"} {
		net := preset(t, name)
		plan := lesson(name)
		set := images(t, net, 16*plan.Batch)
		p, r := start(t, 2, net, plan, set)
		allocations := func(steps int) float64 {
			e := epochOf(set, plan.Batch, 0.01)
			e.Order, e.Rates = e.Order[:steps*plan.Batch], e.Rates[:steps]
			return testing.AllocsPerRun(3, func() {
				if _, err := p.Train(context.Background(), r, e); err != nil {
					t.Fatal(err)
				}
			})
		}
		// A worker that falls asleep at a barrier may make the runtime allocate for it: not once a step.
		if short, long := allocations(1), allocations(16); long-short >= 15 && !cpu.RaceDetector {
			t.Errorf("%s: %v allocations in an epoch of 1 step, %v in one of 16", name, short, long)
		}
	}
}

// shuffled is an epoch's order as training draws it.
func shuffled(n int) []int32 {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	for i := n - 1; i > 0; i-- {
		j := int(philox.Words(1, philox.Shuffle, uint32(i), 0, 0)[0]) % (i + 1)
		order[i], order[j] = order[j], order[i]
	}
	return order
}

// TestInferenceWorkersDoNotChangeBits predicts with fewer groups of images than workers, which share a group, and with more.
func TestInferenceWorkersDoNotChangeBits(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"cnn", "lenet5", "wide"} {
		net := preset(t, name)
		set := images(t, net, 70)
		p1, _ := start(t, 1, net, device.Plan{Batch: 8}, set)
		want, err := p1.Predict(context.Background(), set)
		if err != nil {
			t.Fatal(err)
		}
		p5, _ := start(t, 5, net, device.Plan{Batch: 64}, set)
		for _, n := range []int{1, 16, 35, 70} {
			got, err := p5.Predict(context.Background(), set.Slice(0, n))
			if err != nil {
				t.Fatal(err)
			}
			if name != "cnn" { // a rest of a group is no matter for Winograd's algorithm, so that other images round it differently
				if want, err = p1.Predict(context.Background(), set.Slice(0, n)); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(got.Float32s(), want.Float32s()[:n*10]) {
				t.Errorf("%s: %d images with 5 workers differ from 1 worker", name, n)
			}
		}
	}
}

// TestTooLarge asks for more memory than there is, and for an activation whose offsets no kernel can count.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	dev := open(2)(t)
	for _, c := range []struct {
		input  model.Shape
		layers []model.Layer
		want   error
	}{
		{model.Shape{8, 8, 1}, []model.Layer{
			model.Flatten{}, model.Dense{Units: 1 << 24}, model.Dense{Units: 1 << 16}, model.Dense{Units: 2, Activation: model.Softmax},
		}, device.ErrMemory},
		{model.Shape{1 << 14, 1 << 14, 1}, []model.Layer{model.GlobalMaxPool2D{}, model.Dense{Units: 2, Activation: model.Softmax}}, device.ErrArgument},
	} {
		net, err := model.New("huge", c.input, c.layers...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dev.Compile(net, device.Plan{Batch: 1}); !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.input, err, c.want)
		}
	}
}
