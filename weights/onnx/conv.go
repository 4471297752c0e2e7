package onnx

import (
	"fmt"

	"gcnn/model"
)

// exportConv adds a convolution. Its kernel {height, width, in/groups, filters} becomes [filters, in/groups, height, width]; that of
// a depthwise layer {height, width, channels, m} is the same memory as {height, width, 1, channels·m}.
func (g *graph) exportConv(l model.Conv2D, node model.Node, x string) (string, error) {
	kernel, err := g.values(node.Params[0])
	if err != nil {
		return "", err
	}
	area, perGroup := l.KernelSize.H*l.KernelSize.W, node.In[0][2]/l.Groups
	turned := make([]float32, len(kernel))
	for at := range area {
		for in := range perGroup {
			for out := range l.Filters {
				turned[(out*perGroup+in)*area+at] = kernel[(at*perGroup+in)*l.Filters+out]
			}
		}
	}
	name := node.Params[0].Name
	g.initializers = append(g.initializers, encodeTensor(name, []int{l.Filters, perGroup, l.KernelSize.H, l.KernelSize.W}, turned))
	inputs := []string{x, name}
	if !l.NoBias {
		bias, err := g.weight(node.Params[1])
		if err != nil {
			return "", err
		}
		inputs = append(inputs, bias)
	}
	v, h := l.Windows(node.In[0])
	attributes := append(windowAttributes(v, h),
		attribute{"dilations", []int64{int64(v.Dilation), int64(h.Dilation)}}, attribute{"group", int64(l.Groups)})
	y := g.node("Conv", node.Name, inputs, attributes...)
	return g.exportActivation(node.Name+"/activation", l.Activation, l.Activation.DefaultAlpha(), y), nil
}

// windowAttributes say how a kernel slides. What 'same' pads is given in numbers: SAME_UPPER means that too, but is deprecated.
func windowAttributes(v, h model.Window) []attribute {
	return []attribute{
		{"kernel_shape", []int64{int64(v.Kernel), int64(h.Kernel)}},
		{"strides", []int64{int64(v.Stride), int64(h.Stride)}},
		{"pads", []int64{int64(v.Before), int64(h.Before), int64(v.After), int64(h.After)}},
	}
}

func importConv(b *builder, n *nodeProto) (any, error) {
	if err := n.only("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"); err != nil {
		return nil, err
	}
	w, err := b.weights(n, 1)
	if err != nil {
		return nil, err
	}
	if w == nil || len(w.dims) != 4 {
		return nil, n.fail("its kernel is no [filters, channels, height, width]")
	}
	bias, err := b.weights(n, 2)
	if err != nil {
		return nil, err
	}
	x, err := b.madeInput(n, 0)
	if err != nil {
		return nil, err
	}
	filters, perGroup := w.dims[0], w.dims[1]
	groups := n.int("group", 1)
	if bias != nil && len(bias.f) != filters {
		return nil, n.damaged("its bias has %d numbers for %d filters", len(bias.f), filters)
	}
	frame, err := n.frame(x, w.dims[2:])
	if err != nil {
		return nil, err
	}
	channels := x.size(channelAxis)
	if groups < 1 || groups > int64(channels) || channels != perGroup*int(groups) || filters%int(groups) != 0 {
		return nil, n.damaged("a kernel of %v in %d groups for an input of %v", w.dims, groups, x.describe())
	}
	kernel, err := b.permute(w, []int{2, 3, 1, 0})
	if err != nil {
		return nil, err
	}
	weights := map[model.Role][]float32{model.Kernel: kernel.f}
	if bias != nil {
		weights[model.Bias] = bias.f
	}
	if !x.shape.IsMap() { // what a global pooling leaves: a 1×1 convolution of it is a dense layer
		if frame.kernel != model.Square(1) || frame.pads != (model.Margins{}) || groups != 1 || x.order != nil {
			return nil, n.fail("a convolution of a single pixel has a 1×1 kernel and one group")
		}
		return b.add(n, built{
			layer: model.Dense{Units: filters, NoBias: bias == nil}, name: n.input(1), inputs: []int{x.layer}, weights: weights,
		}, x, model.Shape{filters})
	}
	x, pad, v, h, err := b.frameLayer(n, x.with(channelsFirst), frame)
	if err != nil {
		return nil, err
	}
	l := model.Conv2D{
		Filters: filters, KernelSize: frame.kernel, Strides: frame.strides, Padding: pad, DilationRate: frame.dilations,
		Groups: int(groups), NoBias: bias == nil,
	}
	if frame.strides != model.Square(1) && frame.dilations != model.Square(1) {
		return nil, n.fail("strides %v together with dilations %v", frame.strides, frame.dilations)
	}
	if int(groups) == channels && channels > 1 {
		l.DepthMultiplier = filters / channels
	}
	return b.add(n, built{layer: l, name: n.input(1), inputs: []int{x.layer}, weights: weights}, x, model.Shape{v.out, h.out, filters})
}

// frame is how a kernel slides over a map, as a node says it.
type frame struct {
	kernel, strides, dilations model.Size
	pads                       model.Margins
	same                       bool // SAME_UPPER, which is Keras' 'same'
	ceil                       bool
}

