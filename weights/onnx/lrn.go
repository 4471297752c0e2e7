package onnx

import (
	"math"

	"gcnn/model"
)

// exportLRN adds a local response normalisation. ONNX's alpha is divided by the size, as gcnn's, cuDNN's and PyTorch's.
func (g *graph) exportLRN(l model.LocalResponseNormalization, name string, in []string) string {
	return g.node("LRN", name, in,
		attribute{"size", int64(l.Size)}, attribute{"alpha", l.Alpha}, attribute{"beta", l.Beta}, attribute{"bias", l.Bias})
}

func importLRN(b *builder, n *nodeProto) (any, error) {
	if err := n.only("alpha", "beta", "bias", "size"); err != nil {
		return nil, err
	}
	x, err := b.madeInput(n, 0)
	if err != nil {
		return nil, err
	}
	if !x.is("NCHW") || !x.shape.IsMap() {
		return nil, n.fail("its input is %v, want [batch, channels, height, width]", x.describe())
	}
	return b.addLRN(n, x, model.LocalResponseNormalization{
		Size: int(n.int("size", 0)), Alpha: n.float("alpha", 1e-4), Beta: n.float("beta", 0.75), Bias: n.float("bias", 1),
	})
}

func (b *builder) addLRN(n *nodeProto, x *value, l model.LocalResponseNormalization) (*value, error) {
	// A zero would stand for the layer's default.
	if l.Size%2 != 1 || l.Size < 1 || l.Size > 15 || !(l.Alpha > 0) || !(l.Beta > 0) || !(l.Bias > 0) {
		return nil, n.fail("size %d, alpha %g, beta %g, bias %g: want an odd size of at most 15 and the others above 0", l.Size, l.Alpha, l.Beta, l.Bias)
	}
	y, err := b.add(n, built{layer: l, inputs: []int{x.layer}}, x, x.shape)
	if err == nil {
		y.positive = x.positive
	}
	return y, err
}

// PyTorch has no such node: it writes x / (bias + alpha·mean)^beta, the mean of x² over neighbouring channels being that of
// [batch, 1, channels, height, width], padded and pooled in three dimensions.

// importWindowMean is the pooling.
func (b *builder) importWindowMean(n *nodeProto, x *value) (*value, error) {
	at := -1
	for i, a := range x.axes {
		if a == channelAxis {
			at = i - 2
		}
	}
	kernel := n.ints("kernel_shape")
	if len(kernel) != 3 || len(x.axes) != 5 || at < 0 || n.str("auto_pad", "NOTSET") != "NOTSET" || n.int("ceil_mode", 0) != 0 {
		return nil, n.fail("a pooling of squares that is no local response normalisation")
	}
	for i, k := range kernel {
		if i != at && k != 1 {
			return nil, n.fail("a pooling of squares over %v", kernel)
		}
	}
	for _, list := range [][]int64{n.ints("strides"), n.ints("dilations")} {
		for _, v := range list {
			if v != 1 {
				return nil, n.fail("a pooling of squares with strides or dilations")
			}
		}
	}
	for _, p := range n.ints("pads") {
		if p != 0 {
			return nil, n.fail("a pooling of squares with padding")
		}
	}
	size := kernel[at]
	if size < 1 || size > 15 || size%2 != 1 || x.pads != int(size/2) {
		return nil, n.fail("a window of %d channels, %d of them before", size, x.pads)
	}
	s := &source{shape: x.shape, kind: windowMean, of: x.of, node: n, lrn: model.LocalResponseNormalization{Size: int(size)}}
	return &value{source: s, axes: x.axes}, nil
}

// importPow takes (bias + alpha·mean)^beta.
func importPow(b *builder, n *nodeProto) (any, error) {
	x, err := b.value(n, 0)
	if err != nil {
		return nil, err
	}
	e, err := b.weights(n, 1)
	if err != nil {
		return nil, err
	}
	if e == nil || len(e.f) != 1 {
		return nil, n.fail("its exponent is no constant number")
	}
	if e.f[0] == 2 && x.kind == made {
		return square(n, x), nil
	}
	if x.kind != windowMean {
		return nil, n.fail("gcnn has no layer for a power, but for that of a local response normalisation")
	}
	l := x.lrn
	a, c := affine(x.steps)
	if len(a) != 1 {
		return nil, n.fail("alpha and bias differ between channels")
	}
	l.Alpha, l.Bias, l.Beta = float32(a[0]), float32(c[0]), e.f[0]
	if math.IsInf(a[0], 0) || math.IsNaN(a[0]) {
		return nil, n.fail("alpha is %g", a[0])
	}
	return &value{source: &source{shape: x.shape, kind: powerOf, of: x.of, lrn: l, node: n}, axes: x.axes}, nil
}

// square is x².
func square(n *nodeProto, x *value) *value {
	return &value{source: &source{shape: x.shape, kind: squareOf, of: x, positive: true, node: n}, axes: x.axes, order: x.order}
}
