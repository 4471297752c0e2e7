package backend

import "gcnn/model"

// Gradients are those at the outputs of a network's nodes, as a backend makes them while it compiles a backward pass. B is what
// it calls a gradient's memory. A node is its index in Network.Nodes, or model.Input.
type Gradients[B any] struct {
	wanted []bool
	at     []*B
	grad   func(node int) *B
	sum    func(node int, a, b *B) *B
}

// NewGradients asks for the gradients that a pass wants: everything, or with learning alone what comes after a trainable
// parameter; with neither, none. grad makes memory for a gradient at a node's output, and sum emits the sum of two.
func NewGradients[B any](net *model.Network, learning, everything bool, grad func(node int) *B, sum func(node int, a, b *B) *B) Gradients[B] {
	g := Gradients[B]{make([]bool, len(net.Nodes)+1), make([]*B, len(net.Nodes)+1), grad, sum}
	g.wanted[0] = everything
	for i, node := range net.Nodes {
		want := everything
		if learning {
			for _, in := range node.Inputs {
				want = want || g.Wanted(in)
			}
			for _, p := range node.Params {
				want = want || p.Trainable
			}
		}
		g.wanted[i+1] = want
	}
	return g
}

// Wanted reports whether the gradient at a node's output is wanted.
func (g *Gradients[B]) Wanted(node int) bool { return g.wanted[node+1] }

// At is the gradient at a node's output, nil where it is not wanted or not there yet.
func (g *Gradients[B]) At(node int) *B { return g.at[node+1] }

// Put makes d the gradient at a node's output.
func (g *Gradients[B]) Put(node int, d *B) { g.at[node+1] = d }

// Into lets emit write a gradient for a node's output, and adds it to what other readers of that output have sent.
func (g *Gradients[B]) Into(node int, emit func(dst *B)) {
	if g.Wanted(node) {
		dst := g.grad(node)
		emit(dst)
		g.Pass(node, dst)
	}
}

// Pass adds a finished gradient to what other readers of a node's output have sent. Gradients are never changed in place, so that
// one may be that of several nodes.
func (g *Gradients[B]) Pass(node int, d *B) {
	switch have := g.At(node); {
	case !g.Wanted(node):
	case have == nil:
		g.at[node+1] = d
	default:
		g.at[node+1] = g.sum(node, have, d)
	}
}
