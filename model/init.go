package model

import (
	"math"

	"gorgonia.org/tensor"

	"gcnn/internal/philox"
)

// InitialWeights draws every parameter of the network from a seed: float32 tensors in Keras' layout, by name. The numbers are
// Philox', counted by the parameter's place in the network and the element: the same on every machine. Kernels that start from
// the training images are zero until Whiten sets them.
func (n *Network) InitialWeights(seed uint64) map[string]*tensor.Dense {
	weights := map[string]*tensor.Dense{}
	for i, p := range n.Params() {
		values := make([]float32, p.Size())
		switch p.Init {
		case GlorotUniform:
			uniform(values, math.Sqrt(6/float64(p.FanIn+p.FanOut)), seed, uint32(i))
		case HeUniform:
			uniform(values, math.Sqrt(6/float64(p.FanIn)), seed, uint32(i))
		case Ones:
			for k := range values {
				values[k] = 1
			}
		case Zeros, Whitening:
		}
		weights[p.Name] = tensor.New(tensor.WithShape(p.Shape...), tensor.WithBacking(values))
	}
	return weights
}

// uniform fills values uniformly from [−limit, limit).
func uniform(values []float32, limit float64, seed uint64, param uint32) {
	for k := 0; k < len(values); k += 4 {
		block := uint64(k / 4)
		w := philox.Words(seed, philox.Init, uint32(block), uint32(block>>32), param)
		for j, word := range w[:min(4, len(values)-k)] {
			values[k+j] = float32(limit * (2*float64(philox.Unit(word)) - 1))
		}
	}
}
