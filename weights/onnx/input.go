package onnx

import (
	"fmt"
	"math"
	"slices"

	"gcnn/model"
)

// What the arithmetic at a graph's input means: see normalization.
const (
	byteScale  = 255
	byteFactor = float32(1) / byteScale
)

// findInput finds the network's input and the meaning of its axes.
func (b *builder) findInput() error {
	var inputs []valueProto
	for _, v := range b.graph.inputs {
		if b.tensors[v.name] == nil { // older files list their weights among the inputs
			inputs = append(inputs, v)
		}
	}
	if len(inputs) != 1 {
		return unsupported("it has %d inputs, a network of gcnn has one", len(inputs))
	}
	v := inputs[0]
	if v.elem != typeFloat && v.elem != typeUint8 {
		return unsupported("its input %q has elements of type %d, want float32 (1) or uint8 (2)", v.name, v.elem)
	}
	if len(v.dims) != 3 && len(v.dims) != 4 {
		return unsupported("its input %q is %v, want images: [batch, channels, height, width] or [batch, height, width, channels]", v.name, v.dims)
	}
	sizes := make([]int, len(v.dims))
	for i, d := range v.dims {
		if i > 0 && (d.value < 1 || d.value > 1<<16) {
			return unsupported("its input %q is %v: height, width and channels must be fixed when a network is exported", v.name, v.dims)
		}
		sizes[i] = int(d.value)
	}
	b.batch = max(v.dims[0].value, 0)
	first := &value{axes: []axis{batchAxis, heightAxis, widthAxis}}
	shape := model.Shape{sizes[1], sizes[2], 1}
	if len(sizes) == 4 {
		last, err := b.channelsLast(v)
		if err != nil {
			return err
		}
		if last {
			first.axes = []axis{batchAxis, heightAxis, widthAxis, channelAxis}
			shape = model.Shape{sizes[1], sizes[2], sizes[3]}
		} else {
			first.axes = []axis{batchAxis, channelAxis, heightAxis, widthAxis}
			shape = model.Shape{sizes[2], sizes[3], sizes[1]}
		}
	}
	first.source = &source{shape: shape, layer: model.Input}
	b.input, b.inputElem = first.source, v.elem
	return b.set(v.name, first)
}

// channelsLast tells the order of the input's axes by the first node that needs one, or else by which axis has 1, 3 or 4 elements.
func (b *builder) channelsLast(input valueProto) (bool, error) {
	names := map[string]bool{input.name: true}
	for _, n := range b.graph.nodes {
		if !slices.ContainsFunc(n.inputs, func(in string) bool { return names[in] }) {
			continue
		}
		switch n.op {
		case "Conv", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "BatchNormalization", "LRN":
			return false, nil
		case "Transpose":
			switch perm := n.ints("perm"); {
			case slices.Equal(perm, []int64{0, 3, 1, 2}):
				return true, nil
			case slices.Equal(perm, []int64{0, 2, 3, 1}):
				return false, nil
			}
		case "Cast", "Div", "Mul", "Add", "Sub", "Identity", "Pad", "Relu":
			for _, out := range n.outputs {
				names[out] = true
			}
		}
	}
	few := func(d dimProto) bool { return d.value == 1 || d.value == 3 || d.value == 4 }
	first, last := few(input.dims[1]), few(input.dims[3])
	if first == last {
		return false, unsupported("its input %q is %v: which axis are the channels?", input.name, input.dims)
	}
	return last, nil
}

// arithmetic is a binary operator with a value and constants.
func (b *builder) arithmetic(n *nodeProto, op byte, v *value, c *constant) (*value, error) {
	vector, err := v.channelVector(n, c)
	if err != nil {
		return nil, err
	}
	s := step{op, vector}
	if whole, ok := map[sourceKind]sourceKind{relu6Plus3: hardSigmoidOf, timesReLU6Plus3: hardSiLUOf}[v.kind]; ok && len(v.steps) == 0 && s.sixth() {
		w := v.of.expression(whole, n)
		w.axes, w.order = v.axes, v.order
		return w, nil
	}
	w := *v
	w.steps = append(slices.Clone(v.steps), s)
	return &w, nil
}

