//go:build cuda

package cuda

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"gcnn/cuda/simulator"
	"gcnn/data"
	"gcnn/device"
	"gcnn/device/parity"
	"gcnn/model"
)

// TestChoice checks who computes a layer: cuDNN where it can say what the network asks, else a kernel.
func TestChoice(t *testing.T) {
	t.Parallel()
	d := openHere(t, Options{})
	same, conv := model.Same, model.Conv2D{Name: "l", Filters: 4, KernelSize: model.Square(3)}
	relu, tanh, noBias, dilated := conv, conv, conv, conv
	relu.Activation, tanh.Activation, noBias.Activation, noBias.NoBias = model.ReLU, model.Tanh, model.ReLU, true
	dilated.DilationRate, dilated.Activation = model.Square(2), model.ReLU
	for _, c := range []struct {
		name  string
		layer model.Layer
		exact bool
		want  []string
	}{
		{"max pool", model.MaxPool2D{Name: "l"}, false, []string{"cudnnPoolingForward", "cudnnPoolingBackward"}},
		{"exact max pool", model.MaxPool2D{Name: "l"}, true, []string{"max_pool_forward", "max_pool_backward"}},
		{"even padding", model.MaxPool2D{Name: "l", PoolSize: model.Square(3), Strides: model.Square(1), Padding: same}, false, []string{"cudnnPoolingForward", "cudnnPoolingBackward"}},
		{"uneven padding", model.MaxPool2D{Name: "l", PoolSize: model.Square(2), Strides: model.Square(1), Padding: same}, false, []string{"max_pool_forward", "max_pool_backward"}},
		{"average pool", model.AveragePool2D{Name: "l"}, true, []string{"cudnnPoolingForward", "cudnnPoolingBackward"}},
		{"uneven average", model.AveragePool2D{Name: "l", PoolSize: model.Square(2), Strides: model.Square(1), Padding: same}, false, []string{"average_pool_forward", "average_pool_backward"}},
		{"global max", model.GlobalMaxPool2D{Name: "l"}, false, []string{"cudnnPoolingForward", "cudnnPoolingBackward"}},
		{"global average", model.GlobalAveragePool2D{Name: "l"}, false, []string{"cudnnPoolingForward", "cudnnPoolingBackward"}},
		{"relu", model.Activation{Name: "l", Func: model.ReLU}, false, []string{"cudnnActivationForward", "cudnnActivationBackward"}},
		{"elu", model.Activation{Name: "l", Func: model.ELU}, false, []string{"cudnnActivationForward", "cudnnActivationBackward"}},
		{"gelu", model.Activation{Name: "l", Func: model.GELU}, false, []string{"activation_forward", "activation_backward"}},
		{"softmax", model.Activation{Name: "l", Func: model.Softmax}, false, []string{"cudnnSoftmaxForward", "cudnnSoftmaxBackward"}},
		{"conv with relu", relu, false, []string{"cudnnConvolutionBiasActivationForward", "bias_activation_backward", "cudnnConvolutionBackwardFilter", "cudnnConvolutionBackwardData"}},
		{"conv with relu, no bias", noBias, false, []string{"cudnnConvolutionBiasActivationForward", "activation_backward", "cudnnConvolutionBackwardFilter", "cudnnConvolutionBackwardData"}},
		{"conv", conv, false, []string{"cudnnConvolutionBiasActivationForward", "bias_activation_backward", "cudnnConvolutionBackwardFilter", "cudnnConvolutionBackwardData"}},
		{"conv with tanh", tanh, false, []string{"cudnnConvolutionForward", "activation_forward", "bias_activation_backward", "cudnnConvolutionBackwardFilter", "cudnnConvolutionBackwardData"}},
		{"dilated conv", dilated, false, []string{"unfold", "cublasSgemm", "activation_forward", "bias_activation_backward", "unfold", "cublasSgemm", "cublasSgemm", "fold"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			net, err := model.New("choice", model.Shape{8, 8, 3}, model.Conv2D{Filters: 4, KernelSize: model.Square(1), NoBias: true}, c.layer)
			if err != nil {
				t.Fatal(err)
			}
			if len(net.Output()) == 3 {
				net, err = model.New("choice", net.Input, model.Conv2D{Filters: 4, KernelSize: model.Square(1), NoBias: true}, c.layer, model.Flatten{})
			}
			if err != nil {
				t.Fatal(err)
			}
			net, err = model.New("choice", net.Input, append(layersOfNet(net), model.Dense{Units: 3, Activation: model.Softmax})...)
			if err != nil {
				t.Fatal(err)
			}
			o, err := d.Outline(net, device.Plan{Batch: 4, Exact: c.exact, Training: &device.Training{Optimizer: device.SGD{}}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, task := range o.Tasks {
				if len(task.Layers) == 1 && task.Layers[0] == "l" {
					got = append(got, task.Kernel)
				}
			}
			t.Log(strings.Join(got, ", "))
			// Which convolutions a GPU's cuDNN takes, and with their activation, is its own affair.
			if _, conv := c.layer.(model.Conv2D); conv && !simulator.Active() {
				return
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

func layersOfNet(net *model.Network) (layers []model.Layer) {
	for _, node := range net.Nodes {
		layers = append(layers, node.Layer)
	}
	return layers
}

// TestTies says which of equal maxima takes the gradient on this device, which cuDNN does not document, and checks that one does,
// and that with Plan.Exact it is the first.
func TestTies(t *testing.T) {
	t.Parallel()
	d := openHere(t, Options{})
	for _, channels := range []int{1, 3, 4, 32} {
		for _, stride := range []int{1, 2} {
			for _, exact := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d channels, stride %d, exact %v", channels, stride, exact), func(t *testing.T) {
					t.Parallel()
					const n, side = 2, 6
					net, err := model.New("ties", model.Shape{side, side, channels}, model.MaxPool2D{Strides: model.Square(stride)})
					if err != nil {
						t.Fatal(err)
					}
					out := net.Output()
					x, dy := make([]float32, n*net.Input.Size()), make([]float32, n*out.Size())
					for i := range x {
						x[i] = 3
					}
					for i := range dy {
						dy[i] = float32(i + 1)
					}
					p, err := d.Compile(net, device.Plan{Batch: n, Trace: true, Exact: exact})
					if err != nil {
						t.Fatal(err)
					}
					defer p.Close()
					trace, err := p.Trace(context.Background(), device.TraceInput{
						X:  tensor.New(tensor.WithShape(n, side, side, channels), tensor.WithBacking(x)),
						DY: tensor.New(tensor.WithShape(n, out[0], out[1], channels), tensor.WithBacking(dy)),
					})
					if err != nil {
						t.Fatal(err)
					}
					got := trace.InputGrad.Float32s()
					// the gradient where the element at (down, right) of each window takes it
					rule := func(down, right int) []float32 {
						dx := make([]float32, len(x))
						for i, v := range dy {
							c, w, h, image := i%channels, i/channels%out[1], i/channels/out[1]%out[0], i/out.Size()
							dx[((image*side+h*stride+down)*side+w*stride+right)*channels+c] += v
						}
						return dx
					}
					where := "another"
					for place, name := range []string{"the first", "the second", "the third", "the last"} {
						if slices.Equal(got, rule(place/2, place%2)) {
							where = name
						}
					}
					t.Logf("%s of four equal maxima takes the gradient", where)
					if where == "another" || exact && where != "the first" {
						t.Errorf("%s of four equal maxima takes the gradient: %v", where, got)
					}
				})
			}
		}
	}
}

// TestFused trains with bias and activation in the convolutions' calls and beside them: both are within the bound, over the
// simulator the same bits.
func TestFused(t *testing.T) {
	t.Parallel()
	fused, unfused := openHere(t, Options{}), openHere(t, Options{unfused: true})
	net, err := model.New("fused", model.Shape{9, 8, 2},
		model.Conv2D{Filters: 4, KernelSize: model.Square(3), Activation: model.ReLU},
		model.Conv2D{Filters: 6, KernelSize: model.Square(3), Padding: model.Same, Strides: model.Square(2), NoBias: true, Activation: model.ReLU},
		model.Conv2D{Filters: 6, KernelSize: model.Size{H: 2, W: 3}, Groups: 2},
		model.Conv2D{KernelSize: model.Square(1), DepthMultiplier: 2, Activation: model.Softmax},
		model.Flatten{}, model.Dense{Units: 4, Activation: model.Softmax})
	if err != nil {
		t.Fatal(err)
	}
	set := &data.Set{Name: "noise", Height: 9, Width: 8, Channels: 2, Pixels: make([]uint8, 24*144), Labels: make([]uint16, 24), Classes: []string{"a", "b", "c", "d"}}
	for i := range set.Pixels {
		set.Pixels[i] = uint8(i * 2654435761 >> 13)
	}
	for i := range set.Labels {
		set.Labels[i] = uint16(i * 7 % 4)
	}
	training := device.Training{Optimizer: device.SGD{Momentum: 0.9}, Seed: 3}
	for d, want := range map[*Device]int{fused: 4, unfused: 0} {
		o, err := d.Outline(net, device.Plan{Batch: 8, Training: &training})
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, task := range o.Tasks {
			if strings.Contains(task.Kernel, "BiasActivationForward") {
				got++
			}
		}
		t.Logf("%d convolutions with their activation", got)
		if got != want && (simulator.Active() || d == unfused) {
			t.Errorf("%d convolutions with their activation, want %d", got, want)
		}
	}
	report, err := parity.Compare(context.Background(), parity.Case{
		Net: net, Weights: net.InitialWeights(3), Set: set, Training: training, Rate: 0.1, Batch: 8, Steps: 5,
	}, fused, unfused)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Within {
		var table strings.Builder
		if err := report.WriteTable(&table); err != nil {
			t.Fatal(err)
		}
		t.Errorf("errors beyond their bound:\n%s", table.String())
	}
	if last := report.Steps[len(report.Steps)-1].Between; simulator.Active() && last != 0 {
		t.Errorf("weights differ by %g", float64(last))
	}
}
