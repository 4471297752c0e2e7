package devicetest

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"gcnn/device"
	"gcnn/model"
)

// testRandom tries random networks; rapid prints its seed, and the error the network as Go code.
func testRandom(t *testing.T, dev device.Device) {
	t.Run("derived", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) { checkRandomTrace(t, dev) })
	})
	t.Run("exact", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) { checkRandomIntegers(t, dev) })
	})
	t.Run("training", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) { checkRandomTraining(t, dev) })
	})
}

func drawSamples(t *rapid.T) int {
	return rapid.SampledFrom([]int{1, 2, 3, 15, 16, 17, 33}).Draw(t, "samples")
}

// shortened keeps a case of so many samples short.
func shortened(samples int, net *model.Network) int {
	for samples > 1 && int64(samples)*macs(net) > 2e6 {
		samples /= 2
	}
	return samples
}

// checkRandomTrace takes one to five layers, with branches, in training and inference, with a gradient at the output or a loss.
func checkRandomTrace(t *rapid.T, dev device.Device) {
	net := drawNetwork(t)
	c := traceCase{
		net:   net,
		n:     shortened(drawSamples(t), net),
		infer: rapid.Bool().Draw(t, "infer"),
		step:  rapid.Int64Range(0, 1<<33).Draw(t, "step"),
		seed:  rapid.Uint64().Draw(t, "seed"),
	}
	c.batch = c.n + rapid.SampledFrom([]int{0, 1, 5, 16}).Draw(t, "room in the batch")
	if _, err := net.Classes(); err == nil && rapid.Bool().Draw(t, "loss") {
		c.training = &device.Training{
			Optimizer:      device.SGD{},
			LabelSmoothing: rapid.SampledFrom([]float32{0, 0.1, 0.5}).Draw(t, "label smoothing"),
			Seed:           rapid.Uint64().Draw(t, "dropout seed"),
		}
	}
	if err := c.check(dev, derivedTier); err != nil {
		t.Fatal(err)
	}
}

// checkRandomIntegers takes a convolution of any geometry, or a dense layer, with relu and a pool, on integers.
func checkRandomIntegers(t *rapid.T, dev device.Device) {
	var net *model.Network
	for net == nil {
		conv := drawConv(t)
		conv.Activation = rapid.SampledFrom([]model.ActivationFunc{model.Linear, model.ReLU}).Draw(t, "exact activation")
		layers := []model.Layer{conv}
		switch rapid.IntRange(0, 3).Draw(t, "then") {
		case 0:
			layers = append(layers, model.MaxPool2D{PoolSize: drawSize(t, 4, "pool"), Strides: drawSize(t, 3, "strides"), Padding: drawPadding(t)})
		case 1:
			layers = append(layers, model.AveragePool2D{})
		case 2:
			layers = append(layers, model.Flatten{}, model.Dense{Units: rapid.IntRange(1, 20).Draw(t, "units")})
		}
		net, _ = model.New("random", drawInput(t), layers...) // one that does not fit is drawn again
	}
	c := traceCase{net: net, n: shortened(drawSamples(t), net), seed: rapid.Uint64().Draw(t, "seed")}
	c.batch = c.n + rapid.SampledFrom([]int{0, 1, 16}).Draw(t, "room in the batch")
	if err := c.check(dev, exactTier); err != nil {
		t.Fatal(err)
	}
}

// checkRandomTraining follows a few steps of a random classifier with random options.
func checkRandomTraining(t *rapid.T, dev device.Device) {
	net := drawNetwork(t)
	if _, err := net.Classes(); err != nil {
		return // drawn often enough
	}
	rate := rapid.SampledFrom([]float32{0, 1e-4, 0.01, 0.3})
	option := rapid.SampledFrom([]float32{0, 0, 0.01, 0.3})
	c := trainCase{
		net:    net,
		batch:  shortened(drawSamples(t), net),
		images: rapid.IntRange(1, 20).Draw(t, "images"),
		first:  rapid.Int64Range(0, 1000).Draw(t, "first step"),
		seed:   rapid.Uint64().Draw(t, "seed"),
		rates:  func(int) float32 { return rate.Draw(t, "rate") },
		training: device.Training{
			Optimizer: rapid.SampledFrom([]device.Optimizer{
				device.SGD{}, device.SGD{Momentum: 0.9}, device.SGD{Momentum: 0.9, Nesterov: true}, device.NewAdam(), device.NewRMSprop(),
			}).Draw(t, "optimizer"),
			WeightDecay: option.Draw(t, "weight decay"), ClipNorm: option.Draw(t, "clip norm"),
			LabelSmoothing: option.Draw(t, "label smoothing"), Seed: rapid.Uint64().Draw(t, "dropout seed"),
		},
	}
	c.samples = 2*c.batch + rapid.IntRange(0, c.batch).Draw(t, "samples left over")
	if err := c.check(dev); err != nil {
		t.Fatal(err)
	}
}

func macs(net *model.Network) int64 {
	var n int64
	for _, node := range net.Nodes {
		n += node.MACs + int64(node.Out.Size())
	}
	return n
}

// drawNetwork grows a network block by block; a block that does not fit what there is is drawn again.
func drawNetwork(t *rapid.T) *model.Network {
	input := drawInput(t)
	var layers []model.Layer
	var net *model.Network
	for range rapid.IntRange(1, 5).Draw(t, "blocks") {
		for range 8 {
			next := append(append([]model.Layer{}, layers...), drawBlock(t, layers)...)
			if grown, err := model.New("random", input, next...); err == nil {
				layers, net = next, grown
				break
			}
		}
	}
	if net == nil || rapid.Bool().Draw(t, "classifier") {
		if net == nil || len(net.Output()) != 1 {
			layers = append(layers, model.Flatten{})
		}
		layers = append(layers, model.Dense{Units: rapid.IntRange(2, 12).Draw(t, "classes"), Activation: model.Softmax})
	}
	net, err := model.New("random", input, layers...)
	if err != nil {
		t.Fatalf("a random network is not valid: %v", err)
	}
	return net
}

