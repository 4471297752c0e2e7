package onnx

import (
	"gcnn/model"
)

// exportDense adds y = x·kernel + bias.
func (g *graph) exportDense(l model.Dense, node model.Node, x string) (string, error) {
	inputs := []string{x}
	for _, p := range node.Params {
		name, err := g.weight(p)
		if err != nil {
			return "", err
		}
		inputs = append(inputs, name)
	}
	y := g.node("Gemm", node.Name, inputs)
	return g.exportActivation(node.Name+"/activation", l.Activation, l.Activation.DefaultAlpha(), y), nil
}

// importGemm takes alpha·x·w + beta·bias with alpha = beta = 1, the only ones that a layer has.
func importGemm(b *builder, n *nodeProto) (any, error) {
	if err := n.only("alpha", "beta", "transA", "transB"); err != nil {
		return nil, err
	}
	if n.int("transA", 0) != 0 || n.float("alpha", 1) != 1 || (n.float("beta", 1) != 1 && n.input(2) != "") {
		return nil, n.fail("transA %d, alpha %g, beta %g", n.int("transA", 0), n.float("alpha", 1), n.float("beta", 1))
	}
	bias, err := b.weights(n, 2)
	if err != nil {
		return nil, err
	}
	return b.importDense(n, n.int("transB", 0) != 0, bias)
}

func importMatMul(b *builder, n *nodeProto) (any, error) {
	if err := n.only(); err != nil {
		return nil, err
	}
	return b.importDense(n, false, nil)
}

// importDense takes x·w + bias; w is [units, in] where it is turned. Rows follow the order of the features that x has in gcnn.
func (b *builder) importDense(n *nodeProto, turned bool, bias *constant) (any, error) {
	w, err := b.weights(n, 1)
	if err != nil {
		return nil, err
	}
	if w == nil || len(w.dims) != 2 {
		return nil, n.fail("its weights are no matrix")
	}
	if turned {
		if w, err = b.permute(w, []int{1, 0}); err != nil {
			return nil, err
		}
	}
	x, err := b.madeInput(n, 0)
	if err != nil {
		return nil, err
	}
	if x, err = b.flat(n, x); err != nil {
		return nil, err
	}
	in, units := w.dims[0], w.dims[1]
	if len(x.axes) != 2 || x.shape[0] != in {
		return nil, n.fail("a matrix of %d×%d for an input of %v", in, units, x.describe())
	}
	l := built{
		layer: model.Dense{Units: units, NoBias: bias == nil}, name: n.input(1), inputs: []int{x.layer},
		weights: map[model.Role][]float32{model.Kernel: w.f},
	}
	if x.order != nil {
		if err := b.take(len(w.f)); err != nil {
			return nil, err
		}
		rows := make([]float32, len(w.f))
		for i, to := range x.order {
			copy(rows[to*units:(to+1)*units], w.f[i*units:(i+1)*units])
		}
		l.weights[model.Kernel] = rows
	}
	y := &value{axes: x.axes}
	if bias != nil {
		if len(bias.f) != 1 && (len(bias.f) != units || bias.dims[len(bias.dims)-1] != units) {
			return nil, n.fail("a bias of %v for %d units", bias.dims, units)
		}
		if l.weights[model.Bias], err = b.channels(y, bias.f, units); err != nil {
			return nil, err
		}
	}
	return b.add(n, l, y, model.Shape{units})
}
