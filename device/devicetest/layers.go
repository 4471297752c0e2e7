package devicetest

import (
	"fmt"
	"slices"
	"testing"

	"gcnn/device"
	"gcnn/model"
)

// layerCase is a network of one layer or a few, for both tiers or the derived one.
type layerCase struct {
	name     string
	net      *model.Network
	batch, n int
	derived  bool // not exact on integers
	infer    bool
}

// testLayers runs every layer over a table of shapes and options, forward and backward.
func testLayers(t *testing.T, dev device.Device) {
	for i, c := range append(eachLayer(), sampleCases()...) {
		for _, tier := range []tier{exactTier, derivedTier} {
			if c.derived && tier == exactTier {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", c.name, tier), func(t *testing.T) {
				t.Parallel()
				tc := traceCase{net: c.net, batch: c.batch, n: c.n, infer: c.infer, seed: uint64(i + 1)}
				if err := tc.check(dev, tier); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// eachLayer is every layer over a table of shapes and options.
func eachLayer() []layerCase {
	return slices.Concat(convCases(), poolCases(), denseCases(), activationCases(), normalizationCases(), shapeCases())
}

func convCases() []layerCase {
	type conv = model.Conv2D
	sq, hw := model.Square, func(h, w int) model.Size { return model.Size{H: h, W: w} }
	same := model.Same
	var cases []layerCase
	for _, c := range []struct {
		in       model.Shape
		layer    conv
		batch, n int
	}{
		{model.Shape{1, 1, 1}, conv{Filters: 1, KernelSize: sq(1)}, 1, 1},
		{model.Shape{3, 3, 1}, conv{Filters: 1, KernelSize: sq(3)}, 1, 1},
		{model.Shape{28, 28, 1}, conv{Filters: 8, KernelSize: sq(3), Activation: model.ReLU}, 5, 5},
		{model.Shape{28, 28, 1}, conv{Filters: 6, KernelSize: sq(3), Padding: same}, 3, 2},
		{model.Shape{14, 14, 6}, conv{Filters: 16, KernelSize: sq(5)}, 4, 3},
		{model.Shape{5, 5, 16}, conv{Filters: 120, KernelSize: sq(5)}, 17, 5},
		{model.Shape{6, 7, 3}, conv{Filters: 5, KernelSize: sq(3)}, 16, 16},
		{model.Shape{6, 7, 3}, conv{Filters: 5, KernelSize: sq(3), Padding: same}, 17, 17},
		{model.Shape{6, 7, 3}, conv{Filters: 5, KernelSize: sq(3), Padding: same, Activation: model.ReLU}, 33, 33},
		{model.Shape{6, 7, 3}, conv{Filters: 5, KernelSize: sq(3), Activation: model.ReLU}, 33, 1},
		{model.Shape{7, 6, 2}, conv{Filters: 3, KernelSize: sq(3), Strides: sq(2)}, 2, 2},
		{model.Shape{8, 6, 2}, conv{Filters: 3, KernelSize: sq(3), Strides: sq(2), Padding: same}, 16, 15},
		{model.Shape{7, 9, 2}, conv{Filters: 3, KernelSize: sq(3), Strides: sq(2), Padding: same}, 18, 17},
		{model.Shape{9, 8, 3}, conv{Filters: 4, KernelSize: hw(3, 2), Strides: hw(2, 1), Padding: same, Activation: model.ReLU}, 4, 4},
		{model.Shape{9, 8, 3}, conv{Filters: 4, KernelSize: hw(3, 2), Strides: hw(1, 3)}, 4, 4},
		{model.Shape{8, 8, 2}, conv{Filters: 2, KernelSize: sq(2), Strides: sq(3)}, 3, 3},                // gaps between windows
		{model.Shape{8, 8, 2}, conv{Filters: 2, KernelSize: sq(1), Strides: sq(2), Padding: same}, 3, 3}, // a projection
		{model.Shape{5, 6, 2}, conv{Filters: 3, KernelSize: sq(2), Padding: same}, 2, 2},                 // uneven padding
		{model.Shape{7, 6, 2}, conv{Filters: 3, KernelSize: sq(4), Strides: sq(2), Padding: same}, 2, 2},
		{model.Shape{3, 2, 2}, conv{Filters: 2, KernelSize: sq(5), Padding: same}, 2, 2}, // larger than the input
		{model.Shape{4, 9, 2}, conv{Filters: 3, KernelSize: hw(1, 5)}, 2, 2},
		{model.Shape{9, 4, 2}, conv{Filters: 3, KernelSize: hw(7, 1), Padding: same}, 2, 2},
		{model.Shape{1, 12, 3}, conv{Filters: 4, KernelSize: hw(1, 3), Padding: same}, 9, 9},
		{model.Shape{12, 1, 3}, conv{Filters: 4, KernelSize: hw(3, 1)}, 9, 9},
		{model.Shape{8, 9, 2}, conv{Filters: 3, KernelSize: sq(3), DilationRate: sq(2)}, 2, 2},
		{model.Shape{7, 6, 2}, conv{Filters: 3, KernelSize: sq(3), DilationRate: hw(2, 1), Padding: same}, 3, 3},
		{model.Shape{9, 9, 1}, conv{Filters: 2, KernelSize: sq(2), DilationRate: hw(3, 4), Padding: same, Activation: model.ReLU}, 17, 3},
		{model.Shape{6, 5, 4}, conv{Filters: 6, KernelSize: sq(3), Groups: 2, Padding: same}, 3, 3},
		{model.Shape{6, 5, 6}, conv{Filters: 3, KernelSize: sq(3), Groups: 3, Activation: model.ReLU}, 17, 17},
		{model.Shape{7, 7, 4}, conv{Filters: 8, KernelSize: sq(3), Groups: 4, Strides: sq(2), Padding: same}, 3, 3},
		{model.Shape{6, 6, 5}, conv{KernelSize: sq(3), DepthMultiplier: 1}, 2, 2},
		{model.Shape{6, 6, 3}, conv{KernelSize: sq(3), DepthMultiplier: 2, Strides: sq(2), Padding: same, Activation: model.ReLU}, 17, 2},
		{model.Shape{4, 4, 17}, conv{Filters: 33, KernelSize: sq(3)}, 2, 2},
		{model.Shape{4, 5, 8}, conv{Filters: 17, KernelSize: sq(1), NoBias: true, Activation: model.ReLU}, 5, 5},
		{model.Shape{4, 4, 33}, conv{Filters: 8, KernelSize: sq(3), Padding: same, NoBias: true}, 3, 3},
		{model.Shape{4, 4, 16}, conv{Filters: 64, KernelSize: sq(3), Padding: same}, 2, 2},
		{model.Shape{5, 5, 3}, conv{Filters: 4, KernelSize: sq(3), Frozen: true}, 2, 2},
		{model.Shape{5, 5, 32}, conv{Filters: 96, KernelSize: sq(3), Padding: same}, 2, 2},                      // many weights
		{model.Shape{6, 5, 96}, conv{Filters: 160, KernelSize: sq(3), Groups: 2, Activation: model.ReLU}, 2, 2}, // the same in groups
		// What device.Winograd takes: whole tiles and parts of them, all borders, one tile and several blocks.
		{model.Shape{4, 4, 64}, conv{Filters: 32, KernelSize: sq(3), Padding: same}, 2, 2},
		{model.Shape{9, 14, 32}, conv{Filters: 48, KernelSize: sq(3)}, 3, 2},
		{model.Shape{7, 11, 48}, conv{Filters: 32, KernelSize: sq(3), Padding: same, Activation: model.ReLU}, 17, 3},
		{model.Shape{6, 40, 32}, conv{Filters: 32, KernelSize: sq(3), Padding: same, NoBias: true}, 1, 1},
		{model.Shape{8, 8, 32}, conv{Filters: 80, KernelSize: sq(3), Padding: same}, 33, 2},
		// What device.WinogradRows takes: even and odd rows, borders, groups, other strides of rows, several bands and parts of them. A
		// small batch would have channels in its lanes.
		{model.Shape{14, 14, 6}, conv{Filters: 16, KernelSize: sq(5)}, 17, 17},
		{model.Shape{7, 9, 6}, conv{Filters: 32, KernelSize: sq(5), Padding: same, Activation: model.ReLU}, 17, 3},
		{model.Shape{8, 11, 5}, conv{Filters: 16, KernelSize: sq(5), NoBias: true}, 17, 3},
		{model.Shape{9, 10, 16}, conv{Filters: 32, KernelSize: sq(5), Groups: 2, Padding: same}, 17, 2},
		{model.Shape{10, 9, 8}, conv{Filters: 16, KernelSize: hw(3, 5), Strides: hw(2, 1), Padding: same}, 17, 2},
		{model.Shape{12, 8, 8}, conv{Filters: 16, KernelSize: hw(4, 5), DilationRate: hw(2, 1)}, 17, 2},
		{model.Shape{3, 8, 12}, conv{Filters: 16, KernelSize: sq(5), Padding: same}, 17, 2}, // rows of the kernel that meet padding alone
		{model.Shape{9, 10, 96}, conv{Filters: 32, KernelSize: sq(5), Padding: same}, 17, 1},
		{model.Shape{6, 26, 48}, conv{Filters: 32, KernelSize: sq(5), Padding: same}, 17, 1},
	} {
		name := fmt.Sprintf("conv %v k%v s%v d%v g%d %v f%d %v n%d of %d", c.in, c.layer.KernelSize, c.layer.Strides, c.layer.DilationRate,
			c.layer.Groups, c.layer.Padding, c.layer.Filters, c.layer.Activation, c.n, c.batch)
		cases = append(cases, layerCase{name: name, net: mustNet(c.in, c.layer), batch: c.batch, n: c.n})
	}
	for _, c := range []struct {
		layer    model.SeparableConv2D
		batch, n int
	}{
		{model.SeparableConv2D{Filters: 5, KernelSize: sq(3)}, 2, 2},
		{model.SeparableConv2D{Filters: 7, KernelSize: hw(3, 2), Strides: sq(2), Padding: same, DepthMultiplier: 2, Activation: model.ReLU}, 17, 16},
		{model.SeparableConv2D{Filters: 4, KernelSize: sq(2), DilationRate: hw(2, 1), NoBias: true, Padding: same, Frozen: true}, 3, 3},
	} {
		l := c.layer
		cases = append(cases, layerCase{
			name: fmt.Sprintf("separable k%v s%v d%v m%d %v f%d %v", l.KernelSize, l.Strides, l.DilationRate, l.DepthMultiplier, l.Padding, l.Filters, l.Activation),
			net:  mustNet(model.Shape{7, 6, 3}, l), batch: c.batch, n: c.n,
		})
	}
	// Behind another layer, where no backend can take the input for an image.
	cases = append(cases, layerCase{
		name: "conv after conv", batch: 18, n: 18, net: mustNet(model.Shape{7, 7, 2},
			conv{Filters: 3, KernelSize: sq(3), Padding: same, Activation: model.ReLU},
			conv{Filters: 4, KernelSize: sq(3), Strides: sq(2), Activation: model.ReLU},
			conv{Filters: 2, KernelSize: sq(2)}),
	})
	return cases
}

func poolCases() []layerCase {
	sq, hw := model.Square, func(h, w int) model.Size { return model.Size{H: h, W: w} }
	same := model.Same
	var cases []layerCase
	for _, c := range []struct {
		in            model.Shape
		size, strides model.Size
		padding       model.Padding
		batch, n      int
	}{
		{model.Shape{26, 26, 8}, sq(2), sq(2), model.Valid, 5, 5},
		{model.Shape{7, 5, 3}, sq(2), sq(2), model.Valid, 17, 17},
		{model.Shape{7, 5, 3}, sq(2), sq(2), same, 33, 33},
		{model.Shape{8, 8, 2}, sq(3), sq(2), model.Valid, 16, 16},
		{model.Shape{8, 6, 2}, sq(3), sq(2), same, 2, 2},
		{model.Shape{6, 6, 17}, sq(3), sq(1), same, 3, 2}, // each element is in nine windows
		{model.Shape{6, 7, 2}, hw(2, 3), hw(2, 1), model.Valid, 1, 1},
		{model.Shape{9, 9, 1}, sq(2), sq(4), model.Valid, 2, 2}, // elements in no window
		{model.Shape{3, 2, 5}, sq(5), sq(5), same, 2, 2},
		{model.Shape{1, 9, 3}, hw(1, 4), hw(1, 2), same, 4, 4},
		{model.Shape{4, 4, 3}, sq(4), sq(4), model.Valid, 18, 18},
	} {
		suffix := fmt.Sprintf("%v %v s%v %v n%d of %d", c.in, c.size, c.strides, c.padding, c.n, c.batch)
		cases = append(cases,
			layerCase{name: "max pool " + suffix, batch: c.batch, n: c.n,
				net: mustNet(c.in, model.MaxPool2D{PoolSize: c.size, Strides: c.strides, Padding: c.padding})},
			layerCase{name: "average pool " + suffix, batch: c.batch, n: c.n,
				derived: c.padding == same || (c.size.H*c.size.W)&(c.size.H*c.size.W-1) != 0, // a divisor that is no power of two
				net:     mustNet(c.in, model.AveragePool2D{PoolSize: c.size, Strides: c.strides, Padding: c.padding})})
	}
	cases = append(cases,
		layerCase{name: "max pool after relu", batch: 17, n: 17, // ties of zeros
			net: mustNet(model.Shape{8, 8, 2}, model.Conv2D{Filters: 3, KernelSize: sq(3), Activation: model.ReLU}, model.MaxPool2D{})},
		layerCase{name: "overlapping max pool after relu", batch: 5, n: 5,
			net: mustNet(model.Shape{9, 9, 2}, model.Conv2D{Filters: 3, KernelSize: sq(3), Activation: model.ReLU},
				model.MaxPool2D{PoolSize: sq(3), Strides: sq(2)})},
		layerCase{name: "tanh conv, average pool", batch: 17, n: 17, derived: true,
			net: mustNet(model.Shape{8, 8, 2}, model.Conv2D{Filters: 3, KernelSize: sq(3), Activation: model.Tanh}, model.AveragePool2D{})},
	)
	for _, c := range []struct {
		in model.Shape
		n  int
	}{{model.Shape{4, 4, 3}, 17}, {model.Shape{1, 1, 5}, 2}, {model.Shape{7, 7, 33}, 2}, {model.Shape{3, 5, 8}, 33}} {
		cases = append(cases,
			layerCase{name: fmt.Sprintf("global max %v n%d", c.in, c.n), net: mustNet(c.in, model.GlobalMaxPool2D{}), batch: c.n, n: c.n},
			layerCase{name: fmt.Sprintf("global average %v n%d", c.in, c.n), net: mustNet(c.in, model.GlobalAveragePool2D{}), batch: c.n, n: c.n,
				derived: (c.in[0]*c.in[1])&(c.in[0]*c.in[1]-1) != 0})
	}
	return cases
}

func denseCases() []layerCase {
	var cases []layerCase
	for _, c := range []struct {
		in       model.Shape
		layer    model.Dense
		batch, n int
	}{
		{model.Shape{1, 1, 1}, model.Dense{Units: 1}, 1, 1},
		{model.Shape{13, 13, 8}, model.Dense{Units: 28, Activation: model.ReLU}, 8, 8},
		{model.Shape{1, 1, 120}, model.Dense{Units: 84}, 33, 33},
		{model.Shape{1, 1, 84}, model.Dense{Units: 10}, 17, 16},
		{model.Shape{2, 3, 5}, model.Dense{Units: 17, NoBias: true}, 16, 16},
		{model.Shape{1, 1, 3}, model.Dense{Units: 100, Activation: model.ReLU}, 18, 17},
		{model.Shape{3, 3, 2}, model.Dense{Units: 2, Frozen: true}, 2, 2},
		{model.Shape{1, 1, 257}, model.Dense{Units: 65, NoBias: true, Activation: model.ReLU}, 3, 3},
	} {
		name := fmt.Sprintf("dense %v to %d %v n%d of %d", c.in, c.layer.Units, c.layer.Activation, c.n, c.batch)
		cases = append(cases, layerCase{name: name, net: mustNet(c.in, model.Flatten{}, c.layer), batch: c.batch, n: c.n})
	}
	return append(cases,
		layerCase{name: "dense after dense", batch: 17, n: 17, net: mustNet(model.Shape{2, 2, 3}, model.Flatten{},
			model.Dense{Units: 9, Activation: model.ReLU}, model.Dense{Units: 5, Activation: model.ReLU}, model.Dense{Units: 3})},
		layerCase{name: "dense without flatten before it", batch: 3, n: 3, net: mustNet(model.Shape{4, 4, 5},
			model.GlobalMaxPool2D{}, model.Dense{Units: 4})})
}

func activationCases() []layerCase {
	var cases []layerCase
	for f := model.Linear; f <= model.HardSiLU; f++ {
		derived := f != model.Linear && f != model.ReLU && f != model.LeakyReLU && f != model.ReLU6
		layers := []model.Activation{{Func: f}}
		switch f {
		case model.LeakyReLU:
			layers = append(layers, model.Activation{Func: f, Alpha: 0.25}) // exact, as the default of 0.2 is not
		case model.ELU:
			layers = append(layers, model.Activation{Func: f, Alpha: 0.7}, model.Activation{Func: f, Alpha: 3})
		case model.Linear, model.ReLU, model.Tanh, model.Sigmoid, model.Softmax, model.GELU, model.SiLU, model.Softplus, model.ReLU6, model.HardSigmoid, model.HardSiLU:
		}
		for _, layer := range layers {
			cases = append(cases, layerCase{
				name: fmt.Sprintf("%v alpha %g", f, layer.Alpha), net: mustNet(model.Shape{3, 5, 7}, layer), batch: 17, n: 17,
				derived: derived || (f == model.LeakyReLU && layer.Alpha == 0),
			})
		}
		cases = append(cases,
			layerCase{name: fmt.Sprintf("conv with %v", f), derived: derived || f == model.LeakyReLU, batch: 3, n: 3,
				net: mustNet(model.Shape{5, 4, 3}, model.Conv2D{Filters: 5, KernelSize: model.Square(3), Padding: model.Same, Activation: f})},
			layerCase{name: fmt.Sprintf("dense with %v", f), derived: derived || f == model.LeakyReLU, batch: 18, n: 17,
				net: mustNet(model.Shape{1, 1, 9}, model.Flatten{}, model.Dense{Units: 5, Activation: f})})
	}
	return cases
}

func normalizationCases() []layerCase {
	type norm = model.BatchNormalization
	var cases []layerCase
	for i, l := range []norm{{}, {Momentum: 0.75}, {NoScale: true}, {NoCenter: true}, {NoScale: true, NoCenter: true}} {
		l.Epsilon = max(l.Epsilon, exactEpsilon)
		frozen := l
		frozen.Frozen = true
		maps := mustNet(model.Shape{4, 3, 5}, l)
		flat := mustNet(model.Shape{1, 1, 6}, model.Flatten{}, l)
		cases = append(cases,
			layerCase{name: fmt.Sprintf("batch norm %d", i), net: maps, batch: 17, n: 17, derived: true},
			layerCase{name: fmt.Sprintf("batch norm %d partial", i), net: maps, batch: 33, n: 5, derived: true},
			layerCase{name: fmt.Sprintf("batch norm %d infer", i), net: maps, batch: 17, n: 17, infer: true},
			layerCase{name: fmt.Sprintf("batch norm %d frozen", i), net: mustNet(model.Shape{4, 3, 5}, frozen), batch: 3, n: 3},
			layerCase{name: fmt.Sprintf("batch norm %d flat", i), net: flat, batch: 16, n: 16, derived: true},
			layerCase{name: fmt.Sprintf("batch norm %d flat infer", i), net: flat, batch: 2, n: 1, infer: true})
	}
	cases = append(cases,
		layerCase{name: "batch norm one sample", net: mustNet(model.Shape{5, 5, 3}, norm{}), batch: 1, n: 1, derived: true},
		layerCase{name: "batch norm small epsilon", net: mustNet(model.Shape{2, 2, 3}, norm{Epsilon: 1e-5}), batch: 16, n: 16, derived: true},
		layerCase{name: "batch norm wide", net: mustNet(model.Shape{8, 8, 17}, norm{}), batch: 5, n: 5, derived: true},
		layerCase{name: "conv, batch norm, relu", batch: 17, n: 17, derived: true, net: mustNet(model.Shape{6, 6, 2},
			model.Conv2D{Filters: 4, KernelSize: model.Square(3), NoBias: true}, norm{}, model.Activation{Func: model.ReLU})},
		layerCase{name: "conv, batch norm, relu infer", batch: 17, n: 17, derived: true, infer: true, net: mustNet(model.Shape{6, 6, 2},
			model.Conv2D{Filters: 4, KernelSize: model.Square(3), NoBias: true}, norm{}, model.Activation{Func: model.ReLU})})
	for _, l := range []model.LocalResponseNormalization{{}, {Size: 3, Alpha: 0.5, Beta: 0.5, Bias: 1}, {Size: 9, Alpha: 1, Beta: 1}, {Size: 1, Alpha: 2}} {
		for _, channels := range []int{1, 3, 12} {
			cases = append(cases, layerCase{name: fmt.Sprintf("lrn size %d of %d channels", l.Size, channels),
				net: mustNet(model.Shape{3, 2, channels}, l), batch: 17, n: 3, derived: true})
		}
	}
	return cases
}

func shapeCases() []layerCase {
	return []layerCase{
		{name: "flatten", net: mustNet(model.Shape{3, 4, 5}, model.Flatten{}), batch: 17, n: 17},
		{name: "pad", net: mustNet(model.Shape{3, 4, 5}, model.ZeroPadding2D{}), batch: 17, n: 17},
		{name: "pad uneven", net: mustNet(model.Shape{3, 4, 2}, model.ZeroPadding2D{Padding: model.Margins{Top: 1, Bottom: 2, Right: 3}}), batch: 2, n: 1},
		{name: "pad, conv", batch: 3, n: 3, net: mustNet(model.Shape{4, 5, 2},
			model.ZeroPadding2D{Padding: model.Margins{Top: 2, Bottom: 1, Left: 1}}, model.Conv2D{Filters: 3, KernelSize: model.Square(3)})},
		{name: "dropout half", net: mustNet(model.Shape{3, 4, 5}, model.Dropout{Rate: 0.5}), batch: 17, n: 17},
		{name: "dropout half infer", net: mustNet(model.Shape{3, 4, 5}, model.Dropout{Rate: 0.5}), batch: 17, n: 17, infer: true},
		{name: "dropout zero", net: mustNet(model.Shape{3, 4, 5}, model.Dropout{}), batch: 2, n: 2},
		{name: "dropout", net: mustNet(model.Shape{3, 4, 5}, model.Dropout{Rate: 0.3}), batch: 33, n: 18, derived: true},
		{name: "add", net: mustNet(model.Shape{4, 4, 3},
			model.Conv2D{Name: "a", Filters: 3, KernelSize: model.Square(3), Padding: model.Same, Activation: model.ReLU},
			model.Conv2D{Name: "b", Inputs: []string{"input"}, Filters: 3, KernelSize: model.Square(1)},
			model.Add{Inputs: []string{"a", "b", "input"}}), batch: 17, n: 17},
		{name: "add of one twice", net: mustNet(model.Shape{4, 4, 3},
			model.Activation{Name: "a", Func: model.ReLU}, model.Add{Inputs: []string{"a", "a"}}), batch: 3, n: 3},
		{name: "concatenate", net: mustNet(model.Shape{4, 4, 3},
			model.Conv2D{Name: "a", Filters: 5, KernelSize: model.Square(3), Padding: model.Same},
			model.Conv2D{Name: "b", Inputs: []string{"input"}, Filters: 1, KernelSize: model.Square(1), Activation: model.ReLU},
			model.Concatenate{Inputs: []string{"b", "a", "input"}},
			model.Conv2D{Filters: 2, KernelSize: model.Square(2)}), batch: 17, n: 17},
		{name: "concatenate flat", net: mustNet(model.Shape{2, 2, 3},
			model.Flatten{Name: "x"}, model.Dense{Name: "a", Units: 4, Activation: model.ReLU},
			model.Dense{Name: "b", Inputs: []string{"x"}, Units: 17}, model.Concatenate{Inputs: []string{"a", "b", "x"}},
			model.Dense{Units: 3}), batch: 18, n: 17},
		{name: "add flat", net: mustNet(model.Shape{2, 2, 3},
			model.Flatten{Name: "x"}, model.Dense{Name: "a", Units: 12, Activation: model.ReLU}, model.Add{Inputs: []string{"x", "a"}}), batch: 5, n: 4},
		{name: "a layer read three times", net: mustNet(model.Shape{4, 4, 2},
			model.Conv2D{Name: "a", Filters: 2, KernelSize: model.Square(1)},
			model.MaxPool2D{Name: "p", PoolSize: model.Square(3), Strides: model.Square(1), Padding: model.Same},
			model.Concatenate{Name: "c", Inputs: []string{"a", "p", "a"}},
			model.Conv2D{Name: "d", Filters: 2, KernelSize: model.Square(1)},
			model.Add{Inputs: []string{"a", "d"}}), batch: 17, n: 17},
		{name: "batch norm then add", derived: true, net: mustNet(model.Shape{4, 4, 2},
			model.BatchNormalization{Name: "n"}, model.Activation{Name: "r", Func: model.ReLU}, model.Add{Inputs: []string{"n", "r", "input"}}), batch: 5, n: 5},
	}
}

// sampleCases are every number of samples in one batch.
func sampleCases() []layerCase {
	net := mustNet(model.Shape{6, 5, 2},
		model.Conv2D{Filters: 3, KernelSize: model.Square(3), Padding: model.Same, Activation: model.ReLU},
		model.MaxPool2D{}, model.Flatten{}, model.Dense{Units: 5, Activation: model.ReLU}, model.Dense{Units: 2})
	var cases []layerCase
	for n := 1; n <= 34; n++ {
		cases = append(cases, layerCase{name: fmt.Sprintf("%d samples of 34", n), net: net, batch: 34, n: n})
	}
	return cases
}
