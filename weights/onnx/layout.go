package onnx

import (
	"slices"

	"gcnn/model"
)

// exportFlatten makes a vector in the order height, width, channels, as Keras does: the map is turned back first.
func (g *graph) exportFlatten(node model.Node, in []string) string {
	x := in[0]
	if node.In[0].IsMap() {
		x = g.node("Transpose", node.Name+"/transpose", []string{x}, attribute{"perm", []int64{0, 2, 3, 1}})
	}
	return g.node("Flatten", node.Name, []string{x}, attribute{"axis", int64(1)})
}

func importIdentity(b *builder, n *nodeProto) (any, error) {
	v, err := b.operand(n, 0)
	if v == nil && err == nil {
		err = n.damaged("it has no input")
	}
	return v, err
}

// importCast takes casts to float32, and between integers.
func importCast(b *builder, n *nodeProto) (any, error) {
	if err := n.only("saturate", "to"); err != nil {
		return nil, err
	}
	v, err := importIdentity(b, n)
	if err != nil {
		return nil, err
	}
	to := n.int("to", 0)
	switch v := v.(type) {
	case *integers:
		if to == typeInt64 || to == typeInt32 || to == typeBool {
			return v, nil
		}
		if to == typeFloat {
			return b.integersAsFloats(n, v)
		}
	case *value, *constant:
		if to == typeFloat {
			return v, nil
		}
	}
	return nil, n.fail("a cast to type %d; gcnn computes in float32 (1)", to)
}

// importTranspose only changes what the axes mean.
func importTranspose(b *builder, n *nodeProto) (any, error) {
	if err := n.only("perm"); err != nil {
		return nil, err
	}
	v, err := importIdentity(b, n)
	if err != nil {
		return nil, err
	}
	var rank int
	switch v := v.(type) {
	case *value:
		rank = len(v.axes)
	case *constant:
		rank = len(v.dims)
	case *integers:
		rank = len(v.dims)
	}
	var perm []int
	for _, p := range n.ints("perm") {
		if p < 0 || p >= int64(rank) || slices.Contains(perm, int(p)) {
			return nil, n.damaged("perm %v for %d axes", n.ints("perm"), rank)
		}
		perm = append(perm, int(p))
	}
	if perm == nil {
		for i := rank - 1; i >= 0; i-- {
			perm = append(perm, i)
		}
	}
	if len(perm) != rank {
		return nil, n.damaged("perm %v for %d axes", perm, rank)
	}
	switch v := v.(type) {
	case *value:
		var axes []axis
		for _, p := range perm {
			axes = append(axes, v.axes[p])
		}
		return v.with(axes), nil
	case *constant:
		return b.permute(v, perm)
	case *integers:
		return v.transpose(perm), nil
	}
	return nil, n.fail("its input has another type")
}

// axes reads axes, of which negative ones count from the end.
func (n *nodeProto) axes(list []integer, rank int) ([]int, error) {
	out := []int{}
	for _, a := range list {
		i := a.n
		if i < 0 {
			i += int64(rank)
		}
		if a.batch || i < 0 || i >= int64(rank) || slices.Contains(out, int(i)) {
			return nil, n.damaged("axis %d of %d", a.n, rank)
		}
		out = append(out, int(i))
	}
	return out, nil
}

// axesOf reads the axes of a node, an attribute or the second input; nil where there are none.
func (b *builder) axesOf(n *nodeProto, rank int) ([]int, error) {
	list, err := b.shapeNumbers(n, 1)
	if err != nil {
		return nil, err
	}
	for _, a := range n.ints("axes") {
		list = append(list, integer{n: a})
	}
	if list == nil {
		return nil, nil
	}
	return n.axes(list, rank)
}

func importFlatten(b *builder, n *nodeProto) (any, error) {
	if err := n.only("axis"); err != nil {
		return nil, err
	}
	x, err := b.value(n, 0)
	if err != nil {
		return nil, err
	}
	axis := n.int("axis", 1)
	if axis < 0 {
		axis += int64(len(x.axes))
	}
	if axis != 1 {
		return nil, n.fail("axis %d, want 1", n.int("axis", 1))
	}
	return b.reshape(n, x, []integer{{batch: true}, {n: -1}})
}

