package reference

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gcnn/device"
	"gcnn/model"
)

// gradientNets has a network for each layer and option. Softmax networks are also tried with labels.
var gradientNets = []struct {
	name   string
	input  model.Shape
	layers []model.Layer
}{
	{"conv", model.Shape{5, 4, 2}, []model.Layer{model.Conv2D{Filters: 3, KernelSize: model.Size{H: 3, W: 2}, Padding: model.Same, Strides: model.Size{H: 2, W: 1}}}},
	{"conv dilated", model.Shape{6, 5, 2}, []model.Layer{model.Conv2D{Filters: 2, KernelSize: model.Square(2), DilationRate: model.Size{H: 2, W: 3}, NoBias: true}}},
	{"conv groups", model.Shape{4, 4, 4}, []model.Layer{model.Conv2D{Filters: 6, KernelSize: model.Square(3), Groups: 2, Activation: model.Tanh}}},
	{"conv depthwise", model.Shape{4, 4, 3}, []model.Layer{model.Conv2D{KernelSize: model.Square(3), DepthMultiplier: 2, Padding: model.Same}}},
	{"conv softmax", model.Shape{3, 3, 2}, []model.Layer{model.Conv2D{Filters: 4, KernelSize: model.Square(2), Activation: model.Softmax}}},
	{"max pool", model.Shape{5, 5, 2}, []model.Layer{model.MaxPool2D{PoolSize: model.Square(3), Strides: model.Square(2), Padding: model.Same}}},
	{"average pool", model.Shape{5, 4, 2}, []model.Layer{model.AveragePool2D{PoolSize: model.Square(3), Strides: model.Size{H: 2, W: 1}, Padding: model.Same}}},
	{"global max", model.Shape{3, 4, 3}, []model.Layer{model.GlobalMaxPool2D{}}},
	{"global average", model.Shape{3, 4, 3}, []model.Layer{model.GlobalAveragePool2D{}}},
	{"dense", model.Shape{2, 2, 3}, []model.Layer{model.Flatten{}, model.Dense{Units: 5, Activation: model.Sigmoid}, model.Dense{Units: 3, NoBias: true}}},
	{"dense softmax", model.Shape{1, 1, 6}, []model.Layer{model.Flatten{}, model.Dense{Units: 4, Activation: model.Softmax}}},
	{"relu", model.Shape{3, 3, 2}, []model.Layer{model.Activation{Func: model.ReLU}}},
	{"leaky relu", model.Shape{3, 3, 2}, []model.Layer{model.Activation{Func: model.LeakyReLU, Alpha: 0.3}}},
	{"elu", model.Shape{3, 3, 2}, []model.Layer{model.Activation{Func: model.ELU, Alpha: 0.7}}},
	{"gelu", model.Shape{3, 3, 2}, []model.Layer{model.Activation{Func: model.GELU}}},
	{"silu", model.Shape{3, 3, 2}, []model.Layer{model.Activation{Func: model.SiLU}}},
	{"softplus", model.Shape{3, 3, 2}, []model.Layer{model.Activation{Func: model.Softplus}}},
	{"relu6", model.Shape{3, 3, 2}, []model.Layer{model.Activation{Func: model.ReLU6}}},
	{"hard sigmoid", model.Shape{3, 3, 2}, []model.Layer{model.Activation{Func: model.HardSigmoid}}},
	{"hard silu", model.Shape{3, 3, 2}, []model.Layer{model.Activation{Func: model.HardSiLU}}},
	{"tanh", model.Shape{3, 3, 2}, []model.Layer{model.Activation{Func: model.Tanh}}},
	{"sigmoid", model.Shape{3, 3, 2}, []model.Layer{model.Activation{Func: model.Sigmoid}}},
	{"batch norm", model.Shape{3, 2, 2}, []model.Layer{model.BatchNormalization{}}},
	{"batch norm plain", model.Shape{3, 2, 2}, []model.Layer{model.BatchNormalization{NoScale: true, NoCenter: true, Epsilon: 0.1}}},
	{"batch norm frozen", model.Shape{3, 2, 2}, []model.Layer{model.Conv2D{Filters: 2, KernelSize: model.Square(1)}, model.BatchNormalization{Frozen: true}}},
	{"dropout", model.Shape{4, 4, 2}, []model.Layer{model.Dropout{Rate: 0.4}}},
	{"lrn", model.Shape{2, 2, 7}, []model.Layer{model.LocalResponseNormalization{Alpha: 0.8, Bias: 0.5}}},
	{"pad", model.Shape{2, 3, 2}, []model.Layer{model.ZeroPadding2D{Padding: model.Margins{Top: 1, Left: 2, Right: 1}}}},
	{"branches", model.Shape{4, 4, 2}, []model.Layer{
		model.Conv2D{Name: "a", Filters: 3, KernelSize: model.Square(3), Padding: model.Same, Activation: model.Softplus},
		model.Conv2D{Name: "b", Inputs: []string{"input"}, Filters: 3, KernelSize: model.Square(1)},
		model.Add{Name: "sum", Inputs: []string{"a", "b", "a"}},
		model.Concatenate{Name: "joined", Inputs: []string{"sum", "b", "input"}},
		model.BatchNormalization{}, model.Activation{Func: model.Tanh}, model.GlobalAveragePool2D{},
		model.Dense{Units: 4, Activation: model.Softmax},
	}},
}

