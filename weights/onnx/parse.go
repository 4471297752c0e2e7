package onnx

import (
	"fmt"
)

// What a file may have at most; a network of a thousand layers stays far below.
const (
	maxItems = 1 << 18 // nodes, attributes, tensors and names together
	maxDepth = 8       // of graphs within graphs
	maxRank  = 8       // of a tensor
)

// modelProto is what gcnn reads of a file.
type modelProto struct {
	graph      *graphProto
	graphBytes []byte
	opset      int64
	metadata   map[string]string
	size       int // bytes of the file
}

type graphProto struct {
	name            string
	nodes           []*nodeProto
	initializers    []*tensorProto
	inputs, outputs []valueProto
}

type nodeProto struct {
	name, op, domain string
	inputs, outputs  []string // "" is an optional one that is left out
	attributes       map[string]*attributeProto
}

type attributeProto struct {
	kind   int64
	f      float32
	i      int64
	s      string
	t      *tensorProto
	g      *graphProto
	floats []float32
	ints   []int64
}

type tensorProto struct {
	name     string
	dims     []int64
	kind     int64
	raw      []byte
	floats   []float32
	ints     []int64 // int32_data, int64_data or uint64_data
	doubles  []float64
	external map[string]string // nil unless the data is in another file
}

type valueProto struct {
	name string
	elem int64
	dims []dimProto
}

// dimProto is a dimension; where it is not fixed, value is 0.
type dimProto struct {
	value int64
	param string
}

// parser counts what has been read, so that memory stays bounded: an empty message takes two bytes of a file and a hundred here.
type parser struct{ items int }

func (p *parser) item() error {
	p.items++
	if p.items > maxItems {
		return formatError("it has more than %d nodes, attributes, tensors and names", maxItems)
	}
	return nil
}