func drawInput(t *rapid.T) model.Shape {
	return model.Shape{rapid.IntRange(1, 9).Draw(t, "height"), rapid.IntRange(1, 9).Draw(t, "width"), drawChannels(t, "channels")}
}

func drawChannels(t *rapid.T, what string) int {
	return rapid.SampledFrom([]int{1, 2, 3, 4, 5, 8, 16, 17}).Draw(t, what)
}

func drawSize(t *rapid.T, most int, what string) model.Size {
	return model.Size{H: rapid.IntRange(1, most).Draw(t, what+" h"), W: rapid.IntRange(1, most).Draw(t, what+" w")}
}

func drawPadding(t *rapid.T) model.Padding {
	return rapid.SampledFrom([]model.Padding{model.Valid, model.Same}).Draw(t, "padding")
}

func drawActivation(t *rapid.T) model.ActivationFunc {
	if rapid.Bool().Draw(t, "usual") {
		return rapid.SampledFrom([]model.ActivationFunc{model.Linear, model.ReLU, model.Tanh}).Draw(t, "activation")
	}
	return model.ActivationFunc(rapid.IntRange(0, int(model.HardSiLU)).Draw(t, "activation"))
}

func drawConv(t *rapid.T) model.Conv2D {
	c := model.Conv2D{
		Filters: drawChannels(t, "filters"), KernelSize: drawSize(t, 5, "kernel"), Padding: drawPadding(t),
		Activation: drawActivation(t), NoBias: model.NoBias(rapid.Bool().Draw(t, "no bias")),
	}
	switch rapid.IntRange(0, 5).Draw(t, "kind of convolution") {
	case 0:
		c.Strides = drawSize(t, 3, "strides")
	case 1:
		c.DilationRate = drawSize(t, 3, "dilation")
	case 2:
		c.Groups = rapid.IntRange(1, 4).Draw(t, "groups")
	case 3:
		c.Filters, c.DepthMultiplier = 0, rapid.IntRange(1, 2).Draw(t, "depth multiplier")
	}
	return c
}

// drawBlock is one layer, or a few that branch and join, after the given ones.
func drawBlock(t *rapid.T, before []model.Layer) []model.Layer {
	switch rapid.SampledFrom([]string{
		"conv", "conv", "conv", "max pool", "average pool", "batch norm", "activation", "dropout", "lrn", "pad", "global", "flat",
		"residual", "inception",
	}).Draw(t, "block") {
	case "conv":
		return []model.Layer{drawConv(t)}
	case "max pool":
		return []model.Layer{model.MaxPool2D{PoolSize: drawSize(t, 4, "pool"), Strides: drawSize(t, 3, "strides"), Padding: drawPadding(t)}}
	case "average pool":
		return []model.Layer{model.AveragePool2D{PoolSize: drawSize(t, 4, "pool"), Strides: drawSize(t, 3, "strides"), Padding: drawPadding(t)}}
	case "batch norm":
		return []model.Layer{model.BatchNormalization{
			NoScale:  model.NoScale(rapid.Bool().Draw(t, "no scale")),
			NoCenter: model.NoCenter(rapid.Bool().Draw(t, "no center")),
			Frozen:   model.Frozen(rapid.IntRange(0, 4).Draw(t, "frozen") == 0),
		}}
	case "activation":
		return []model.Layer{model.Activation{Func: drawActivation(t)}}
	case "dropout":
		return []model.Layer{model.Dropout{Rate: float32(rapid.IntRange(0, 9).Draw(t, "rate in tenths")) / 10}}
	case "lrn":
		return []model.Layer{model.LocalResponseNormalization{Size: 1 + 2*rapid.IntRange(0, 4).Draw(t, "half size"), Alpha: 0.5}}
	case "pad":
		side := rapid.IntRange(0, 2)
		return []model.Layer{model.ZeroPadding2D{Padding: model.Margins{
			Top: side.Draw(t, "top"), Bottom: side.Draw(t, "bottom"), Left: side.Draw(t, "left"), Right: side.Draw(t, "right"),
		}}}
	case "global":
		return []model.Layer{rapid.SampledFrom([]model.Layer{model.GlobalMaxPool2D{}, model.GlobalAveragePool2D{}}).Draw(t, "global pool")}
	case "flat":
		units := rapid.IntRange(1, 20).Draw(t, "units")
		return []model.Layer{model.Flatten{}, model.Dense{Units: units, Activation: drawActivation(t)}}
	case "residual":
		from, to := fmt.Sprintf("from%d", len(before)), fmt.Sprintf("to%d", len(before))
		c := drawConv(t)
		c.Name, c.Padding, c.Strides = to, model.Same, model.Size{}
		return []model.Layer{model.Activation{Name: from}, c, model.Add{Inputs: []string{to, from}}}
	default: // inception
		from := fmt.Sprintf("from%d", len(before))
		a, b := drawConv(t), drawConv(t)
		a.Name, b.Name = from+"a", from+"b"
		a.Inputs, b.Inputs = []string{from}, []string{from}
		a.Padding, b.Padding, a.Strides, b.Strides = model.Same, model.Same, model.Size{}, model.Size{}
		return []model.Layer{model.Activation{Name: from, Func: drawActivation(t)}, a, b, model.Concatenate{Inputs: []string{b.Name, from, a.Name}}}
	}
}