// TestGradients compares every gradient with central differences.
func TestGradients(t *testing.T) {
	t.Parallel()
	for _, c := range gradientNets {
		net, err := model.New(c.name, c.input, c.layers...)
		if err != nil {
			t.Fatal(err)
		}
		for _, infer := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/infer=%v", c.name, infer), func(t *testing.T) {
				t.Parallel()
				newGradientCheck(net, infer).run(t, nil, nil)
			})
		}
		if _, err := net.Classes(); err != nil {
			continue
		}
		for name, loss := range map[string]crossEntropy{
			"loss": {}, "smoothing": {smoothing: 0.1}, "class weights": {smoothing: 0.2, classWeights: []float64{0.5, 2, 0, 3}},
		} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				newGradientCheck(net, false).run(t, &loss, []uint16{3, 0, 1})
			})
		}
	}
}

type gradientCheck struct {
	net     *model.Network
	infer   bool
	x       *Tensor
	weights map[string]*Tensor
	rng     *rand.Rand
}

func newGradientCheck(net *model.Network, infer bool) *gradientCheck {
	g := &gradientCheck{net: net, infer: infer, weights: map[string]*Tensor{}, rng: rand.New(rand.NewPCG(1, 2))}
	g.x = g.random(append([]int{3}, net.Input...))
	for _, p := range net.Params() {
		w := g.random(p.Shape)
		if p.Role == model.MovingVariance {
			for i := range w.Elems {
				w.Elems[i].V = 0.5 + math.Abs(w.Elems[i].V)
			}
		}
		g.weights[p.Name] = w
	}
	return g
}

func (g *gradientCheck) random(shape []int) *Tensor {
	t := newTensor(shape...)
	for i := range t.Elems {
		t.Elems[i].V = g.rng.NormFloat64()
	}
	return t
}

func (g *gradientCheck) forward() (*pass, *Tensor) {
	ps := &pass{net: g.net, weights: g.weights, infer: g.infer, seed: 7, step: 5}
	return ps, ps.forward(g.x)
}

func (g *gradientCheck) run(t *testing.T, loss *crossEntropy, labels []uint16) {
	ps, y := g.forward()
	dy := g.random(y.Shape)
	objective := func() float64 {
		ps, y := g.forward()
		if loss != nil {
			return loss.of(ps.logits(), labels).loss().V
		}
		total := 0.0
		for i := range y.Elems {
			total += y.Elems[i].V * dy.Elems[i].V
		}
		return total
	}
	var grads gradients
	if loss != nil {
		grads = ps.backward(loss.of(ps.logits(), labels).dz, true)
	} else {
		grads = ps.backward(dy, false)
	}
	compareWithDifferences(t, "input", g.x, grads.input, objective)
	for name, d := range grads.params {
		compareWithDifferences(t, name, g.weights[name], d, objective)
	}
	if want := trainable(g.net); len(grads.params) != want {
		t.Errorf("%d gradients of parameters, want %d", len(grads.params), want)
	}
}

func trainable(net *model.Network) int {
	n := 0
	for _, p := range net.Params() {
		if p.Trainable {
			n++
		}
	}
	return n
}

// compareWithDifferences checks d against (f(w+h) − f(w−h))/2h, whose error is about h²·f‴/6 + 10⁻¹⁶·f/h.
func compareWithDifferences(t *testing.T, what string, w, d *Tensor, f func() float64) {
	t.Helper()
	const (
		h         = 1e-5
		tolerance = 2e-8
	)
	for i := range w.Elems {
		old := w.Elems[i].V
		w.Elems[i].V = old + h
		up := f()
		w.Elems[i].V = old - h
		down := f()
		w.Elems[i].V = old
		if want := (up - down) / (2 * h); math.Abs(d.Elems[i].V-want) > tolerance*max(1, math.Abs(want)) {
			t.Errorf("gradient of %s[%d] = %.12g, by differences %.12g", what, i, d.Elems[i].V, want)
			return
		}
	}
}

// TestDropoutMask compares with the definition, element by element.
func TestDropoutMask(t *testing.T) {
	t.Parallel()
	net, err := model.New("net", model.Shape{3, 5, 7}, model.Activation{}, model.Dropout{Rate: 0.25})
	if err != nil {
		t.Fatal(err)
	}
	ps := &pass{net: net, seed: 1 << 40, step: 9}
	x := newTensor(5, 3, 5, 7)
	for i := range x.Elems {
		x.Elems[i].V = 3
	}
	kept := 0
	for i, e := range ps.forward(x).Elems {
		want := 0.0
		if device.Keeps(1<<40, 9, 1, i, 0.25) {
			want = 4
			kept++
		}
		if math.Abs(e.V-want) > 1e-12 {
			t.Errorf("element %d is %g, want %g", i, e.V, want)
		}
	}
	if mean := 0.75 * 525; math.Abs(float64(kept)-mean) > 4*math.Sqrt(mean*0.25) {
		t.Errorf("%d of 525 elements kept at a rate of 0.25", kept)
	}
}
