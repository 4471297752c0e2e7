package onnx

import (
	"fmt"
	"maps"
	"slices"

	"gcnn/model"

	"gorgonia.org/tensor"
)

// The operator set that gcnn writes: that of ONNX 1.12 (2022), which every runtime in use knows.
const (
	irVersion = 8
	opset     = 17
)

// graph is a GraphProto being written.
type graph struct {
	nodes        []*nodeMessage
	initializers []message
	tensors      map[string]*tensor.Dense // the network's weights
	made         map[string]bool          // initializers that are not weights
}

// nodeMessage is a NodeProto whose output may yet be renamed.
type nodeMessage struct {
	op, name   string
	inputs     []string
	output     string
	attributes message
}

// attributes of a node, in the order given.
type attribute struct {
	name  string
	value any // int64, float32, string or []int64
}

// node appends a node and returns its output. The name is the layer's, with a suffix where a layer has several nodes.
func (g *graph) node(op, name string, inputs []string, attributes ...attribute) string {
	var m message
	for _, a := range attributes {
		var b message
		b.string(attributeName, a.name)
		switch v := a.value.(type) {
		case int64:
			b.int(attributeInt, v)
			b.int(attributeType, isInt)
		case float32:
			b.float(attributeFloat, v)
			b.int(attributeType, isFloat)
		case []int64:
			for _, n := range v {
				b.int(attributeInts, n)
			}
			b.int(attributeType, isInts)
		}
		m.bytes(nodeAttribute, b)
	}
	n := &nodeMessage{op, name, inputs, name + "/output", m}
	g.nodes = append(g.nodes, n)
	return n.output
}

// floats adds a constant that is no weight, and returns its name.
func (g *graph) floats(name string, dims []int, values []float32) string {
	if !g.made[name] {
		g.made[name] = true
		g.initializers = append(g.initializers, encodeTensor(name, dims, values))
	}
	return name
}

func (g *graph) ints(name string, values []int64) string {
	g.initializers = append(g.initializers, encodeInts(name, values))
	return name
}

// weight adds a parameter as it is, and returns its name.
func (g *graph) weight(p model.Param) (string, error) {
	values, err := g.values(p)
	if err != nil {
		return "", err
	}
	g.initializers = append(g.initializers, encodeTensor(p.Name, p.Shape, values))
	return p.Name, nil
}

func (g *graph) values(p model.Param) ([]float32, error) {
	t := g.tensors[p.Name]
	if t == nil {
		return nil, fmt.Errorf("the weights %s are missing", p.Name)
	}
	if !slices.Equal(t.Shape(), p.Shape) {
		return nil, fmt.Errorf("%s is %v, want %v", p.Name, t.Shape(), p.Shape)
	}
	v, err := floats(t)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return v, nil
}

// encodeGraph writes the network as a GraphProto.
func encodeGraph(m *Model) ([]byte, error) {
	net := m.Network
	if err := m.Normalization.Check(net.Input[2]); err != nil {
		return nil, err
	}
	if classes, err := net.Classes(); m.Classes != nil && (err != nil || classes != len(m.Classes)) {
		return nil, fmt.Errorf("%d class names for a network whose output is %v", len(m.Classes), net.Output())
	}
	if params := net.Params(); len(params) != len(m.Weights) {
		return nil, fmt.Errorf("%d weights for a network that has %d", len(m.Weights), len(params))
	}
	g := &graph{tensors: m.Weights, made: map[string]bool{}}
	input := g.exportInput(m)
	outputs := make([]string, len(net.Nodes))
	for i, node := range net.Nodes {
		var inputs []string
		for _, in := range node.Inputs {
			if in == model.Input {
				inputs = append(inputs, input)
			} else {
				inputs = append(inputs, outputs[in])
			}
		}
		var err error
		if outputs[i], err = g.exportLayer(node, inputs); err != nil {
			return nil, fmt.Errorf("layer %s: %w", node.Name, err)
		}
	}
	out := g.exportOutput(net, outputs[len(outputs)-1])
	size := 1 << 16
	for _, t := range g.initializers {
		size += len(t)
	}
	b := make(message, 0, size)
	for _, n := range g.nodes {
		b.bytes(graphNode, n.encode())
	}
	b.string(graphName, net.Name)
	for _, t := range g.initializers {
		b.bytes(graphInitializer, t)
	}
	kind := int64(typeUint8)
	if m.Floats {
		kind = typeFloat
	}
	b.bytes(graphInput, encodeValue(inputName, kind, net.Input))
	b.bytes(graphOutput, encodeValue(out, typeFloat, net.Output()))
	return b, nil
}

