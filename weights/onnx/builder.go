package onnx

import (
	"fmt"
	"slices"
	"strings"

	"gcnn/model"
)

// builder makes a network of a graph's nodes, in their order.
//
// Exporters spread one of gcnn's layers over several nodes: a bias is added behind the convolution, GELU is five nodes around Erf.
// So a node yields a value that may be an expression still (source.kind, value.steps), and the layer is made when something uses it.
type builder struct {
	graph   *graphProto
	opset   int64
	options Options
	files   *externalFiles
	size    int // bytes of the file and of what it refers to
	taken   int // floats taken so far

	tensors map[string]*tensorProto
	values  map[string]any // by name: *value, *constant or *integers
	uses    map[string]int // how many nodes read a value

	input     *source
	inputElem int64
	batch     int64  // a batch that the file fixes, 0 where it is free
	normed    bool   // steps is what is done to the input
	steps     []step // the input's normalisation
	layers    []built
	names     map[string]bool
	notes     []string
}

// built is a layer of the network to be.
type built struct {
	layer   model.Layer // without name and inputs
	name    string      // "" for an automatic one
	inputs  []int       // layers, or model.Input
	weights map[model.Role][]float32
	shift   bool // a normalisation that only adds a constant: a bias
}

// source is a tensor before any view of it: the output of a layer, or an expression that has not become one.
type source struct {
	shape    model.Shape
	layer    int // where kind is made
	positive bool
	kind     sourceKind
	of       *value // what the expression is about
	lrn      model.LocalResponseNormalization
	pads     int           // zero channels before, of paddedSquare
	margins  model.Margins // of bordered
	node     *nodeProto
}

type sourceKind uint8

const (
	made            sourceKind = iota
	sigmoidOf                  // sigmoid(of)
	erfOf                      // erf(of/√2)
	twiceGELU                  // of·(1 + erf(of/√2))
	siluOf                     // of·sigmoid(of)
	relu6Plus3                 // relu6(of+3)
	timesReLU6Plus3            // of·relu6(of+3)
	hardSigmoidOf              // relu6(of+3)/6
	hardSiLUOf                 // of·relu6(of+3)/6
	squareOf                   // of²
	paddedSquare               // of² with zero channels around
	windowMean                 // the mean of of² over lrn.Size channels
	powerOf                    // (bias + alpha·windowMean)^beta
	above20                    // of > 20
	bordered                   // of, surrounded by what never is a maximum: repeated edges or −∞
)

// value is a view of a source: what its axes mean in ONNX's order, and arithmetic with constants on top of it.
type value struct {
	*source
	axes  []axis
	order []int // of a flat one: which of gcnn's features is ONNX's i-th; nil where they are the same
	steps []step
}

// axis is the meaning of an axis.
type axis byte

const (
	batchAxis   axis = 'N'
	heightAxis  axis = 'H'
	widthAxis   axis = 'W'
	channelAxis axis = 'C' // of a map, or the features of a flat tensor
	unitAxis    axis = '1'
)

// channelsFirst are the axes of ONNX's maps.
var channelsFirst = []axis{batchAxis, channelAxis, heightAxis, widthAxis}

// step is arithmetic with constants: one for all channels or one for each, in ONNX's order.
type step struct {
	op byte // + - * /
	c  []float32
}

func newBuilder(file *modelProto, o Options, files *externalFiles) *builder {
	b := &builder{
		graph: file.graph, opset: file.opset, options: o, files: files, size: file.size,
		tensors: map[string]*tensorProto{}, values: map[string]any{}, uses: map[string]int{}, names: map[string]bool{},
	}
	for _, t := range file.graph.initializers {
		b.tensors[t.name] = t
	}
	return b
}

func (b *builder) initializer(name string) (*constant, error) {
	t := b.tensors[name]
	if t == nil || t.kind != typeFloat {
		return nil, nil
	}
	return b.constant(t)
}

// importGraph makes a network of a graph.
func importGraph(file *modelProto, o Options, files *externalFiles) (*Model, error) {
	b := newBuilder(file, o, files)
	if len(b.graph.outputs) != 1 {
		return nil, unsupported("it has %d outputs, a network of gcnn has one", len(b.graph.outputs))
	}
	b.countUses(b.graph)
	if err := b.findInput(); err != nil {
		return nil, err
	}
	if err := b.run(b.graph.nodes); err != nil {
		return nil, err
	}
	return b.finish()
}

func (b *builder) countUses(g *graphProto) {
	for _, n := range g.nodes {
		for _, in := range n.inputs {
			b.uses[in]++
		}
		for _, a := range n.attributes {
			if a.g != nil {
				b.countUses(a.g)
			}
		}
	}
	for _, out := range g.outputs {
		b.uses[out.name]++
	}
}

