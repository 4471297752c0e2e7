package cpu

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"gcnn/cpu/kernel"
	"gcnn/data"
	"gcnn/device"
	"gcnn/device/devicetest"
	"gcnn/model"
)

// channelNets are networks with every layer, of channel counts that fill vectors and that do not.
func channelNets(t *testing.T) map[string]*model.Network {
	t.Helper()
	sq, same := model.Square, model.Same
	type conv = model.Conv2D
	nets := map[string]*model.Network{}
	add := func(name string, in model.Shape, layers ...model.Layer) {
		n, err := model.New(name, in, layers...)
		if err != nil {
			t.Fatal(err)
		}
		nets[name] = n
	}
	for _, name := range []string{"cnn", "lenet5"} {
		n, err := model.Preset(name, model.Shape{32, 32, 3}, 10)
		if err != nil {
			t.Fatal(err)
		}
		nets[name] = n
	}
	softmax := model.Dense{Units: 5, Activation: model.Softmax}
	add("groups", model.Shape{9, 8, 6}, conv{Filters: 12, KernelSize: sq(3), Groups: 3, Padding: same, Activation: model.ReLU},
		conv{Filters: 64, KernelSize: sq(3), Groups: 2, Strides: sq(2)}, conv{Filters: 70, KernelSize: sq(2), Groups: 2, Padding: same, NoBias: true},
		model.Flatten{}, softmax)
	add("depthwise", model.Shape{9, 8, 3}, conv{KernelSize: sq(3), DepthMultiplier: 1, Activation: model.ReLU}, conv{Filters: 40, KernelSize: sq(1)},
		conv{KernelSize: sq(3), DepthMultiplier: 1, Strides: sq(2), Padding: same, NoBias: true}, conv{KernelSize: sq(2), DepthMultiplier: 2, Activation: model.Tanh},
		model.Flatten{}, softmax)
	add("dilated", model.Shape{12, 11, 2}, conv{Filters: 17, KernelSize: sq(3), DilationRate: sq(2), Padding: same, Activation: model.GELU},
		model.LocalResponseNormalization{}, model.MaxPool2D{PoolSize: sq(3), Strides: sq(2)}, model.ZeroPadding2D{},
		conv{Filters: 33, KernelSize: model.Size{H: 2, W: 3}, Activation: model.Softmax}, model.AveragePool2D{PoolSize: sq(3), Strides: sq(1), Padding: same},
		model.Dropout{Rate: 0.5}, model.BatchNormalization{}, model.Activation{Func: model.Softmax}, model.GlobalAveragePool2D{},
		model.Dense{Units: 90, Activation: model.SiLU}, model.BatchNormalization{}, model.Dense{Units: 19, Activation: model.Softmax},
		model.Dense{Units: 4}, model.Activation{Func: model.Softmax})
	add("branches", model.Shape{6, 6, 3}, conv{Name: "a", Filters: 5, KernelSize: sq(3), Padding: same},
		conv{Name: "b", Inputs: []string{"input"}, Filters: 18, KernelSize: sq(1), Activation: model.ReLU},
		model.Concatenate{Name: "c", Inputs: []string{"a", "input", "b"}}, conv{Name: "d", Filters: 26, KernelSize: sq(3), Padding: same},
		model.Add{Name: "e", Inputs: []string{"c", "d", "c"}}, model.Flatten{Name: "f"}, model.GlobalMaxPool2D{Name: "g", Inputs: []string{"e"}},
		model.Concatenate{Name: "h", Inputs: []string{"f", "g"}}, softmax)
	add("norms", model.Shape{7, 6, 3}, conv{Name: "a", Filters: 18, KernelSize: sq(3), NoBias: true}, model.BatchNormalization{Name: "b"},
		model.Activation{Name: "c", Func: model.ReLU}, conv{Name: "d", Filters: 18, KernelSize: sq(3), Padding: same}, model.Activation{Func: model.ReLU},
		model.MaxPool2D{PoolSize: sq(1)}, model.BatchNormalization{Name: "e"}, model.Add{Name: "f", Inputs: []string{"e", "c"}},
		model.Activation{Func: model.ReLU}, model.Flatten{}, model.Dense{Units: 21}, model.BatchNormalization{}, model.Activation{Func: model.ReLU}, softmax)
	add("pool first", model.Shape{8, 8, 3}, model.MaxPool2D{}, conv{Filters: 20, KernelSize: sq(5), Padding: same}, model.GlobalMaxPool2D{}, softmax)
	add("flat first", model.Shape{8, 8, 3}, model.Flatten{}, softmax)
	add("kernel larger than the input", model.Shape{3, 2, 20}, conv{Filters: 21, KernelSize: sq(5), Padding: same, Activation: model.ReLU},
		conv{Filters: 130, KernelSize: model.Size{H: 3, W: 2}, Activation: model.Sigmoid}, model.Flatten{}, softmax)
	add("feature map", model.Shape{7, 6, 2}, conv{Filters: 19, KernelSize: sq(3)}, model.MaxPool2D{})
	add("feature vector", model.Shape{7, 6, 2}, conv{Filters: 19, KernelSize: sq(3)}, model.GlobalMaxPool2D{}, model.Activation{Func: model.Softplus})
	add("hard activations", model.Shape{7, 6, 3}, conv{Filters: 19, KernelSize: sq(3), Activation: model.HardSiLU}, conv{Filters: 5, KernelSize: sq(2), Activation: model.ReLU6},
		model.Activation{Func: model.HardSigmoid}, model.Flatten{}, softmax)
	return nets
}

