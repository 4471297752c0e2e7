package onnx

import "slices"

// label is what messages call a node.
func (n *nodeProto) label() string {
	if n.name == "" && len(n.outputs) > 0 {
		return n.outputs[0]
	}
	return n.name
}

// fail is an error about a node that gcnn cannot take.
func (n *nodeProto) fail(format string, args ...any) error {
	return &NodeError{n.label(), n.op, unsupported(format, args...)}
}

// damaged is an error about a node that no program can take.
func (n *nodeProto) damaged(format string, args ...any) error {
	return &NodeError{n.label(), n.op, formatError(format, args...)}
}

// int, float, str and ints return an attribute, or what the operator's definition says where it is left out.
func (n *nodeProto) int(name string, otherwise int64) int64 {
	if a := n.attributes[name]; a != nil && a.kind == isInt {
		return a.i
	}
	return otherwise
}

func (n *nodeProto) float(name string, otherwise float32) float32 {
	if a := n.attributes[name]; a != nil && a.kind == isFloat {
		return a.f
	}
	return otherwise
}

func (n *nodeProto) str(name, otherwise string) string {
	if a := n.attributes[name]; a != nil && a.kind == isString {
		return a.s
	}
	return otherwise
}

func (n *nodeProto) ints(name string) []int64 {
	if a := n.attributes[name]; a != nil && a.kind == isInts {
		return a.ints
	}
	return nil
}

// attributeKinds are the types of the attributes that gcnn reads; no two operators give a name two types.
var attributeKinds = map[string]int64{
	"allowzero": isInt, "alpha": isFloat, "approximate": isString, "auto_pad": isString, "axes": isInts, "axis": isInt, "beta": isFloat,
	"bias": isFloat, "ceil_mode": isInt, "count_include_pad": isInt, "dilations": isInts, "epsilon": isFloat, "group": isInt,
	"keepdims": isInt, "kernel_shape": isInts, "mode": isString, "momentum": isFloat, "noop_with_empty_axes": isInt, "pads": isInts,
	"perm": isInts, "ratio": isFloat, "saturate": isInt, "seed": isInt, "size": isInt, "storage_order": isInt, "strides": isInts,
	"to": isInt, "training_mode": isInt, "transA": isInt, "transB": isInt, "value": isTensor, "value_float": isFloat,
	"value_floats": isFloats, "value_int": isInt, "value_ints": isInts, "start": isInt, "end": isInt, "max": isFloat, "min": isFloat,
	"else_branch": isGraph, "then_branch": isGraph,
}

// only reports attributes other than these: what an operator says with them would go unheard.
func (n *nodeProto) only(names ...string) error {
	for name, a := range n.attributes {
		if !slices.Contains(names, name) {
			return n.fail("gcnn does not know its attribute %q", name)
		}
		if a.kind != attributeKinds[name] || (a.kind == isTensor && a.t == nil) || (a.kind == isGraph && a.g == nil) {
			return n.damaged("its attribute %q has the type %d, want %d", name, a.kind, attributeKinds[name])
		}
	}
	return nil
}

// input is the name of input i, "" where it is left out.
func (n *nodeProto) input(i int) string {
	if i < len(n.inputs) {
		return n.inputs[i]
	}
	return ""
}