// run takes nodes in order: ONNX demands that each reads what came before.
func (b *builder) run(nodes []*nodeProto) error {
	for _, n := range nodes {
		if n.domain != "" && n.domain != "ai.onnx" {
			return n.fail("operators of %q are not ONNX's own", n.domain)
		}
		operator, ok := operators[n.op]
		if !ok {
			return n.fail("gcnn has no layer for this operator")
		}
		if len(n.outputs) == 0 || n.outputs[0] == "" {
			return n.damaged("it has no output")
		}
		if len(n.inputs) == 0 && n.op != "Constant" {
			return n.damaged("it has no input")
		}
		for _, name := range n.outputs[1:] {
			if b.uses[name] > 0 {
				return n.fail("only its first output is known, %q is used too", name)
			}
		}
		out, err := operator(b, n)
		if err != nil {
			return err
		}
		if err := b.set(n.outputs[0], out); err != nil {
			return n.damaged("%w", err)
		}
	}
	return nil
}

func (b *builder) set(name string, v any) error {
	if _, twice := b.values[name]; twice || b.tensors[name] != nil {
		return fmt.Errorf("%q is made twice", name)
	}
	b.values[name] = v
	return nil
}

// operand is input i of a node: a *value, a *constant or *integers; nil where it is left out.
func (b *builder) operand(n *nodeProto, i int) (any, error) {
	name := n.input(i)
	if name == "" {
		return nil, nil
	}
	if v, ok := b.values[name]; ok {
		return v, nil
	}
	t := b.tensors[name]
	if t == nil {
		return nil, n.damaged("its input %q is made by no node before it", name)
	}
	return b.decode(n, t)
}

func (b *builder) decode(n *nodeProto, t *tensorProto) (any, error) {
	var v any
	var err error
	if t.isIntegers() {
		v, err = b.integers(t)
	} else {
		v, err = b.constant(t)
	}
	if err != nil {
		return nil, &NodeError{n.label(), n.op, err}
	}
	return v, nil
}

// value is input i of a node, which must come from the network's input.
func (b *builder) value(n *nodeProto, i int) (*value, error) {
	v, err := b.operand(n, i)
	if err != nil {
		return nil, err
	}
	if v, ok := v.(*value); ok {
		return v, nil
	}
	return nil, n.fail("its input %q is not computed from images", n.input(i))
}

// weights is input i of a node, which must be constant floats; nil where it is left out.
func (b *builder) weights(n *nodeProto, i int) (*constant, error) {
	v, err := b.operand(n, i)
	if v == nil || err != nil {
		return nil, err
	}
	if c, ok := v.(*constant); ok {
		return c, nil
	}
	return nil, n.fail("its input %q is not constant: weights must be in the file", n.input(i))
}

// shapeNumbers is input i of a node, which must be known integers; nil where it is left out.
func (b *builder) shapeNumbers(n *nodeProto, i int) ([]integer, error) {
	v, err := b.operand(n, i)
	if v == nil || err != nil {
		return nil, err
	}
	if v, ok := v.(*integers); ok {
		return v.v, nil
	}
	return nil, n.fail("its input %q is no known list of integers", n.input(i))
}

// size of an axis in ONNX's tensor; the batch's is 0.
func (v *value) size(a axis) int {
	switch a {
	case batchAxis:
		return 0
	case heightAxis:
		return v.shape[0]
	case widthAxis:
		return v.shape[1]
	case channelAxis:
		return v.shape[len(v.shape)-1]
	case unitAxis:
	}
	return 1
}

// is reports whether the axes are these, where axes of one element are interchangeable.
func (v *value) is(axes string) bool {
	if len(v.axes) != len(axes) {
		return false
	}
	for i, want := range []byte(axes) {
		if v.axes[i] == axis(want) {
			continue
		}
		if v.axes[i] == batchAxis || axis(want) == batchAxis || v.size(v.axes[i]) != 1 {
			return false
		}
		if axis(want) != unitAxis && slices.Contains(v.axes, axis(want)) && v.size(axis(want)) != 1 {
			return false
		}
	}
	return true
}

// describe writes a value's shape as ONNX sees it.
func (v *value) describe() string {
	var parts []string
	for _, a := range v.axes {
		if a == batchAxis {
			parts = append(parts, "batch")
		} else {
			parts = append(parts, fmt.Sprint(v.size(a)))
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// with is another view of the same source.
func (v *value) with(axes []axis) *value {
	w := *v
	w.axes = axes
	return &w
}

// add appends a layer and returns its output, with the axes of like.
func (b *builder) add(n *nodeProto, l built, like *value, out model.Shape) (*value, error) {
	if err := l.checkOut(out); err != nil {
		return nil, n.fail("%w", err)
	}
	l.name = b.ownName(l.name)
	b.layers = append(b.layers, l)
	return &value{source: &source{shape: out, layer: len(b.layers) - 1, node: n}, axes: like.axes, order: like.order}, nil
}

func (l built) checkOut(out model.Shape) error {
	n := 1
	for _, d := range out {
		const most = 1 << 31
		if d < 1 || d > most/n {
			return fmt.Errorf("its output would be %v", out)
		}
		n *= d
	}
	return nil
}

// ownName is the name of a layer by its weights, "conv1.weight" or "conv2d/kernel"; "" where that is no name or another has it.
func (b *builder) ownName(tensor string) string {
	for _, suffix := range []string{".weight", "/kernel", "/gamma"} {
		name, ok := strings.CutSuffix(tensor, suffix)
		const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
		if ok && name != "" && name != model.InputName && len(name) <= 100 && strings.Trim(name, allowed) == "" && !b.names[name] {
			b.names[name] = true
			return name
		}
	}
	return ""
}
