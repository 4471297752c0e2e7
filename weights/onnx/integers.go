package onnx

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// numbers writes integers for messages.
func numbers(list []integer) string {
	var parts []string
	for _, v := range list {
		if v.batch {
			parts = append(parts, "batch")
		} else {
			parts = append(parts, fmt.Sprint(v.n))
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// integersAsFloats makes a constant of known integers.
func (b *builder) integersAsFloats(n *nodeProto, v *integers) (*constant, error) {
	c := &constant{dims: v.dims}
	for _, e := range v.v {
		if e.batch {
			return nil, n.fail("arithmetic with the size of the batch")
		}
		c.f = append(c.f, float32(e.n))
	}
	return c, nil
}

func importConstant(b *builder, n *nodeProto) (any, error) {
	if err := n.only("value", "value_float", "value_floats", "value_int", "value_ints"); err != nil {
		return nil, err
	}
	if len(n.attributes) != 1 {
		return nil, n.damaged("it has %d values", len(n.attributes))
	}
	for name, a := range n.attributes {
		switch name {
		case "value":
			return b.decode(n, a.t)
		case "value_float":
			return &constant{nil, []float32{a.f}}, nil
		case "value_floats":
			return &constant{[]int{len(a.floats)}, a.floats}, nil
		case "value_int":
			return &integers{nil, []integer{{n: a.i}}}, nil
		case "value_ints":
			if len(a.ints) > maxIntegers {
				return nil, n.fail("%d integers", len(a.ints))
			}
			v := &integers{dims: []int{len(a.ints)}}
			for _, i := range a.ints {
				v.v = append(v.v, integer{n: i})
			}
			return v, nil
		}
	}
	return nil, n.damaged("it has no value")
}

func importConstantOfShape(b *builder, n *nodeProto) (any, error) {
	if err := n.only("value"); err != nil {
		return nil, err
	}
	shape, err := b.shapeNumbers(n, 0)
	if err != nil {
		return nil, err
	}
	fill := &integers{v: []integer{{}}}
	if a := n.attributes["value"]; a != nil {
		v, err := b.decode(n, a.t)
		if err != nil {
			return nil, err
		}
		with, ok := v.(*integers)
		if !ok || len(with.v) != 1 {
			return nil, n.fail("it is not filled with an integer")
		}
		fill = with
	}
	out := &integers{}
	count := int64(1)
	for _, d := range shape {
		if d.batch || d.n < 0 || (d.n > 0 && count > maxIntegers/d.n) || len(shape) > maxRank {
			return nil, n.fail("a shape of %v", numbers(shape))
		}
		count *= d.n
		out.dims = append(out.dims, int(d.n))
	}
	out.v = slices.Repeat(fill.v, int(count))
	return out, nil
}

func importShape(b *builder, n *nodeProto) (any, error) {
	if err := n.only("end", "start"); err != nil {
		return nil, err
	}
	v, err := importIdentity(b, n)
	if err != nil {
		return nil, err
	}
	shape := b.shapeOf(v)
	rank := int64(len(shape))
	bound := func(i int64) int64 {
		if i < 0 {
			i += rank
		}
		return min(max(i, 0), rank)
	}
	start, end := bound(n.int("start", 0)), bound(n.int("end", rank))
	shape = shape[start:max(start, end)]
	return &integers{[]int{len(shape)}, shape}, nil
}

// importGather picks elements of a list of integers.
func importGather(b *builder, n *nodeProto) (any, error) {
	if err := n.only("axis"); err != nil {
		return nil, err
	}
	list, err := b.integerInput(n, 0)
	if err != nil {
		return nil, err
	}
	at, err := b.integerInput(n, 1)
	if err != nil {
		return nil, err
	}
	if len(list.dims) != 1 || n.int("axis", 0) != 0 {
		return nil, n.fail("gcnn has no layer that picks elements")
	}
	out := &integers{dims: at.dims}
	for _, i := range at.v {
		k := i.n
		if k < 0 {
			k += int64(len(list.v))
		}
		if i.batch || k < 0 || k >= int64(len(list.v)) {
			return nil, n.damaged("element %d of %d", i.n, len(list.v))
		}
		out.v = append(out.v, list.v[k])
	}
	return out, nil
}

// integerInput is input i of a node, which must be known integers.
func (b *builder) integerInput(n *nodeProto, i int) (*integers, error) {
	v, err := b.operand(n, i)
	if err != nil {
		return nil, err
	}
	if v, ok := v.(*integers); ok {
		return v, nil
	}
	return nil, n.fail("gcnn has no layer for it: its input %q is no known list of integers", n.input(i))
}

// importSlice cuts integers along their axes.
func importSlice(b *builder, n *nodeProto) (any, error) {
	if err := n.only(); err != nil { // operator set 9 has attributes, and shapes without slices
		return nil, err
	}
	out, err := b.integerInput(n, 0)
	if err != nil {
		return nil, err
	}
	var lists [4][]integer // starts, ends, axes, steps
	for i := range lists {
		if lists[i], err = b.shapeNumbers(n, i+1); err != nil {
			return nil, err
		}
		if i < 2 || lists[i] != nil {
			if len(lists[i]) != len(lists[0]) {
				return nil, n.damaged("%d starts and %d of its input %d", len(lists[0]), len(lists[i]), i+1)
			}
		}
	}
	axes := make([]int, len(lists[0]))
	for i := range axes {
		axes[i] = i
	}
	if lists[2] != nil {
		if axes, err = n.axes(lists[2], len(out.dims)); err != nil {
			return nil, err
		}
	}
	for i, axis := range axes {
		stride := integer{n: 1}
		if lists[3] != nil {
			stride = lists[3][i]
		}
		if axis >= len(out.dims) || lists[0][i].batch || lists[1][i].batch || stride.batch || stride.n == 0 || stride.n == math.MinInt64 {
			return nil, n.damaged("a slice of axis %d", axis)
		}
		out = out.slice(axis, lists[0][i].n, lists[1][i].n, stride.n)
	}
	return out, nil
}

// slice cuts an axis as Python does.
func (v *integers) slice(axis int, start, end, step int64) *integers {
	size := int64(v.dims[axis])
	low, high := int64(0), size
	if step < 0 {
		low, high = -1, size-1
	}
	bound := func(i int64) int64 {
		if i < 0 {
			i += size // cannot overflow: size is small and i negative
		}
		return min(max(i, low), high)
	}
	var picked []int
	for i, last := bound(start), bound(end); (step > 0 && i < last) || (step < 0 && i > last); i += min(max(step, -size-1), size+1) {
		picked = append(picked, int(i))
	}
	inner := 1
	for _, d := range v.dims[axis+1:] {
		inner *= d
	}
	out := &integers{dims: slices.Clone(v.dims)}
	out.dims[axis] = len(picked)
	if block := inner * int(size); block > 0 {
		for at := 0; at < len(v.v); at += block {
			for _, i := range picked {
				out.v = append(out.v, v.v[at+i*inner:at+(i+1)*inner]...)
			}
		}
	}
	return out
}

// transpose gives axis i of the result axis perm[i] of v.
func (v *integers) transpose(perm []int) *integers {
	rank := len(v.dims)
	strides, stride := make([]int, rank), 1
	for i := rank - 1; i >= 0; i-- {
		strides[i] = stride
		stride *= v.dims[i]
	}
	out := &integers{dims: make([]int, rank)}
	for i, p := range perm {
		out.dims[i] = v.dims[p]
	}
	for to := range v.v {
		from, left := 0, to
		for i := rank - 1; i >= 0; i-- {
			from += left % out.dims[i] * strides[perm[i]]
			left /= out.dims[i]
		}
		out.v = append(out.v, v.v[from])
	}
	return out
}

func (b *builder) concatIntegers(n *nodeProto) (any, error) {
	out := &integers{}
	for i := range n.inputs {
		v, err := b.integerInput(n, i)
		if err != nil {
			return nil, err
		}
		if len(v.dims) != 1 || len(out.v)+len(v.v) > maxIntegers {
			return nil, n.fail("a concatenation of integers of %d dimensions", len(v.dims))
		}
		out.v = append(out.v, v.v...)
	}
	out.dims = []int{len(out.v)}
	return out, nil
}

// integerArithmetic takes integers of one shape, or a single one with others.
func (n *nodeProto) integerArithmetic(op byte, x, y *integers) (*integers, error) {
	dims := x.dims
	if len(y.v) > len(x.v) || len(y.dims) > len(dims) {
		dims = y.dims
	}
	count := max(len(x.v), len(y.v))
	if len(x.v) == 0 || len(y.v) == 0 || (len(x.v) != 1 && len(x.v) != count) || (len(y.v) != 1 && len(y.v) != count) || (len(x.v) > 1 && len(y.v) > 1 && !slices.Equal(x.dims, y.dims)) {
		return nil, n.fail("arithmetic with integers of %v and %v", x.dims, y.dims)
	}
	out := &integers{dims: dims}
	for i := range count {
		a, b := x.v[min(i, len(x.v)-1)], y.v[min(i, len(y.v)-1)]
		const most = 1 << 31
		if a.batch || b.batch || max(a.n, b.n) > most || min(a.n, b.n) < -most || (op == '/' && b.n == 0) {
			return nil, n.fail("arithmetic with %v and %v", numbers(x.v), numbers(y.v))
		}
		switch op {
		case '+':
			a.n += b.n
		case '-':
			a.n -= b.n
		case '*':
			a.n *= b.n
		case '/':
			a.n /= b.n
		}
		out.v = append(out.v, a)
	}
	return out, nil
}

func importEqual(b *builder, n *nodeProto) (any, error) {
	x, err := b.integerInput(n, 0)
	if err != nil {
		return nil, err
	}
	y, err := b.integerInput(n, 1)
	if err != nil {
		return nil, err
	}
	if len(x.v) != 1 || len(y.v) != 1 || x.v[0].batch || y.v[0].batch {
		return nil, n.fail("a comparison of %v and %v", numbers(x.v), numbers(y.v))
	}
	out := &integers{x.dims, []integer{{}}}
	if x.v[0].n == y.v[0].n {
		out.v[0].n = 1
	}
	return out, nil
}

// importIf runs the branch of a condition that is known.
func importIf(b *builder, n *nodeProto) (any, error) {
	if err := n.only("else_branch", "then_branch"); err != nil {
		return nil, err
	}
	c, err := b.integerInput(n, 0)
	if err != nil {
		return nil, err
	}
	if len(c.v) != 1 || c.v[0].batch {
		return nil, n.fail("a condition of %v", numbers(c.v))
	}
	branch := n.attributes["else_branch"]
	if c.v[0].n != 0 {
		branch = n.attributes["then_branch"]
	}
	if branch == nil || len(branch.g.outputs) != 1 || len(branch.g.inputs) != 0 {
		return nil, n.damaged("its branches are no graphs of one output")
	}
	for _, t := range branch.g.initializers {
		if _, twice := b.values[t.name]; twice || b.tensors[t.name] != nil {
			return nil, n.damaged("%q is made twice", t.name)
		}
		b.tensors[t.name] = t
	}
	if err := b.run(branch.g.nodes); err != nil {
		return nil, err
	}
	name := branch.g.outputs[0].name
	if v, ok := b.values[name]; ok {
		return v, nil
	}
	return nil, n.damaged("its branch does not make %q", name)
}