func importSqueeze(b *builder, n *nodeProto) (any, error) {
	if err := n.only("axes"); err != nil {
		return nil, err
	}
	v, err := importIdentity(b, n)
	if err != nil {
		return nil, err
	}
	shape := b.shapeOf(v)
	over, err := b.axesOf(n, len(shape))
	if err != nil {
		return nil, err
	}
	var dims []integer
	for i, d := range shape {
		one := d == integer{n: 1}
		switch {
		case slices.Contains(over, i) && !one:
			return nil, n.damaged("axis %d of %v is not 1", i, numbers(shape))
		case over == nil && one, slices.Contains(over, i):
		default:
			dims = append(dims, d)
		}
	}
	return b.reshapeAny(n, v, dims)
}

func importUnsqueeze(b *builder, n *nodeProto) (any, error) {
	if err := n.only("axes"); err != nil {
		return nil, err
	}
	v, err := importIdentity(b, n)
	if err != nil {
		return nil, err
	}
	shape := b.shapeOf(v)
	list, err := b.shapeNumbers(n, 1)
	if err != nil {
		return nil, err
	}
	rank := len(shape) + max(len(list), len(n.ints("axes")))
	over, err := b.axesOf(n, rank)
	if err != nil {
		return nil, err
	}
	var dims []integer
	for i := range rank {
		if slices.Contains(over, i) {
			dims = append(dims, integer{n: 1})
		} else {
			dims = append(dims, shape[0])
			shape = shape[1:]
		}
	}
	return b.reshapeAny(n, v, dims)
}

func importReshape(b *builder, n *nodeProto) (any, error) {
	if err := n.only("allowzero"); err != nil {
		return nil, err
	}
	v, err := importIdentity(b, n)
	if err != nil {
		return nil, err
	}
	want, err := b.shapeNumbers(n, 1)
	if err != nil {
		return nil, err
	}
	shape := b.shapeOf(v)
	dims := slices.Clone(want)
	for i, d := range dims {
		if d == (integer{}) {
			if n.int("allowzero", 0) != 0 || i >= len(shape) {
				return nil, n.damaged("a shape of %v", numbers(want))
			}
			dims[i] = shape[i]
		}
	}
	return b.reshapeAny(n, v, dims)
}

// shapeOf is a shape as ONNX sees it.
func (b *builder) shapeOf(v any) []integer {
	var shape []integer
	switch v := v.(type) {
	case *value:
		for _, a := range v.axes {
			if a == batchAxis {
				shape = append(shape, integer{n: b.batch, batch: true})
			} else {
				shape = append(shape, integer{n: int64(v.size(a))})
			}
		}
	case *constant:
		for _, d := range v.dims {
			shape = append(shape, integer{n: int64(d)})
		}
	case *integers:
		for _, d := range v.dims {
			shape = append(shape, integer{n: int64(d)})
		}
	}
	return shape
}

func (b *builder) reshapeAny(n *nodeProto, v any, dims []integer) (any, error) {
	if len(dims) > maxRank {
		return nil, n.fail("more than %d dimensions", maxRank)
	}
	switch v := v.(type) {
	case *value:
		return b.reshape(n, v, dims)
	case *constant:
		to, err := n.resolve(dims, len(v.f))
		return &constant{to, v.f}, err
	case *integers:
		to, err := n.resolve(dims, len(v.v))
		return &integers{to, v.v}, err
	}
	return nil, n.fail("its input has another type")
}

// resolve finds the dimension written −1, so that there are count elements.
func (n *nodeProto) resolve(dims []integer, count int) ([]int, error) {
	to, product, open := make([]int, len(dims)), 1, -1
	for i, d := range dims {
		switch {
		case d.batch:
			return nil, n.fail("a shape of %v for constants", numbers(dims))
		case d.n == -1 && open < 0:
			open = i
		case d.n < 0 || (d.n > 0 && int64(product) > int64(max(count, 1))/d.n):
			return nil, n.damaged("a shape of %v for %d elements", numbers(dims), count)
		default:
			to[i] = int(d.n)
			product *= to[i]
		}
	}
	if open >= 0 && product > 0 {
		to[open] = count / product
		product *= to[open]
	}
	if product != count {
		return nil, n.damaged("a shape of %v for %d elements", numbers(dims), count)
	}
	return to, nil
}