// frame reads the attributes of a convolution or a pooling over two axes.
func (n *nodeProto) frame(x *value, kernel []int) (frame, error) {
	if !x.is("NCHW") {
		return frame{}, n.fail("its input is %v, want [batch, channels, height, width]", x.describe())
	}
	var f frame
	if shape := n.ints("kernel_shape"); shape != nil || kernel == nil {
		if len(shape) != 2 {
			return frame{}, n.fail("a kernel of %v, want two numbers", shape)
		}
		if kernel != nil && (shape[0] != int64(kernel[0]) || shape[1] != int64(kernel[1])) {
			return frame{}, n.damaged("kernel_shape is %v, its kernel %v", shape, kernel)
		}
		kernel = []int{int(shape[0]), int(shape[1])}
	}
	f.kernel = model.Size{H: kernel[0], W: kernel[1]}
	for _, a := range []struct {
		name string
		to   *model.Size
	}{{"strides", &f.strides}, {"dilations", &f.dilations}} {
		*a.to = model.Square(1)
		if v := n.ints(a.name); v != nil {
			if len(v) != 2 {
				return frame{}, n.fail("%s of %v, want two numbers", a.name, v)
			}
			*a.to = model.Size{H: int(v[0]), W: int(v[1])}
		}
	}
	pads := n.ints("pads")
	switch mode := n.str("auto_pad", "NOTSET"); mode {
	case "NOTSET":
	case "VALID":
		pads = nil
	case "SAME_UPPER":
		f.same, pads = true, nil
	default:
		return frame{}, n.fail("auto_pad %s", mode)
	}
	if pads != nil {
		if len(pads) != 4 {
			return frame{}, n.fail("pads of %v, want four numbers", pads)
		}
		f.pads = model.Margins{Top: int(pads[0]), Left: int(pads[1]), Bottom: int(pads[2]), Right: int(pads[3])}
	}
	f.ceil = n.int("ceil_mode", 0) != 0
	const most = 1 << 16
	for _, v := range []int{f.kernel.H, f.kernel.W, f.strides.H, f.strides.W, f.dilations.H, f.dilations.W} {
		if v < 1 || v > most {
			return frame{}, n.fail("kernel %v, strides %v, dilations %v", f.kernel, f.strides, f.dilations)
		}
	}
	p := f.pads
	if min(p.Top, p.Bottom, p.Left, p.Right) < 0 || max(p.Top, p.Bottom, p.Left, p.Right) > most {
		return frame{}, n.fail("pads of %v", pads)
	}
	return f, nil
}

// side is how a kernel slides over one axis, as a node says it.
type side struct{ n, kernel, stride, dilation, before, after, out int }

// sides are the two axes of a frame over a map; out follows ONNX's formula.
func (f frame) sides(in model.Shape) (v, h side, err error) {
	v = side{n: in[0], kernel: f.kernel.H, stride: f.strides.H, dilation: f.dilations.H, before: f.pads.Top, after: f.pads.Bottom}
	h = side{n: in[1], kernel: f.kernel.W, stride: f.strides.W, dilation: f.dilations.W, before: f.pads.Left, after: f.pads.Right}
	for _, s := range []*side{&v, &h} {
		room := s.n + s.before + s.after - ((s.kernel-1)*s.dilation + 1)
		if room < 0 {
			return v, h, fmt.Errorf("a %v kernel does not fit an input of %v", f.kernel, in)
		}
		s.out = room/s.stride + 1
		if f.ceil && room%s.stride != 0 && s.out*s.stride < s.n+s.before {
			s.out++ // a window that hangs over the end, if it begins before it
		}
	}
	return v, h, nil
}

// like reports whether gcnn's padding places the same windows. What lies behind the last window does not matter.
func (s side) like(p model.Padding) bool {
	w, ok := model.NewWindow(s.n, s.kernel, s.stride, s.dilation, p)
	return ok && w.Before == s.before && w.Out == s.out
}

// hangs is by how much the last window reaches over the end.
func (s side) hangs() int {
	return max(0, (s.out-1)*s.stride+(s.kernel-1)*s.dilation+1-s.before-s.n)
}

// frameLayer finds the padding of a convolution: 'valid' or 'same', else a layer of zeros is put before it.
func (b *builder) frameLayer(n *nodeProto, x *value, f frame) (*value, model.Padding, side, side, error) {
	if f.same {
		v, _ := model.NewWindow(x.shape[0], f.kernel.H, f.strides.H, f.dilations.H, model.Same)
		h, _ := model.NewWindow(x.shape[1], f.kernel.W, f.strides.W, f.dilations.W, model.Same)
		return x, model.Same, side{out: v.Out}, side{out: h.Out}, nil
	}
	v, h, err := f.sides(x.shape)
	if err != nil {
		return nil, 0, v, h, n.damaged("%w", err)
	}
	for _, p := range []model.Padding{model.Valid, model.Same} {
		if v.like(p) && h.like(p) {
			return x, p, v, h, nil
		}
	}
	x, err = b.addZeros(n, x, model.Margins{Top: v.before, Bottom: v.hangs(), Left: h.before, Right: h.hangs()})
	return x, model.Valid, v, h, err
}