// TestChannelsHaveTheSameBits holds images that fill no group, with channels in the lanes, against the same images among 16.
func TestChannelsHaveTheSameBits(t *testing.T) {
	t.Parallel()
	for name, net := range channelNets(t) {
		for _, path := range kernel.Available() {
			for _, workers := range []int{1, 2, 3} {
				t.Run(fmt.Sprintf("%s/%s/%d", name, path, workers), func(t *testing.T) {
					t.Parallel()
					k, err := kernel.Open(string(path))
					if err != nil {
						t.Fatal(err)
					}
					p, err := newProgram(k, workers, net, device.Plan{Batch: kernel.Lanes, Exact: true}, false)
					if err != nil {
						t.Fatal(err)
					}
					p.shut = func() {}
					defer p.Close()
					if workers == 3 {
						p.grain = 1 // every task in many parts, shared by all workers
					}
					if err := p.SetState(device.State{Weights: drawnWeights(net)}); err != nil {
						t.Fatal(err)
					}
					checkChannels(t, p, drawnImages(net, 2*kernel.Lanes+3))
				})
			}
		}
	}
}

// channelDevice has channels in the lanes for all samples that fill no group, whatever takes less time.
type channelDevice struct{ device.Device }

func (d channelDevice) Compile(net *model.Network, plan device.Plan) (device.Program, error) {
	p, err := d.Device.Compile(net, plan)
	if err == nil {
		p.(*program).prefers = func(int) bool { return true }
	}
	return p, err
}

// TestChannelConformance runs the suite's part for inference with the channel mapping alone, on every set of kernels.
func TestChannelConformance(t *testing.T) {
	for _, path := range kernel.Available() {
		t.Run(string(path), func(t *testing.T) {
			devicetest.RunInference(t, func(t testing.TB) device.Device {
				d, err := Open(Options{Workers: 2, Kernels: path})
				if err != nil {
					t.Fatal(err)
				}
				return channelDevice{d}
			})
		})
		if RaceDetector {
			break
		}
	}
}

func checkChannels(t *testing.T, p *program, all *data.Set) {
	t.Helper()
	ctx := context.Background()
	p.prefers = func(int) bool { return false }
	want, _, err := p.forward(ctx, all)
	if err != nil {
		t.Fatal(err)
	}
	size := p.net.Output().Size()
	for _, n := range []int{1, 3, 15, 2, 19} {
		set := all.Slice(0, n)
		p.prefers = func(int) bool { return false }
		_, sums, err := p.forward(ctx, set)
		if err != nil {
			t.Fatal(err)
		}
		p.prefers = func(int) bool { return true }
		got, m, err := p.forward(ctx, set)
		if err != nil {
			t.Fatal(err)
		}
		if p.passes.few == nil || p.passes.few.groups < n%kernel.Lanes {
			t.Fatal("the channel mapping was not used")
		}
		if m != sums {
			t.Errorf("%d images: %+v, with samples in the lanes %+v", n, m, sums)
		}
		w := want.Float32s()
		for i, v := range got.Float32s() {
			if math.Float32bits(v) != math.Float32bits(w[i]) {
				t.Fatalf("%d images: output %d of image %d is %g, in a group of 16 %g", n, i%size, i/size, v, w[i])
			}
		}
	}
}

// drawnWeights are weights of a usual size; variances are positive.
func drawnWeights(net *model.Network) map[string]*tensor.Dense {
	r := rand.New(rand.NewPCG(1, 2))
	weights := map[string]*tensor.Dense{}
	for _, p := range net.Params() {
		values := make([]float32, p.Size())
		for i := range values {
			values[i] = float32(r.NormFloat64()) * 0.3
			if p.Role == model.MovingVariance {
				values[i] = 0.5 + r.Float32()
			}
		}
		weights[p.Name] = tensor.New(tensor.WithShape(p.Shape...), tensor.WithBacking(values))
	}
	return weights
}

func drawnImages(net *model.Network, n int) *data.Set {
	r := rand.New(rand.NewPCG(3, 4))
	in := net.Input
	set := &data.Set{Height: in[0], Width: in[1], Channels: in[2], Pixels: make([]uint8, n*in.Size())}
	for i := range set.Pixels {
		set.Pixels[i] = uint8(r.UintN(256))
	}
	if classes, err := net.Classes(); err == nil {
		for c := range classes {
			set.Classes = append(set.Classes, fmt.Sprint(c))
		}
		set.Labels = make([]uint16, n)
		for i := range set.Labels {
			set.Labels[i] = uint16(r.IntN(classes))
		}
	}
	return set
}