// channelVector lays a constant along a value's channels: one number, or one for each.
func (v *value) channelVector(n *nodeProto, c *constant) ([]float32, error) {
	if len(c.f) == 1 {
		return c.f, nil
	}
	for i, d := range c.dims {
		if d == 1 {
			continue
		}
		at := len(v.axes) - len(c.dims) + i
		if at < 0 || v.axes[at] != channelAxis || v.size(channelAxis) != d {
			return nil, n.fail("a constant of %v and a tensor of %v: gcnn takes one number, or one for each channel", c.dims, v.describe())
		}
	}
	return c.f, nil
}

// apply adds the steps of v as layers.
func (b *builder) apply(v *value) (*value, error) {
	if v.layer == model.Input {
		if b.normed && !sameSteps(b.steps, v.steps) {
			return nil, unsupported("its input is normalised in two ways")
		}
		b.normed, b.steps = true, v.steps
		w := *v
		w.steps = nil
		return &w, nil
	}
	if len(v.steps) == 0 {
		return v, nil
	}
	n := &nodeProto{op: "arithmetic", name: v.describe()}
	if v.node != nil {
		n = v.node
	}
	channels := v.size(channelAxis)
	l := built{inputs: []int{v.layer}, weights: map[model.Role][]float32{}}
	mean, scale, shift := foldSteps(v.steps)
	// With a variance of 1 − ε the division is one by 1, exactly.
	const epsilon = 1.0 / 1024
	bn := model.BatchNormalization{Epsilon: epsilon, NoScale: scale == nil, NoCenter: shift == nil}
	for _, p := range []struct {
		role      model.Role
		v         []float32
		leftOut   bool
		otherwise float32
	}{{model.Gamma, scale, scale == nil, 1}, {model.Beta, shift, shift == nil, 0}, {model.MovingMean, mean, false, 0}, {model.MovingVariance, nil, false, 1 - epsilon}} {
		if p.leftOut {
			continue
		}
		vector := p.v
		if vector == nil {
			vector = []float32{p.otherwise}
		}
		full, err := b.channels(v, vector, channels)
		if err != nil {
			return nil, err
		}
		l.weights[p.role] = full
	}
	l.layer, l.shift = bn, mean == nil && scale == nil
	w, err := b.add(n, l, v, v.shape)
	return w, err
}

// channels is a vector in gcnn's order of a value's channels; one number is repeated.
func (b *builder) channels(v *value, vector []float32, count int) ([]float32, error) {
	if err := b.take(count); err != nil {
		return nil, err
	}
	full := make([]float32, count)
	for i := range full {
		to := i
		if v.order != nil {
			to = v.order[i]
		}
		if len(vector) == 1 {
			full[to] = vector[0]
		} else {
			full[to] = vector[i]
		}
	}
	return full, nil
}

// foldSteps writes steps as (x − mean)·scale + shift, each nil where it does nothing. That of a batch normalisation is kept as it
// is; longer arithmetic is done in float64.
func foldSteps(steps []step) (mean, scale, shift []float32) {
	rest := steps
	if len(rest) > 1 && rest[0].adds() && !rest[1].adds() {
		mean, rest = rest[0].negated('-'), rest[1:]
	}
	if len(rest) > 0 && !rest[0].adds() {
		scale, rest = rest[0].factor(), rest[1:]
	}
	if len(rest) > 0 && rest[0].adds() {
		shift, rest = rest[0].negated('+'), rest[1:]
	}
	if len(rest) == 0 {
		return mean, scale, shift
	}
	a, c := affine(steps)
	return nil, narrow(a), narrow(c)
}

func (s step) adds() bool { return s.op == '+' || s.op == '-' }

// negated is the constant of an addition or subtraction, for the operator op.
func (s step) negated(op byte) []float32 {
	if s.op == op {
		return s.c
	}
	out := make([]float32, len(s.c))
	for i, v := range s.c {
		out[i] = -v
	}
	return out
}

