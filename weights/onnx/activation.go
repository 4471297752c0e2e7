package onnx

import (
	"math"
	"slices"

	"gcnn/model"
)

// exportActivation adds an activation's nodes and returns their output; linear has none. name is that of the last node.
func (g *graph) exportActivation(name string, f model.ActivationFunc, alpha float32, x string) string {
	in := []string{x}
	switch f {
	case model.Linear:
		return x
	case model.ReLU:
		return g.node("Relu", name, in)
	case model.Tanh:
		return g.node("Tanh", name, in)
	case model.Sigmoid:
		return g.node("Sigmoid", name, in)
	case model.Softmax:
		return g.node("Softmax", name, in, attribute{"axis", int64(1)})
	case model.LeakyReLU:
		return g.node("LeakyRelu", name, in, attribute{"alpha", alpha})
	case model.ELU:
		return g.node("Elu", name, in, attribute{"alpha", alpha})
	case model.Softplus:
		return g.node("Softplus", name, in)
	case model.SiLU:
		return g.node("Mul", name, []string{x, g.node("Sigmoid", name+"/sigmoid", in)})
	case model.ReLU6:
		return g.node("Clip", name, []string{x, g.floats("relu6/low", nil, []float32{0}), g.floats("relu6/high", nil, []float32{6})})
	case model.HardSigmoid:
		return g.node("HardSigmoid", name, in, attribute{"alpha", float32(1) / 6}, attribute{"beta", float32(0.5)})
	case model.HardSiLU:
		return g.node("HardSwish", name, in)
	case model.GELU: // x/2·(1 + erf(x/√2)); operator set 20 has a node for it
		t := g.node("Div", name+"/div", []string{x, g.floats("gelu/sqrt2", nil, []float32{math.Sqrt2})})
		t = g.node("Erf", name+"/erf", []string{t})
		t = g.node("Add", name+"/add", []string{t, g.floats("gelu/one", nil, []float32{1})})
		t = g.node("Mul", name+"/mul", []string{x, t})
		return g.node("Mul", name, []string{t, g.floats("gelu/half", nil, []float32{0.5})})
	}
	return x // model.New refuses any other
}

func importActivation(b *builder, n *nodeProto) (any, error) {
	if err := n.only("alpha", "approximate", "axis", "beta"); err != nil {
		return nil, err
	}
	if n.op == "Sigmoid" { // half of SiLU, perhaps
		x, err := b.value(n, 0)
		if err != nil {
			return nil, err
		}
		return x.expression(sigmoidOf, n), nil
	}
	if n.op == "HardSigmoid" { // the same of hard SiLU
		if alpha, beta := n.float("alpha", 0.2), n.float("beta", 0.5); !near(6*alpha, 1) || !near(beta, 0.5) {
			return nil, n.fail("alpha %g and beta %g; gcnn's hard_sigmoid has 1/6 and 1/2", alpha, beta)
		}
		x, err := b.value(n, 0)
		if err != nil {
			return nil, err
		}
		return x.expression(hardSigmoidOf, n), nil
	}
	x, err := b.madeInput(n, 0)
	if err != nil {
		return nil, err
	}
	a := model.Activation{}
	switch n.op {
	case "Relu":
		a.Func = model.ReLU
	case "Tanh":
		a.Func = model.Tanh
	case "Softplus":
		a.Func = model.Softplus
	case "HardSwish":
		a.Func = model.HardSiLU
	case "LeakyRelu":
		a.Func, a.Alpha = model.LeakyReLU, n.float("alpha", 0.01)
	case "Elu":
		a.Func, a.Alpha = model.ELU, n.float("alpha", 1)
	case "Gelu":
		a.Func = model.GELU
		if form := n.str("approximate", "none"); form != "none" {
			return nil, n.fail("gcnn's gelu is the exact one, approximate is %q", form)
		}
	case "Swish":
		a.Func = model.SiLU
		if n.float("alpha", 1) != 1 {
			return nil, n.fail("alpha %g, want 1", n.float("alpha", 1))
		}
	case "Softmax", "LogSoftmax":
		a.Func = model.Softmax
		if err := b.checkSoftmax(n, x); err != nil {
			return nil, err
		}
	}
	if a.Alpha <= 0 && a.Func.DefaultAlpha() != 0 {
		return nil, n.fail("an alpha of %g, want more than 0", a.Alpha)
	}
	return b.addActivation(n, x, a)
}

// addActivation adds a layer that keeps the shape.
func (b *builder) addActivation(n *nodeProto, x *value, a model.Activation) (*value, error) {
	y, err := b.add(n, built{layer: a, inputs: []int{x.layer}}, x, x.shape)
	if err == nil {
		y.positive = slices.Contains([]model.ActivationFunc{model.ReLU, model.Sigmoid, model.Softmax, model.Softplus, model.ReLU6, model.HardSigmoid}, a.Func)
	}
	return y, err
}

