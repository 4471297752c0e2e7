package cpu

import (
	"gcnn/cpu/kernel"
	"gcnn/model"
)

// block is what the fusion pass makes of the network: a layer and those that are computed together with it. Outputs inside a
// block are never there as a whole. It is plain data; its layers are the Layers of the tasks in an Outline.
type block struct {
	nodes []int // in the order of computation
}

// fuse groups the layers of a network into blocks, in the order of the network, as far as nobody else reads what lies between. A
// convolution takes an Activation and a pool after it into its own tasks, batch normalisation a ReLU. A network with no such
// pair has one block for each layer, as has an unfused plan.
func fuse(net *model.Network, p purpose) []block {
	readers := make([]int, len(net.Nodes))
	reader := make([]int, len(net.Nodes))
	for i, node := range net.Nodes {
		for _, in := range node.Inputs {
			if in != model.Input {
				readers[in]++
				reader[in] = i
			}
		}
	}
	taken := make([]bool, len(net.Nodes))
	var blocks []block
	for i, node := range net.Nodes {
		if taken[i] {
			continue
		}
		b := block{nodes: []int{i}}
		// next is the node that alone reads the block's output, -1 where there is none.
		next := func() int {
			if readers[b.last()] != 1 || p.unfused {
				return -1
			}
			return reader[b.last()]
		}
		switch l := node.Layer.(type) {
		case model.Conv2D:
			f := l.Activation
			if k := next(); k >= 0 && f == model.Linear {
				if a, ok := net.Nodes[k].Layer.(model.Activation); ok && a.Func != model.Softmax {
					b.nodes = append(b.nodes, k)
					f = a.Func
				}
			}
			if k := next(); k >= 0 && !p.across && fusiblePool(net.Nodes[k], f) {
				b.nodes = append(b.nodes, k)
			}
		case model.BatchNormalization:
			if k := next(); k >= 0 {
				if a, ok := net.Nodes[k].Layer.(model.Activation); ok && a.Func == model.ReLU {
					b.nodes = append(b.nodes, k)
				}
			}
		default:
		}
		for _, k := range b.nodes {
			taken[k] = true
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// fusiblePool reports whether a pool can be computed a row of windows at a time from the convolution before it: windows
// neither overlap nor reach over the border, their elements are counted in bytes, and the gradient of the activation between
// follows from its output.
func fusiblePool(node model.Node, f model.ActivationFunc) bool {
	var v, h model.Window
	switch l := node.Layer.(type) {
	case model.MaxPool2D:
		v, h = l.Windows(node.In[0])
	case model.AveragePool2D:
		v, h = l.Windows(node.In[0])
	default:
		return false
	}
	side := func(w model.Window) bool {
		return w.Stride == w.Kernel && w.Before == 0 && w.Out*w.Stride <= w.In
	}
	return side(v) && side(h) && v.Kernel*h.Kernel <= kernel.Closed && !kernel.NeedsInput(f) && f != model.Softmax
}

// last is the node whose output is the block's.
func (b *block) last() int { return b.nodes[len(b.nodes)-1] }

// activation is the activation of a convolution's block.
func (b *block) activation(net *model.Network) (f model.ActivationFunc, alpha float32) {
	for _, i := range b.nodes {
		switch l := net.Nodes[i].Layer.(type) {
		case model.Conv2D:
			f, alpha = l.Activation, l.Activation.DefaultAlpha()
		case model.Activation:
			f, alpha = l.Func, l.Alpha
		default:
		}
	}
	return f, alpha
}

// pool is the pool of a convolution's block, nil where there is none.
func (b *block) pool(net *model.Network) model.Layer {
	switch l := net.Nodes[b.last()].Layer.(type) {
	case model.MaxPool2D:
		return l
	case model.AveragePool2D:
		return l
	default:
		return nil
	}
}