// factor is the constant of a multiplication or division, for multiplication.
func (s step) factor() []float32 {
	if s.op == '*' {
		return s.c
	}
	out := make([]float32, len(s.c))
	for i, v := range s.c {
		out[i] = 1 / v
	}
	return out
}

// affine writes steps as a·x + b.
func affine(steps []step) (a, b []float64) {
	n := 1
	for _, s := range steps {
		n = max(n, len(s.c))
	}
	a, b = make([]float64, n), make([]float64, n)
	for i := range a {
		a[i] = 1
		for _, s := range steps {
			c := float64(s.c[min(i, len(s.c)-1)])
			switch s.op {
			case '+':
				b[i] += c
			case '-':
				b[i] -= c
			case '*':
				a[i], b[i] = a[i]*c, b[i]*c
			case '/':
				a[i], b[i] = a[i]/c, b[i]/c
			}
		}
	}
	return a, b
}

func narrow(v []float64) []float32 {
	out := make([]float32, len(v))
	for i := range v {
		out[i] = float32(v[i])
	}
	return out
}

func sameSteps(a, b []step) bool {
	return slices.EqualFunc(a, b, func(x, y step) bool { return x.op == y.op && slices.Equal(x.c, y.c) })
}

// normalization turns the arithmetic at the input into the model's: (v/255 − mean)/std of bytes v.
//
// What a file without it wants is in no file. A float32 input that is not scaled down by about 255 is taken to be v/255, as
// PyTorch's ToTensor makes it.
func (b *builder) normalization(m *Model) error {
	steps := slices.DeleteFunc(slices.Clone(b.steps), step.nothing)
	scaled := len(steps) > 0 && len(steps[0].c) == 1 &&
		((steps[0].op == '/' && steps[0].c[0] == byteScale) || (steps[0].op == '*' && steps[0].c[0] == byteFactor))
	if scaled {
		steps = steps[1:]
	}
	kind := "float32"
	if b.inputElem == typeUint8 {
		kind = "uint8"
	}
	channels := b.input.shape[2]
	switch {
	case len(steps) == 0 && (scaled || b.inputElem == typeFloat):
		if !scaled && b.options.Normalization == nil {
			b.notes = append(b.notes, fmt.Sprintf("the file's %s input is not normalised: pixels are taken to be divided by 255", kind))
		}
	case (scaled || b.inputElem == typeFloat) && len(steps) == 2 && steps[0].adds() && steps[1].op == '/' && inUnitRange(steps[0].c):
		m.Normalization = model.Normalization{Mean: repeat(steps[0].negated('-'), channels), Std: repeat(steps[1].c, channels)}
	default:
		a, c := affine(b.steps)
		bytes := b.inputElem == typeUint8 || scaled
		for i := range a {
			bytes = bytes || math.Abs(a[i]) < 0.1 || math.Abs(c[i]/a[i]) > 10
		}
		if !bytes {
			for i := range a {
				a[i] /= byteScale
			}
		}
		mean, std := make([]float64, len(a)), make([]float64, len(a))
		for i := range a {
			std[i] = 1 / (a[i] * byteScale)
			mean[i] = -c[i] * std[i]
		}
		m.Normalization = model.Normalization{Mean: repeat(narrow(mean), channels), Std: repeat(narrow(std), channels)}
	}
	if err := m.Normalization.Check(channels); err != nil {
		return unsupported("what is done to its input is no normalisation: %w", err)
	}
	return nil
}

// inUnitRange reports whether a mean is one of values from 0 to 1, not of bytes.
func inUnitRange(mean []float32) bool {
	return !slices.ContainsFunc(mean, func(m float32) bool { return math.Abs(float64(m)) > 10 })
}

// nothing reports a step that changes nothing.
func (s step) nothing() bool {
	neutral := float32(1)
	if s.adds() {
		neutral = 0
	}
	return !slices.ContainsFunc(s.c, func(v float32) bool { return v != neutral })
}

func repeat(v []float32, n int) []float32 {
	if len(v) == n {
		return v
	}
	return slices.Repeat(v, n)
}
