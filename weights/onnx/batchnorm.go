package onnx

import (
	"slices"

	"gcnn/model"
)

// exportBatchNorm adds a normalisation by the moving statistics. ONNX's has both γ and β; what the layer lacks is 1 or 0.
func (g *graph) exportBatchNorm(l model.BatchNormalization, node model.Node, x string) (string, error) {
	channels := node.Params[len(node.Params)-1].Size()
	inputs := []string{x, "", "", "", ""}
	if l.NoScale {
		inputs[1] = g.floats(node.Name+"/ones", []int{channels}, slices.Repeat([]float32{1}, channels))
	}
	if l.NoCenter {
		inputs[2] = g.floats(node.Name+"/zeros", []int{channels}, make([]float32, channels))
	}
	for _, p := range node.Params {
		name, err := g.weight(p)
		if err != nil {
			return "", err
		}
		at := map[model.Role]int{model.Gamma: 1, model.Beta: 2, model.MovingMean: 3, model.MovingVariance: 4}[p.Role]
		inputs[at] = name
	}
	return g.node("BatchNormalization", node.Name, inputs, attribute{"epsilon", l.Epsilon}), nil
}

func importBatchNorm(b *builder, n *nodeProto) (any, error) {
	if err := n.only("epsilon", "momentum", "training_mode"); err != nil {
		return nil, err
	}
	if n.int("training_mode", 0) != 0 {
		return nil, n.fail("it is in training mode: export the network for inference")
	}
	x, err := b.madeInput(n, 0)
	if err != nil {
		return nil, err
	}
	if x.shape.IsMap() && x.is("NCHW") {
		x = x.with(channelsFirst)
	}
	if len(x.axes) < 2 || x.axes[1] != channelAxis {
		return nil, n.fail("its input is %v, want the channels behind the batch", x.describe())
	}
	channels := x.size(channelAxis)
	weights := map[model.Role][]float32{}
	for i, role := range []model.Role{model.Gamma, model.Beta, model.MovingMean, model.MovingVariance} {
		w, err := b.weights(n, i+1)
		if err != nil {
			return nil, err
		}
		if w == nil || len(w.f) != channels || len(w.dims) != 1 {
			return nil, n.damaged("its input %q is no list of %d numbers", n.input(i+1), channels)
		}
		if weights[role], err = b.channels(x, w.f, channels); err != nil {
			return nil, err
		}
	}
	l := model.BatchNormalization{Epsilon: n.float("epsilon", 1e-5)}
	if m := n.float("momentum", 0.9); m > 0 && m < 1 { // ONNX's means what Keras' does
		l.Momentum = m
	}
	if !(l.Epsilon > 0 && l.Epsilon <= 1) {
		return nil, n.fail("an epsilon of %g", l.Epsilon)
	}
	return b.add(n, built{layer: l, name: n.input(1), inputs: []int{x.layer}, weights: weights}, x, x.shape)
}
