package onnx

import (
	"math"

	"gcnn/model"
)

func (g *graph) exportPad(l model.ZeroPadding2D, name, x string) string {
	p := l.Padding
	pads := g.ints(name+"/pads", []int64{0, 0, int64(p.Top), int64(p.Left), 0, 0, int64(p.Bottom), int64(p.Right)})
	return g.node("Pad", name, []string{x, pads})
}

func importPad(b *builder, n *nodeProto) (any, error) {
	if fill := n.attributes["value"]; b.opset < 11 && fill != nil {
		if fill.kind != isFloat || fill.f != 0 {
			return nil, n.fail("padding with %g, want 0", fill.f)
		}
		delete(n.attributes, "value")
	}
	if err := n.only("mode", "pads"); err != nil {
		return nil, err
	}
	mode := n.str("mode", "constant")
	if mode != "constant" && mode != "edge" {
		return nil, n.fail("mode %q", mode)
	}
	x, err := b.value(n, 0)
	if err != nil {
		return nil, err
	}
	fill, err := b.weights(n, 2)
	if err != nil {
		return nil, err
	}
	border := mode == "edge"
	if fill != nil && !border {
		border = len(fill.f) == 1 && fill.f[0] <= -math.MaxFloat32
		if len(fill.f) != 1 || (fill.f[0] != 0 && !border) {
			return nil, n.fail("padding with %v, want 0", fill.f)
		}
	}
	before, after, err := b.pads(n, len(x.axes))
	if err != nil {
		return nil, err
	}
	var m model.Margins
	for i, a := range x.axes {
		switch a {
		case heightAxis:
			m.Top, m.Bottom = before[i], after[i]
		case widthAxis:
			m.Left, m.Right = before[i], after[i]
		case channelAxis:
			if x.kind == squareOf && len(x.steps) == 0 && before[i] == after[i] && before[i] > 0 {
				x = &value{source: &source{shape: x.shape, kind: paddedSquare, of: x.of, pads: before[i], node: n}, axes: x.axes}
				continue
			}
			if before[i] != 0 || after[i] != 0 {
				return nil, n.fail("padding of channels")
			}
		case batchAxis, unitAxis:
			if before[i] != 0 || after[i] != 0 {
				return nil, n.fail("padding of axis %d", i)
			}
		}
	}
	if m == (model.Margins{}) {
		return x, nil
	}
	if x.kind == squareOf || x.kind == paddedSquare {
		return nil, n.fail("padding of squares")
	}
	if x, err = b.made(x); err != nil {
		return nil, err
	}
	if !x.shape.IsMap() {
		return nil, n.fail("padding of %v, which is no map", x.describe())
	}
	if border {
		return &value{source: &source{shape: paddedShape(x.shape, m), kind: bordered, of: x, margins: m, node: n}, axes: x.axes}, nil
	}
	return b.addZeros(n, x, m)
}

// pads are how many zeros each axis gets before and after.
func (b *builder) pads(n *nodeProto, rank int) (before, after []int, err error) {
	list := n.ints("pads")
	if b.opset >= 11 {
		v, err := b.shapeNumbers(n, 1)
		if err != nil {
			return nil, nil, err
		}
		list = nil
		for _, p := range v {
			list = append(list, p.n)
		}
	}
	axes := make([]int, rank)
	for i := range axes {
		axes[i] = i
	}
	if n.input(3) != "" {
		v, err := b.shapeNumbers(n, 3)
		if err != nil {
			return nil, nil, err
		}
		if axes, err = n.axes(v, rank); err != nil {
			return nil, nil, err
		}
	}
	if len(list) != 2*len(axes) {
		return nil, nil, n.damaged("%d pads for %d axes", len(list), len(axes))
	}
	before, after = make([]int, rank), make([]int, rank)
	for i, a := range axes {
		const most = 1 << 16
		lo, hi := list[i], list[len(axes)+i]
		if lo < 0 || hi < 0 || lo > most || hi > most {
			return nil, nil, n.fail("pads of %d and %d", lo, hi)
		}
		before[a], after[a] = int(lo), int(hi)
	}
	return before, after, nil
}

// addZeros puts zeros around a map.
func (b *builder) addZeros(n *nodeProto, x *value, m model.Margins) (*value, error) {
	if !x.shape.IsMap() {
		return nil, n.fail("padding of %v, which is no map", x.describe())
	}
	if m == (model.Margins{}) {
		return x, nil
	}
	out := paddedShape(x.shape, m)
	y, err := b.add(n, built{layer: model.ZeroPadding2D{Padding: m}, inputs: []int{x.layer}}, x, out)
	if err == nil {
		y.positive = x.positive
	}
	return y, err
}

func paddedShape(s model.Shape, m model.Margins) model.Shape {
	return model.Shape{s[0] + m.Top + m.Bottom, s[1] + m.Left + m.Right, s[2]}
}
