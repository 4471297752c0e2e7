package onnx

import (
	"slices"

	"gcnn/model"
)

// exportAdd sums its inputs from the first to the last.
func (g *graph) exportAdd(name string, in []string) string {
	if len(in) == 2 {
		return g.node("Add", name, in)
	}
	return g.node("Sum", name, in)
}

// importArithmetic takes + − · / of two tensors. One with constants is kept as an expression: see value.steps.
func importArithmetic(b *builder, n *nodeProto) (any, error) {
	if err := n.only(); err != nil {
		return nil, err
	}
	op := map[string]byte{"Add": '+', "Sub": '-', "Mul": '*', "Div": '/'}[n.op]
	x, err := b.operand(n, 0)
	if err != nil {
		return nil, err
	}
	y, err := b.operand(n, 1)
	if err != nil {
		return nil, err
	}
	if (op == '+' || op == '*') && !isValue(x) { // constants first
		x, y = y, x
	}
	switch x := x.(type) {
	case *value:
		switch y := y.(type) {
		case *constant:
			return b.arithmetic(n, op, x, y)
		case *value:
			return b.combine(n, op, x, y)
		}
	case *integers:
		if y, ok := y.(*integers); ok {
			return n.integerArithmetic(op, x, y)
		}
	}
	return nil, n.fail("its inputs are no two tensors, or a tensor and a constant")
}

func isValue(v any) bool {
	_, ok := v.(*value)
	return ok
}

// combine takes two tensors that both depend on the image.
func (b *builder) combine(n *nodeProto, op byte, x, y *value) (any, error) {
	switch op {
	case '+':
		return b.addLayer(n, []*value{x, y})
	case '/':
		if y.kind == powerOf && len(y.steps) == 0 && same(x, y.of) {
			x, err := b.made(x)
			if err != nil {
				return nil, err
			}
			return b.addLRN(n, x, y.lrn)
		}
	case '*':
		if !slices.Contains([]sourceKind{sigmoidOf, erfOf, hardSigmoidOf, relu6Plus3}, y.kind) {
			x, y = y, x
		}
		switch {
		case same(x, y) && x.kind == made:
			return square(n, x), nil
		case product[y.kind] != made && same(x, y.of):
			v := x.expression(product[y.kind], n)
			v.steps = y.steps
			return v, nil
		case y.kind == erfOf:
			if v := gelu(n, x, y); v != nil {
				return v, nil
			}
		}
	}
	return nil, n.fail("gcnn has no layer for %c of two tensors", op)
}

// product is x times a function of x.
var product = map[sourceKind]sourceKind{sigmoidOf: siluOf, hardSigmoidOf: hardSiLUOf, relu6Plus3: timesReLU6Plus3}

// gelu takes x·(1 + erf(x/√2)) with the factor ½ at any place: at x, at the bracket or later.
func gelu(n *nodeProto, x, y *value) *value {
	if len(y.steps) == 0 || y.steps[0].op != '+' || len(y.steps[0].c) != 1 || y.steps[0].c[0] != 1 {
		return nil
	}
	rest := slices.Clone(y.steps[1:])
	if !same(x, y.of) {
		last := len(x.steps) - 1
		if last < 0 || !x.steps[last].halves() {
			return nil
		}
		rest = append(rest, x.steps[last])
		unscaled := *x
		unscaled.steps = x.steps[:last]
		if len(unscaled.steps) == 0 {
			unscaled.steps = nil
		}
		if !same(&unscaled, y.of) {
			return nil
		}
	}
	return &value{source: &source{shape: y.shape, kind: twiceGELU, of: y.of, node: n}, axes: y.axes, order: y.order, steps: rest}
}

func importSum(b *builder, n *nodeProto) (any, error) {
	if err := n.only(); err != nil {
		return nil, err
	}
	var list []*value
	for i := range n.inputs {
		v, err := b.value(n, i)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return b.addLayer(n, list)
}

// addLayer sums tensors of one shape.
func (b *builder) addLayer(n *nodeProto, list []*value) (*value, error) {
	l := built{layer: model.Add{}}
	positive := true
	var first *value
	for _, v := range list {
		v, err := b.made(v)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = v
		}
		if !v.shape.Equal(first.shape) || !slices.Equal(v.axes, first.axes) || !slices.Equal(v.order, first.order) {
			return nil, n.fail("a sum of %v and %v, want the same shape and order", first.describe(), v.describe())
		}
		positive = positive && v.positive
		l.inputs = append(l.inputs, v.layer)
	}
	y, err := b.add(n, l, first, first.shape)
	if err == nil {
		y.positive = positive
	}
	return y, err
}

func importConcat(b *builder, n *nodeProto) (any, error) {
	if err := n.only("axis"); err != nil {
		return nil, err
	}
	first, err := b.operand(n, 0)
	if err != nil {
		return nil, err
	}
	if _, ok := first.(*integers); ok {
		return b.concatIntegers(n)
	}
	l := built{layer: model.Concatenate{}}
	var list []*value
	positive, permuted, features := true, false, 0
	for i := range n.inputs {
		v, err := b.madeInput(n, i)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		positive = positive && v.positive
		permuted = permuted || v.order != nil
		features += v.size(channelAxis)
		l.inputs = append(l.inputs, v.layer)
	}
	if len(list) == 1 {
		return list[0], nil
	}
	v := list[0]
	axis := n.int("axis", 0)
	if axis < 0 {
		axis += int64(len(v.axes))
	}
	if axis < 0 || axis >= int64(len(v.axes)) || v.axes[axis] != channelAxis {
		return nil, n.fail("a concatenation along axis %d of %v, want the channels", axis, v.describe())
	}
	last := len(v.shape) - 1
	for _, w := range list {
		if len(w.shape) != len(v.shape) || !w.shape[:last].Equal(v.shape[:last]) || !slices.Equal(w.axes, v.axes) {
			return nil, n.fail("a concatenation of %v and %v", v.describe(), w.describe())
		}
	}
	out := append(slices.Clone(v.shape[:last]), features)
	y, err := b.add(n, l, v, out)
	if err != nil {
		return nil, err
	}
	y.positive, y.order = positive, nil
	if permuted {
		if err := b.take(2 * features); err != nil {
			return nil, err
		}
		at := 0
		for _, w := range list {
			for i := range w.shape[0] {
				to := i
				if w.order != nil {
					to = w.order[i]
				}
				y.order = append(y.order, at+to)
			}
			at += w.shape[0]
		}
	}
	return y, nil
}

func importDropout(b *builder, n *nodeProto) (any, error) {
	if err := n.only("ratio", "seed"); err != nil {
		return nil, err
	}
	v, err := b.operand(n, 0)
	if err != nil {
		return nil, err
	}
	x, ok := v.(*value)
	if !ok {
		return v, nil
	}
	rate := n.float("ratio", 0.5)
	c, err := b.weights(n, 1)
	if err != nil {
		return nil, err
	}
	if c != nil && len(c.f) == 1 {
		rate = c.f[0]
	}
	if !(rate >= 0 && rate < 1) {
		return nil, n.fail("a ratio of %g", rate)
	}
	if x, err = b.made(x); err != nil || x.layer == model.Input {
		return x, err
	}
	y, err := b.add(n, built{layer: model.Dropout{Rate: rate}, inputs: []int{x.layer}}, x, x.shape)
	if err == nil {
		y.positive = x.positive
	}
	return y, err
}