// checkSoftmax accepts a softmax over the channels, and a logarithm of it as a classifier's output, of which the user wants the
// probabilities.
func (b *builder) checkSoftmax(n *nodeProto, x *value) error {
	axis := n.int("axis", -1)
	if b.opset < 13 { // over all axes from this one on
		axis = n.int("axis", 1)
		if axis != int64(len(x.axes)-1) && axis != -1 {
			return n.fail("a softmax over several axes")
		}
	}
	if axis < 0 {
		axis += int64(len(x.axes))
	}
	if axis < 0 || axis >= int64(len(x.axes)) || x.axes[axis] != channelAxis {
		return n.fail("a softmax over axis %d of %v, want the channels", axis, x.describe())
	}
	if n.op == "LogSoftmax" {
		if n.outputs[0] != b.graph.outputs[0].name {
			return n.fail("gcnn has no log-softmax within a network")
		}
		if !b.options.Softmax {
			return n.fail("the network ends in log-probabilities: ask for a softmax in its place")
		}
		b.notes = append(b.notes, "the log-softmax at the end became softmax")
	}
	return nil
}

// expression is a function of x that is no layer yet.
func (v *value) expression(kind sourceKind, n *nodeProto) *value {
	positive := kind == sigmoidOf || kind == hardSigmoidOf
	return &value{source: &source{shape: v.shape, kind: kind, of: v, positive: positive, node: n}, axes: v.axes, order: v.order}
}

// near reports a number that is another but for float32's rounding.
func near(v, want float32) bool { return math.Abs(float64(v-want)) <= 1e-6*math.Abs(float64(want)) }

// sixth reports x/6.
func (s step) sixth() bool {
	return len(s.c) == 1 && (s.op == '/' && s.c[0] == 6 || s.op == '*' && near(6*s.c[0], 1))
}

// plusThree reports x + 3.
func (s step) plusThree() bool { return s.op == '+' && len(s.c) == 1 && s.c[0] == 3 }

// importClip takes a clip below 0, which is relu, and one from 0 to 6, which is relu6 or a part of hard_sigmoid.
func importClip(b *builder, n *nodeProto) (any, error) {
	low, high := float32(math.Inf(-1)), float32(math.Inf(1))
	if err := n.only("max", "min"); err != nil {
		return nil, err
	}
	low, high = n.float("min", low), n.float("max", high)
	for i, to := range []*float32{&low, &high} {
		c, err := b.weights(n, i+1)
		if err != nil {
			return nil, err
		}
		if c != nil {
			if len(c.f) != 1 {
				return nil, n.damaged("its bound has %d numbers", len(c.f))
			}
			*to = c.f[0]
		}
	}
	if low != 0 || high != 6 && high < math.MaxFloat32 {
		return nil, n.fail("a clip to %g … %g; gcnn has 0 … ∞, which is relu, and 0 … 6, relu6", low, high)
	}
	if high == 6 {
		return importReLU6(b, n)
	}
	x, err := b.madeInput(n, 0)
	if err != nil {
		return nil, err
	}
	return b.addActivation(n, x, model.Activation{Func: model.ReLU})
}

// importReLU6 takes relu6(x); relu6(x+3) may be the beginning of hard_sigmoid.
func importReLU6(b *builder, n *nodeProto) (any, error) {
	v, err := b.value(n, 0)
	if err != nil {
		return nil, err
	}
	if last := len(v.steps) - 1; last >= 0 && v.steps[last].plusThree() && v.layer != model.Input {
		x := *v
		if x.steps = v.steps[:last:last]; last == 0 {
			x.steps = nil
		}
		return x.expression(relu6Plus3, n), nil
	}
	x, err := b.made(v)
	if err != nil {
		return nil, err
	}
	return b.addActivation(n, x, model.Activation{Func: model.ReLU6})
}

// importMin takes PyTorch's other form of relu6, min(relu(x), 6).
func importMin(b *builder, n *nodeProto) (any, error) {
	x, err := b.value(n, 0)
	if err != nil {
		return nil, err
	}
	c, err := b.weights(n, 1)
	if err != nil {
		return nil, err
	}
	if len(n.inputs) == 2 && c != nil && len(c.f) == 1 && c.f[0] == 6 && x.kind == made && x.layer != model.Input && len(x.steps) == 0 {
		if a, ok := b.layers[x.layer].layer.(model.Activation); ok && a.Func == model.ReLU {
			return b.addActivation(n, x, model.Activation{Func: model.ReLU6}) // of a relu it is the same as of x
		}
	}
	return nil, n.fail("gcnn has no layer for a minimum, but for relu6: that of a relu and 6")
}