func parseModel(b []byte) (*modelProto, error) {
	var p parser
	m := &modelProto{metadata: map[string]string{}, size: len(b)}
	err := fields(b, func(f field) (err error) {
		switch f.number {
		case modelGraph:
			if m.graphBytes != nil {
				return formatError("it has two graphs")
			}
			if m.graphBytes, err = f.message(); err != nil {
				return err
			}
			m.graph, err = p.graph(m.graphBytes, 0)
		case modelOpset:
			err = p.opset(f, m)
		case modelMetadata:
			var key, value string
			if key, value, err = p.entry(f); err == nil {
				m.metadata[key] = value
			}
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case m.graph == nil:
		return nil, formatError("it has no graph")
	case m.opset == 0:
		return nil, formatError("it does not say which operator set it uses")
	}
	// Operators before version 9 differ in what batch normalisation and broadcasting mean, and no current exporter writes them.
	const oldest, newest = 9, 26
	if m.opset < oldest || m.opset > newest {
		return nil, unsupported("operator set %d; gcnn reads %d to %d", m.opset, oldest, newest)
	}
	return m, nil
}

// opset reads an entry of opset_import: that of ONNX's own operators counts.
func (p *parser) opset(f field, m *modelProto) error {
	if err := p.item(); err != nil {
		return err
	}
	b, err := f.message()
	if err != nil {
		return err
	}
	var domain string
	var version int64
	err = fields(b, func(f field) (err error) {
		switch f.number {
		case opsetDomain:
			domain, err = f.string()
		case opsetVersion:
			version, err = f.int()
		}
		return err
	})
	if domain == "" || domain == "ai.onnx" {
		m.opset = version
	}
	return err
}

// entry reads a StringStringEntryProto.
func (p *parser) entry(f field) (key, value string, err error) {
	if err := p.item(); err != nil {
		return "", "", err
	}
	b, err := f.message()
	if err != nil {
		return "", "", err
	}
	err = fields(b, func(f field) (err error) {
		switch f.number {
		case entryKey:
			key, err = f.string()
		case entryValue:
			value, err = f.string()
		}
		return err
	})
	return key, value, err
}

func (p *parser) graph(b []byte, depth int) (*graphProto, error) {
	if depth > maxDepth {
		return nil, formatError("graphs lie within each other more than %d deep", maxDepth)
	}
	g := &graphProto{}
	err := fields(b, func(f field) (err error) {
		var m []byte
		switch f.number {
		case graphName:
			g.name, err = f.string()
			return err
		case graphNode, graphInitializer, graphInput, graphOutput:
			if m, err = f.message(); err == nil {
				err = p.item()
			}
		case graphSparse:
			return unsupported("it has sparse weights")
		}
		if err != nil {
			return err
		}
		switch f.number {
		case graphNode:
			var n *nodeProto
			n, err = p.node(m, depth)
			g.nodes = append(g.nodes, n)
		case graphInitializer:
			var t *tensorProto
			t, err = p.tensor(m)
			g.initializers = append(g.initializers, t)
		case graphInput, graphOutput:
			var v valueProto
			v, err = p.value(m)
			if f.number == graphInput {
				g.inputs = append(g.inputs, v)
			} else {
				g.outputs = append(g.outputs, v)
			}
		}
		return err
	})
	return g, err
}

func (p *parser) node(b []byte, depth int) (*nodeProto, error) {
	n := &nodeProto{attributes: map[string]*attributeProto{}}
	err := fields(b, func(f field) (err error) {
		switch f.number {
		case nodeInput, nodeOutput:
			if err := p.item(); err != nil {
				return err
			}
			name, err := f.string()
			if f.number == nodeInput {
				n.inputs = append(n.inputs, name)
			} else {
				n.outputs = append(n.outputs, name)
			}
			return err
		case nodeName:
			n.name, err = f.string()
		case nodeOp:
			n.op, err = f.string()
		case nodeDomain:
			n.domain, err = f.string()
		case nodeAttribute:
			err = p.attribute(f, n, depth)
		}
		return err
	})
	return n, err
}

// attribute reads an attribute of n.
func (p *parser) attribute(f field, n *nodeProto, depth int) error {
	if err := p.item(); err != nil {
		return err
	}
	b, err := f.message()
	if err != nil {
		return err
	}
	var name string
	a := &attributeProto{}
	err = fields(b, func(f field) (err error) {
		switch f.number {
		case attributeName:
			name, err = f.string()
		case attributeType:
			a.kind, err = f.int()
		case attributeFloat:
			a.f, err = f.float()
		case attributeInt:
			a.i, err = f.int()
		case attributeString:
			var s []byte
			s, err = f.message()
			a.s = string(s)
		case attributeFloats:
			err = f.floats(&a.floats)
		case attributeInts:
			err = f.ints(&a.ints)
		case attributeTensor:
			var m []byte
			if m, err = f.message(); err == nil {
				a.t, err = p.tensor(m)
			}
		case attributeGraph:
			var m []byte
			if m, err = f.message(); err == nil {
				a.g, err = p.graph(m, depth+1)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if _, twice := n.attributes[name]; twice {
		return formatError("node %q has the attribute %q twice", n.label(), name)
	}
	n.attributes[name] = a
	return nil
}

func (p *parser) tensor(b []byte) (*tensorProto, error) {
	t := &tensorProto{}
	location := int64(0)
	external := map[string]string{}
	err := fields(b, func(f field) (err error) {
		switch f.number {
		case tensorDims:
			if err = f.ints(&t.dims); err == nil && len(t.dims) > maxRank {
				err = formatError("tensor %q has more than %d dimensions", t.name, maxRank)
			}
		case tensorType:
			t.kind, err = f.int()
		case tensorSegment:
			err = unsupported("tensor %q is stored in segments", t.name)
		case tensorName:
			t.name, err = f.string()
		case tensorRaw:
			t.raw, err = f.message()
		case tensorFloats:
			err = f.floats(&t.floats)
		case tensorInt32s, tensorInt64s, tensorUint64s:
			err = f.ints(&t.ints)
		case tensorDoubles:
			err = f.doubles(&t.doubles)
		case tensorLocation:
			location, err = f.int()
		case tensorExternal:
			var key, value string
			key, value, err = p.entry(f)
			external[key] = value
		}
		return err
	})
	if location != 0 {
		t.external = external
	}
	return t, err
}

func (p *parser) value(b []byte) (valueProto, error) {
	var v valueProto
	err := fields(b, func(f field) (err error) {
		switch f.number {
		case valueName:
			v.name, err = f.string()
		case valueType:
			err = within(f, typeTensor, v.tensorType)
		}
		return err
	})
	return v, err
}

// tensorType reads a field of TypeProto.Tensor.
func (v *valueProto) tensorType(f field) (err error) {
	if f.number == tensorElem {
		v.elem, err = f.int()
		return err
	}
	if f.number != tensorShape {
		return nil
	}
	b, err := f.message()
	if err != nil {
		return err
	}
	return fields(b, func(f field) error {
		if f.number != shapeDim {
			return nil
		}
		if len(v.dims) == maxRank {
			return unsupported("%q has more than %d dimensions", v.name, maxRank)
		}
		b, err := f.message()
		if err != nil {
			return err
		}
		var d dimProto
		err = fields(b, func(f field) (err error) {
			switch f.number {
			case dimValue:
				d.value, err = f.int()
			case dimParam:
				d.param, err = f.string()
			}
			return err
		})
		v.dims = append(v.dims, d)
		return err
	})
}

// within visits the fields of the messages that are the field number of the message f.
func within(f field, number int32, visit func(f field) error) error {
	b, err := f.message()
	if err != nil {
		return err
	}
	return fields(b, func(f field) error {
		if f.number != number {
			return nil
		}
		b, err := f.message()
		if err != nil {
			return err
		}
		return fields(b, visit)
	})
}

func (d dimProto) String() string {
	if d.value == 0 {
		return fmt.Sprintf("%q", d.param)
	}
	return fmt.Sprint(d.value)
}
