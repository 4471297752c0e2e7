package devicetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/model"
)

// source makes test data from a seed.
type source struct{ *rand.Rand }

func newSource(seed uint64) source { return source{rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))} }

func dense(values []float32, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
}

// fill makes an array whose elements are drawn one by one.
func fill(draw func() float32, shape ...int) *tensor.Dense {
	values := make([]float32, model.Shape(shape).Size())
	for i := range values {
		values[i] = draw()
	}
	return dense(values, shape...)
}

// real is about normal with a standard deviation of 1.
func (s source) real() float32 { return float32(s.NormFloat64()) }

// integer is from −limit to limit.
func (s source) integer(limit int) float32 { return float32(s.IntN(2*limit+1) - limit) }

// batchShape is [n, sample…].
func batchShape(n int, sample model.Shape) []int { return append([]int{n}, sample...) }

// realWeights are of the size that keeps activations near 1, with biases and statistics that are not zero.
func (s source) realWeights(net *model.Network) map[string]*tensor.Dense {
	weights := map[string]*tensor.Dense{}
	for _, p := range net.Params() {
		draw := s.real
		switch p.Role {
		case model.Kernel:
			scale := float32(math.Sqrt(2 / float64(max(p.FanIn, 1))))
			draw = func() float32 { return scale * s.real() }
		case model.MovingVariance:
			draw = func() float32 { return 0.25 + 2*float32(s.Float64()) }
		case model.Gamma:
			draw = func() float32 { return 1 + 0.5*s.real() }
		case model.Bias, model.Beta, model.MovingMean:
			draw = func() float32 { return 0.3 * s.real() }
		}
		weights[p.Name] = fill(draw, p.Shape...)
	}
	return weights
}

// exactEpsilon is a batch normalisation's ε that makes 1/√(variance+ε) exact together with integerWeights' variances.
const exactEpsilon = 1.0 / 1024

// integerWeights are small integers. Moving variances are 1, 4 or 16 less exactEpsilon, so that inference is exact.
func (s source) integerWeights(net *model.Network) map[string]*tensor.Dense {
	weights := map[string]*tensor.Dense{}
	for _, p := range net.Params() {
		draw := func() float32 { return s.integer(2) }
		if p.Role == model.MovingVariance {
			draw = func() float32 { return float32(int(1)<<(2*s.IntN(3))) - exactEpsilon }
		}
		weights[p.Name] = fill(draw, p.Shape...)
	}
	return weights
}

// images makes a set of random bytes and labels.
func (s source) images(net *model.Network, n int) *data.Set {
	classes := net.Output()[0]
	set := &data.Set{Name: "random", Height: net.Input[0], Width: net.Input[1], Channels: net.Input[2]}
	set.Pixels = make([]uint8, n*set.ImageSize())
	for i := range set.Pixels {
		set.Pixels[i] = uint8(s.IntN(256))
	}
	for range n {
		set.Labels = append(set.Labels, uint16(s.IntN(classes)))
	}
	set.Classes = classNames(classes)
	return set
}

func classNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("class ", i)
	}
	return names
}

// labels draws class numbers.
func (s source) labels(n, classes int) []uint16 {
	labels := make([]uint16, n)
	for i := range labels {
		labels[i] = uint16(s.IntN(classes))
	}
	return labels
}

// order draws n images of a set, with repetitions.
func (s source) order(n, images int) []int32 {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(s.IntN(images))
	}
	return order
}

// mustNet makes a network that is known to be valid.
func mustNet(input model.Shape, layers ...model.Layer) *model.Network {
	net, err := model.New("test", input, layers...)
	if err != nil {
		panic(fmt.Sprintf("devicetest: %v", err))
	}
	return net
}

func preset(name string) *model.Network {
	net, err := model.Preset(name, nil, 10)
	if err != nil {
		panic(fmt.Sprintf("devicetest: %v", err))
	}
	return net
}

// describe writes a network as the Go code that makes it.
func describe(net *model.Network) string {
	var b strings.Builder
	fmt.Fprintf(&b, "model.New(%q, model.Shape{%s},\n", net.Name, strings.Trim(fmt.Sprint([]int(net.Input)), "[]"))
	for _, node := range net.Nodes {
		fmt.Fprintf(&b, "\t%#v, // %s: %v to %v\n", node.Layer, node.Name, node.In, node.Out)
	}
	b.WriteString(")")
	return b.String()
}