// reshape of a tensor moves axes of one element, or flattens a map.
func (b *builder) reshape(n *nodeProto, x *value, dims []integer) (*value, error) {
	first := len(x.axes) > 0 && x.axes[0] == batchAxis && len(dims) > 0 &&
		(dims[0].batch || dims[0].n == -1 || (b.batch > 0 && dims[0].n == b.batch))
	if !first {
		return nil, n.fail("a reshape of %v to %v, want the batch first", x.describe(), numbers(dims))
	}
	rest := slices.Clone(dims[1:])
	if dims[0].n == -1 && !dims[0].batch && slices.Contains(rest, integer{n: -1}) {
		return nil, n.damaged("a shape of %v", numbers(dims))
	}
	to, err := n.resolve(rest, x.shape.Size())
	if err != nil {
		return nil, err
	}
	var from []axis
	var have, want []int
	for _, a := range x.axes[1:] {
		if x.size(a) != 1 {
			from, have = append(from, a), append(have, x.size(a))
		}
	}
	for _, d := range to {
		if d != 1 {
			want = append(want, d)
		}
	}
	switch {
	case slices.Equal(have, want):
		return x.with(x.relabel(from, to)), nil
	case len(want) <= 1 && len(to) > 0:
		x, err := b.made(x)
		if err != nil {
			return nil, err
		}
		axes := []axis{batchAxis}
		for _, d := range to {
			if d == 1 {
				axes = append(axes, unitAxis)
			} else {
				axes = append(axes, channelAxis)
			}
		}
		return b.flatten(n, x, axes)
	}
	return nil, n.fail("a reshape of %v to %v", x.describe(), numbers(dims))
}

// relabel gives the axes of more than one element their meaning in a shape with other axes of one element. Where a map has all
// four axes, so has the view.
func (x *value) relabel(from []axis, to []int) []axis {
	axes := []axis{batchAxis}
	var missing []axis
	for _, a := range x.axes[1:] {
		if a != unitAxis && !slices.Contains(from, a) {
			missing = append(missing, a)
		}
	}
	for _, d := range to {
		switch {
		case d != 1:
			axes, from = append(axes, from[0]), from[1:]
		case len(missing) > 0:
			axes, missing = append(axes, missing[0]), missing[1:]
		default:
			axes = append(axes, unitAxis)
		}
	}
	if !slices.Contains(axes, channelAxis) && slices.Contains(axes, unitAxis) {
		axes[slices.Index(axes, unitAxis)] = channelAxis
	}
	return axes
}

// flat is a tensor as [batch, features].
func (b *builder) flat(n *nodeProto, x *value) (*value, error) {
	if len(x.shape) == 1 || len(x.axes) != 2 {
		return x, nil
	}
	return b.flatten(n, x, []axis{batchAxis, channelAxis})
}

// flatten adds a Flatten and notes in which order ONNX has the features.
func (b *builder) flatten(n *nodeProto, x *value, axes []axis) (*value, error) {
	if !x.shape.IsMap() {
		return x.with(axes), nil
	}
	size := x.shape.Size()
	if err := b.take(2 * size); err != nil {
		return nil, err
	}
	y, err := b.add(n, built{layer: model.Flatten{}, inputs: []int{x.layer}}, x, model.Shape{size})
	if err != nil {
		return nil, err
	}
	y.axes, y.positive = axes, x.positive
	y.order = x.flatOrder()
	return y, nil
}

// flatOrder is where gcnn's Flatten puts each element of a map, in ONNX's order; nil where the two agree.
func (x *value) flatOrder() []int {
	stride := map[axis]int{heightAxis: x.shape[1] * x.shape[2], widthAxis: x.shape[2], channelAxis: 1}
	var axes []axis
	for _, a := range x.axes[1:] {
		if x.size(a) > 1 {
			axes = append(axes, a)
		}
	}
	order := []int{0}
	sorted := true
	for i, a := range axes {
		next := make([]int, 0, len(order)*x.size(a))
		for _, o := range order {
			for k := range x.size(a) {
				next = append(next, o+k*stride[a])
			}
		}
		order = next
		sorted = sorted && (i == 0 || stride[axes[i-1]] > stride[a])
	}
	if sorted {
		return nil
	}
	return order
}
