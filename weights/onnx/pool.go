package onnx

import (
	"slices"

	"gcnn/model"
)

func (g *graph) exportPool(op, name string, in []string, v, h model.Window, more ...attribute) string {
	return g.node(op, name, in, append(windowAttributes(v, h), more...)...)
}

func (g *graph) exportGlobalPool(op, name string, in []string) string {
	y := g.node(op, name+"/pool", in)
	return g.node("Flatten", name, []string{y}, attribute{"axis", int64(1)})
}

func importPool(b *builder, n *nodeProto) (any, error) {
	if err := n.only("auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "storage_order", "strides"); err != nil {
		return nil, err
	}
	x, err := b.value(n, 0)
	if err != nil {
		return nil, err
	}
	if n.op == "AveragePool" && x.kind == paddedSquare {
		return b.importWindowMean(n, x)
	}
	var border model.Margins
	if n.op == "MaxPool" && x.kind == bordered && len(x.steps) == 0 {
		x, border = x.of.with(x.axes), x.margins
	}
	if x, err = b.made(x); err != nil {
		return nil, err
	}
	f, err := n.frame(x, nil)
	if err != nil {
		return nil, err
	}
	if border != (model.Margins{}) {
		if f.pads != (model.Margins{}) || f.same {
			return nil, n.fail("a pooling that pads what is padded")
		}
		f.pads = border
	}
	if p := f.pads; max(p.Top, p.Bottom) >= f.kernel.H || max(p.Left, p.Right) >= f.kernel.W {
		return nil, n.fail("padding of %+v for a window of %v", p, f.kernel)
	}
	if f.dilations != model.Square(1) {
		return nil, n.fail("a pooling with dilations %v", f.dilations)
	}
	if !x.shape.IsMap() {
		return nil, n.fail("its input is %v, no map", x.describe())
	}
	x = x.with(channelsFirst)
	countsPadding := n.op == "AveragePool" && n.int("count_include_pad", 0) != 0
	pad, v, h := model.Same, side{}, side{}
	if f.same && !countsPadding {
		wv, _ := model.NewWindow(x.shape[0], f.kernel.H, f.strides.H, 1, model.Same)
		wh, _ := model.NewWindow(x.shape[1], f.kernel.W, f.strides.W, 1, model.Same)
		v.out, h.out = wv.Out, wh.Out
	} else {
		if f.same {
			return nil, n.fail("auto_pad SAME_UPPER with count_include_pad")
		}
		if v, h, err = f.sides(x.shape); err != nil {
			return nil, n.damaged("%w", err)
		}
		if x, pad, err = b.poolPadding(n, x, v, h, f, countsPadding); err != nil {
			return nil, err
		}
	}
	out := model.Shape{v.out, h.out, x.shape[2]}
	var l model.Layer = model.AveragePool2D{PoolSize: f.kernel, Strides: f.strides, Padding: pad}
	if n.op == "MaxPool" {
		l = model.MaxPool2D{PoolSize: f.kernel, Strides: f.strides, Padding: pad}
	}
	y, err := b.add(n, built{layer: l, inputs: []int{x.layer}}, x, out)
	if err == nil {
		y.positive = x.positive
	}
	return y, err
}

// poolPadding finds the padding of a pooling: 'valid' or 'same', else zeros are put before it where they do not change what comes
// out: the maximum of numbers that are not negative, or a mean that counts its padding.
func (b *builder) poolPadding(n *nodeProto, x *value, v, h side, f frame, countsPadding bool) (*value, model.Padding, error) {
	padded := f.pads != model.Margins{}
	if v.like(model.Valid) && h.like(model.Valid) && (!countsPadding || !padded) {
		return x, model.Valid, nil
	}
	if !countsPadding && v.like(model.Same) && h.like(model.Same) {
		return x, model.Same, nil
	}
	margins := model.Margins{Top: v.before, Bottom: v.hangs(), Left: h.before, Right: h.hangs()}
	switch {
	case n.op == "MaxPool" && x.positive:
	case countsPadding && margins.Bottom <= f.pads.Bottom && margins.Right <= f.pads.Right:
	default:
		return nil, 0, n.fail("padding of %+v (ceil_mode %t), which is neither Keras' 'valid' nor 'same'", f.pads, f.ceil)
	}
	x, err := b.addZeros(n, x, margins)
	return x, model.Valid, err
}

func importGlobalPool(b *builder, n *nodeProto) (any, error) {
	x, err := b.madeInput(n, 0)
	if err != nil {
		return nil, err
	}
	if !x.is("NCHW") {
		return nil, n.fail("its input is %v, want [batch, channels, height, width]", x.describe())
	}
	return b.globalPool(n, x, n.op == "GlobalMaxPool", []axis{batchAxis, channelAxis, unitAxis, unitAxis})
}

// globalPool adds a global pooling; of a flat tensor it is nothing.
func (b *builder) globalPool(n *nodeProto, x *value, maximum bool, axes []axis) (*value, error) {
	if !x.shape.IsMap() {
		return x.with(axes), nil
	}
	var l model.Layer = model.GlobalAveragePool2D{}
	if maximum {
		l = model.GlobalMaxPool2D{}
	}
	y, err := b.add(n, built{layer: l, inputs: []int{x.layer}}, x.with(axes), model.Shape{x.shape[2]})
	if err == nil {
		y.positive = x.positive
	}
	return y, err
}

// importReduce takes a maximum or a mean over height and width.
func importReduce(b *builder, n *nodeProto) (any, error) {
	if err := n.only("axes", "keepdims", "noop_with_empty_axes"); err != nil {
		return nil, err
	}
	x, err := b.madeInput(n, 0)
	if err != nil {
		return nil, err
	}
	over, err := b.axesOf(n, len(x.axes))
	if err != nil {
		return nil, err
	}
	if over == nil {
		return nil, n.fail("a reduction over all axes")
	}
	var axes []axis
	var left []axis // axes over which is not reduced
	for i, a := range x.axes {
		switch {
		case !slices.Contains(over, i):
			axes, left = append(axes, a), append(left, a)
		case n.int("keepdims", 1) != 0:
			axes = append(axes, unitAxis)
		}
	}
	for _, a := range []axis{batchAxis, channelAxis} {
		if !slices.Contains(left, a) {
			return nil, n.fail("a reduction over more than height and width")
		}
	}
	for _, a := range left {
		if (a == heightAxis || a == widthAxis) && x.size(a) > 1 {
			return nil, n.fail("a reduction over one of height and width alone")
		}
	}
	for i, a := range axes {
		if a == heightAxis || a == widthAxis {
			axes[i] = unitAxis
		}
	}
	return b.globalPool(n, x, n.op == "ReduceMax", axes)
}