// exportLayer adds a layer's nodes and returns their output. Feature maps are [batch, channels, height, width].
func (g *graph) exportLayer(node model.Node, in []string) (string, error) {
	switch l := node.Layer.(type) {
	case model.Conv2D:
		return g.exportConv(l, node, in[0])
	case model.MaxPool2D:
		v, h := l.Windows(node.In[0])
		return g.exportPool("MaxPool", node.Name, in, v, h), nil
	case model.AveragePool2D:
		v, h := l.Windows(node.In[0])
		return g.exportPool("AveragePool", node.Name, in, v, h, attribute{"count_include_pad", int64(0)}), nil
	case model.GlobalMaxPool2D:
		return g.exportGlobalPool("GlobalMaxPool", node.Name, in), nil
	case model.GlobalAveragePool2D:
		return g.exportGlobalPool("GlobalAveragePool", node.Name, in), nil
	case model.Flatten:
		return g.exportFlatten(node, in), nil
	case model.Dense:
		return g.exportDense(l, node, in[0])
	case model.Activation:
		return g.exportActivation(node.Name, l.Func, l.Alpha, in[0]), nil
	case model.BatchNormalization:
		return g.exportBatchNorm(l, node, in[0])
	case model.Dropout:
		return in[0], nil // it does nothing outside training
	case model.LocalResponseNormalization:
		return g.exportLRN(l, node.Name, in), nil
	case model.ZeroPadding2D:
		return g.exportPad(l, node.Name, in[0]), nil
	case model.Add:
		return g.exportAdd(node.Name, in), nil
	case model.Concatenate:
		return g.node("Concat", node.Name, in, attribute{"axis", int64(1)}), nil
	case model.SeparableConv2D: // two nodes, both Conv2D
	}
	return "", fmt.Errorf("ONNX export does not know the layer %s", node.Layer.Kind())
}

// exportOutput gives the last value its name in the file.
func (g *graph) exportOutput(net *model.Network, last string) string {
	name := "output"
	if _, err := net.Classes(); err == nil {
		name = outputName
	}
	switch {
	case net.Output().IsMap():
		last = g.node("Transpose", "output/transpose", []string{last}, attribute{"perm", []int64{0, 2, 3, 1}})
	case g.nodes[len(g.nodes)-1].output != last: // a layer without a node, such as Dropout
		last = g.node("Identity", "output/identity", []string{last})
	}
	for _, n := range g.nodes {
		if n.output == last {
			n.output = name
		}
		for i, in := range n.inputs {
			if in == last {
				n.inputs[i] = name
			}
		}
	}
	return name
}

func (n *nodeMessage) encode() message {
	var b message
	for _, in := range n.inputs {
		b.string(nodeInput, in)
	}
	b.string(nodeOutput, n.output)
	b.string(nodeName, n.name)
	b.string(nodeOp, n.op)
	return append(b, n.attributes...)
}

// encodeValue is a ValueInfoProto: [batch, shape…].
func encodeValue(name string, kind int64, shape model.Shape) message {
	var batch, dims message
	batch.string(dimParam, "batch")
	dims.bytes(shapeDim, batch)
	for _, n := range shape {
		var dim message
		dim.int(dimValue, int64(n))
		dims.bytes(shapeDim, dim)
	}
	var t, typed, value message
	t.int(tensorElem, kind)
	t.bytes(tensorShape, dims)
	typed.bytes(typeTensor, t)
	value.string(valueName, name)
	value.bytes(valueType, typed)
	return value
}

// encodeModel is a ModelProto.
func encodeModel(graph []byte, doc string, properties map[string]string) ([]byte, error) {
	b := make(message, 0, len(graph)+1<<16)
	b.int(modelIRVersion, irVersion)
	b.string(modelProducer, "gcnn")
	b.string(modelDoc, doc)
	b.bytes(modelGraph, graph)
	var set message
	set.string(opsetDomain, "")
	set.int(opsetVersion, opset)
	b.bytes(modelOpset, set)
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		var entry message
		entry.string(entryKey, key)
		entry.string(entryValue, properties[key])
		b.bytes(modelMetadata, entry)
	}
	return b, nil
}

// exportInput adds what makes the network's input of images: [batch, channels, height, width], normalised.
func (g *graph) exportInput(m *Model) string {
	x := inputName
	if !m.Floats {
		x = g.node("Cast", inputName+"/cast", []string{x}, attribute{"to", int64(typeFloat)})
		x = g.node("Div", inputName+"/scale", []string{x, g.floats("normalization/scale", nil, []float32{byteScale})})
	}
	if z := m.Normalization; len(z.Mean) > 0 {
		x = g.node("Sub", inputName+"/center", []string{x, g.floats("normalization/mean", []int{len(z.Mean)}, z.Mean)})
		x = g.node("Div", inputName+"/normalize", []string{x, g.floats("normalization/std", []int{len(z.Std)}, z.Std)})
	}
	return g.node("Transpose", inputName+"/transpose", []string{x}, attribute{"perm", []int64{0, 3, 1, 2}})
}