// importErf takes erf(x/√2), a part of GELU.
func importErf(b *builder, n *nodeProto) (any, error) {
	v, err := b.value(n, 0)
	if err != nil {
		return nil, err
	}
	if a, c := affine(v.steps); len(v.steps) != 1 || len(a) != 1 || c[0] != 0 || math.Abs(a[0]*math.Sqrt2-1) > 1e-6 {
		return nil, n.fail("gcnn has no layer for erf, but for gelu")
	}
	x := *v
	x.steps = nil
	return &value{source: &source{shape: x.shape, kind: erfOf, of: &x, node: n}, axes: x.axes, order: x.order}, nil
}

// PyTorch writes softplus as x where x > 20 and softplus(x) elsewhere. At 20 the two differ by 2·10⁻⁹, less than float32 can tell.

func importGreater(b *builder, n *nodeProto) (any, error) {
	x, err := b.value(n, 0)
	if err != nil {
		return nil, err
	}
	c, err := b.weights(n, 1)
	if err != nil {
		return nil, err
	}
	if c == nil || len(c.f) != 1 || !(c.f[0] >= 20) {
		return nil, n.fail("gcnn has no layer for comparisons, but for PyTorch's softplus")
	}
	return &value{source: &source{shape: x.shape, kind: above20, of: x, node: n}, axes: x.axes, order: x.order}, nil
}

func importWhere(b *builder, n *nodeProto) (any, error) {
	var v [3]*value
	for i := range v {
		var err error
		if v[i], err = b.value(n, i); err != nil {
			return nil, err
		}
	}
	where, x, soft := v[0], v[1], v[2]
	if where.kind == above20 && same(where.of, x) && soft.kind == made && soft.layer != model.Input && len(soft.steps) == 0 {
		l := b.layers[soft.layer]
		if a, ok := l.layer.(model.Activation); ok && a.Func == model.Softplus && x.kind == made && l.inputs[0] == x.layer && len(x.steps) == 0 {
			return soft, nil
		}
	}
	return nil, n.fail("gcnn has no layer for a choice, but for PyTorch's softplus")
}

// same reports whether two views show the same.
func same(x, y *value) bool {
	return x.source == y.source && slices.Equal(x.axes, y.axes) && slices.Equal(x.order, y.order) && sameSteps(x.steps, y.steps)
}

// madeInput is input i of a node as the output of a layer.
func (b *builder) madeInput(n *nodeProto, i int) (*value, error) {
	v, err := b.value(n, i)
	if err != nil {
		return nil, err
	}
	return b.made(v)
}

// made turns a value into the output of a layer.
func (b *builder) made(v *value) (*value, error) {
	w := *v
	n := v.node
	f := model.Linear
	switch v.kind {
	case made:
		return b.apply(&w)
	case sigmoidOf:
		f = model.Sigmoid
	case siluOf:
		f = model.SiLU
	case hardSigmoidOf:
		f = model.HardSigmoid
	case hardSiLUOf:
		f = model.HardSiLU
	case relu6Plus3: // which nothing divided by 6
		f = model.ReLU6
	case timesReLU6Plus3:
		return nil, n.fail("gcnn has no layer for x·relu6(x+3), but for hard_silu, a sixth of it")
	case twiceGELU:
		if len(w.steps) == 0 || !w.steps[0].halves() {
			return nil, n.fail("gcnn has no layer for it, but for gelu")
		}
		f, w.steps = model.GELU, w.steps[1:]
	case erfOf, squareOf, paddedSquare, windowMean, powerOf:
		return nil, n.fail("gcnn has no layer for it, but within gelu or a local response normalisation")
	case bordered:
		return nil, n.fail("padding other than with zeros, but for a maximum")
	case above20:
		return nil, n.fail("gcnn has no layer for comparisons, but for PyTorch's softplus")
	}
	of := v.of
	if v.kind == relu6Plus3 {
		sum := *of
		sum.steps = append(slices.Clone(of.steps), step{'+', []float32{3}})
		of = &sum
	}
	x, err := b.made(of)
	if err != nil {
		return nil, err
	}
	y, err := b.addActivation(n, x, model.Activation{Func: f})
	if err != nil {
		return nil, err
	}
	if v.kind == twiceGELU {
		w.source = y.source
	} else {
		*v.source = *y.source // so that other views of it find the layer
	}
	return b.apply(&w)
}

// halves reports x·½.
func (s step) halves() bool {
	return len(s.c) == 1 && ((s.op == '*' && s.c[0] == 0.5) || (s.op == '/' && s.c[0] == 2))
}
