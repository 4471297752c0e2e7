package reference

import (
	"gcnn/device"
	"gcnn/model"
)

// layer computes one layer of a batch. Its activation comes after it.
type layer interface {
	// forward computes the output, and keeps what backward needs.
	forward(x []*Tensor) *Tensor
	// backward computes the gradients at the inputs and of the parameters, by name, from that at the output.
	backward(dy *Tensor) (dx []*Tensor, grads map[string]*Tensor)
}

// paramNames are the names of a node's parameters by role; empty where it has none.
type paramNames struct{ kernel, bias, gamma, beta, movingMean, movingVariance string }

func namesOf(node model.Node) paramNames {
	var n paramNames
	for _, p := range node.Params {
		switch p.Role {
		case model.Kernel:
			n.kernel = p.Name
		case model.Bias:
			n.bias = p.Name
		case model.Gamma:
			n.gamma = p.Name
		case model.Beta:
			n.beta = p.Name
		case model.MovingMean:
			n.movingMean = p.Name
		case model.MovingVariance:
			n.movingVariance = p.Name
		}
	}
	return n
}

// pass is one run of a network, forward and perhaps backward.
type pass struct {
	net     *model.Network
	weights map[string]*Tensor
	infer   bool
	exact   bool // no algorithm but the direct sum; the first of equal maxima wins
	seed    uint64
	step    int64
	// seen is what an implementation found. Every layer then starts from the implementation's own neighbouring values, so
	// that radii are those of one layer alone.
	seen *device.Trace

	layers      []layer
	activations []activation
	before      []*Tensor // of each node, the value before its activation
	outputs     []*Tensor
}

// newLayer makes the layer of node i without its activation.
func (p *pass) newLayer(i int) (layer, activation) {
	node := p.net.Nodes[i]
	names := namesOf(node)
	act := activation{f: model.OutputActivation(node.Layer)}
	act.alpha = device.Decimal(act.f.DefaultAlpha())
	switch l := node.Layer.(type) {
	case model.Conv2D:
		return &conv{
			spec: l, in: node.In[0], out: node.Out, names: names,
			kernel: p.weights[names.kernel], bias: p.weights[names.bias],
			winograd: !p.exact && device.Winograd(l, node.In[0]), rows: !p.exact && device.WinogradRows(l, node.In[0]),
		}, act
	case model.Dense:
		return &dense{
			inputs: node.In[0][0], units: l.Units, names: names,
			kernel: p.weights[names.kernel], bias: p.weights[names.bias],
		}, act
	case model.Activation:
		act.alpha = device.Decimal(l.Alpha)
		return &reshape{out: node.Out}, act
	case model.Flatten:
		return &reshape{out: node.Out}, act
	case model.MaxPool2D:
		v, h := l.Windows(node.In[0])
		return &maxPool{windows: windows{v, h, node.Out[2], node.Out}, anyTie: !p.exact}, act
	case model.AveragePool2D:
		v, h := l.Windows(node.In[0])
		return &averagePool{windows: windows{v, h, node.Out[2], node.Out}}, act
	case model.GlobalMaxPool2D:
		return &maxPool{windows: global(node.In[0], node.Out), anyTie: !p.exact}, act
	case model.GlobalAveragePool2D:
		return &averagePool{windows: global(node.In[0], node.Out)}, act
	case model.BatchNormalization:
		return &batchNorm{
			spec: l, names: names, batch: !p.infer && !bool(l.Frozen),
			gamma: p.weights[names.gamma], beta: p.weights[names.beta],
			movingMean: p.weights[names.movingMean], movingVariance: p.weights[names.movingVariance],
		}, act
	case model.Dropout:
		if p.infer {
			return &reshape{out: node.Out}, act
		}
		return &dropout{rate: l.Rate, layer: i, seed: p.seed, step: p.step}, act
	case model.LocalResponseNormalization:
		return &lrn{spec: l, channels: node.Out[2]}, act
	case model.ZeroPadding2D:
		return &pad{margins: l.Padding, in: node.In[0], out: node.Out}, act
	case model.Add:
		return &add{inputs: len(node.In)}, act
	case model.Concatenate:
		return &concatenate{}, act
	case model.SeparableConv2D: // two nodes, both Conv2D
	}
	return nil, act
}

// forward runs the network and returns its output.
func (p *pass) forward(x *Tensor) *Tensor {
	value := func(i int) *Tensor {
		switch {
		case i == model.Input:
			return x
		case p.seen != nil:
			return fromDense(p.seen.Outputs[p.net.Nodes[i].Name])
		}
		return p.outputs[i]
	}
	for i, node := range p.net.Nodes {
		var inputs []*Tensor
		for _, j := range node.Inputs {
			inputs = append(inputs, value(j))
		}
		l, act := p.newLayer(i)
		z := l.forward(inputs)
		p.layers = append(p.layers, l)
		p.activations = append(p.activations, act)
		p.before = append(p.before, z)
		p.outputs = append(p.outputs, act.forward(z))
	}
	return p.outputs[len(p.outputs)-1]
}

// logits is the value before the activation of the last layer.
func (p *pass) logits() *Tensor { return p.before[len(p.before)-1] }

// gradients are what a backward pass finds.
type gradients struct {
	outputs []*Tensor // at the output of each node
	input   *Tensor
	params  map[string]*Tensor
}

// backward runs the network backwards from the gradient at its output or, with fused, at the logits of its last layer.
func (p *pass) backward(dy *Tensor, fused bool) gradients {
	last := len(p.net.Nodes) - 1
	g := gradients{outputs: make([]*Tensor, last+1), params: map[string]*Tensor{}}
	parts := make([][]*Tensor, last+1) // the gradient at each output, from each reader of it
	parts[last] = []*Tensor{dy}
	var atInput []*Tensor
	for i := last; i >= 0; i-- {
		node := p.net.Nodes[i]
		g.outputs[i] = total(parts[i])
		d := g.outputs[i]
		if p.seen != nil {
			d = fromDense(p.seen.OutputGrads[node.Name])
		}
		if i != last || !fused {
			d = p.activations[i].backward(p.before[i], d)
		}
		dx, params := p.layers[i].backward(d)
		for k, j := range node.Inputs {
			if j == model.Input {
				atInput = append(atInput, dx[k])
			} else {
				parts[j] = append(parts[j], dx[k])
			}
		}
		for _, param := range node.Params {
			if param.Trainable {
				g.params[param.Name] = params[param.Name]
			}
		}
	}
	g.input = total(atInput)
	return g
}

// updated are the moving statistics after the pass.
func (p *pass) updated() map[string]*Tensor {
	out := map[string]*Tensor{}
	for _, l := range p.layers {
		if b, ok := l.(*batchNorm); ok && b.batch {
			out[b.names.movingMean], out[b.names.movingVariance] = b.updatedMean, b.updatedVariance
		}
	}
	return out
}
