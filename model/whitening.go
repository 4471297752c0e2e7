package model

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
	"gorgonia.org/tensor"
)

// whiteningEpsilon keeps patches of little variance from being blown up: each filter is v/√(λ + whiteningEpsilon).
const whiteningEpsilon = 0.01

// checkWhitening reports a whitening initialiser where no images could set it.
func checkWhitening(inputs []int, r resolved) error {
	for _, p := range r.params {
		if p.Init != Whitening {
			continue
		}
		conv, ok := r.layer.(Conv2D)
		switch {
		case !ok || len(inputs) != 1 || inputs[0] != Input || conv.Groups != 1:
			return fmt.Errorf("the initializer whitening belongs to a conv2d of one group that reads the network's input")
		case conv.Filters%2 != 0 || conv.Filters/2 > p.FanIn:
			return fmt.Errorf("the initializer whitening makes an even number of filters, at most twice the %d elements of a patch, got %d",
				p.FanIn, conv.Filters)
		}
	}
	return nil
}

// NeedsImages reports whether Whiten has something to set.
func (n *Network) NeedsImages() bool {
	for _, p := range n.Params() {
		if p.Init == Whitening {
			return true
		}
	}
	return false
}

// Whiten sets the kernels whose initialiser is Whitening from training images: the filters are ± the eigenvectors v of the second
// moments of the image's patches, those of the largest eigenvalues λ first, each divided by √(λ + 0.01): first all with +, then all
// with − (Keller Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, section 3.1). image returns image i of count,
// [height][width][channels], normalised as the network will see it; it may reuse its memory.
func (n *Network) Whiten(weights map[string]*tensor.Dense, count int, image func(i int) []float32) error {
	for _, node := range n.Nodes {
		for _, p := range node.Params {
			if p.Init != Whitening {
				continue
			}
			conv, ok := node.Layer.(Conv2D)
			kernel, have := weights[p.Name]
			if !ok || !have || count < 1 {
				return invalid("%s: whitening needs the kernel and one image or more", p.Name)
			}
			if err := whiten(kernel, conv, n.Input, count, image); err != nil {
				return invalid("%s: %w", p.Name, err)
			}
		}
	}
	return nil
}

func whiten(kernel *tensor.Dense, conv Conv2D, in Shape, count int, image func(i int) []float32) error {
	size := conv.KernelSize.H * conv.KernelSize.W * in[2]
	moments := mat.NewSymDense(size, nil)
	patch := make([]float64, size)
	patches := 0
	sums := make([]float64, size*size)
	for i := range count {
		pixels := image(i)
		for y := 0; y+conv.KernelSize.H <= in[0]; y++ {
			for x := 0; x+conv.KernelSize.W <= in[1]; x++ {
				row := conv.KernelSize.W * in[2]
				for ky := range conv.KernelSize.H {
					for k, v := range pixels[((y+ky)*in[1]+x)*in[2]:][:row] {
						patch[ky*row+k] = float64(v)
					}
				}
				for a, va := range patch {
					for b, vb := range patch[:a+1] {
						sums[a*size+b] += va * vb
					}
				}
				patches++
			}
		}
	}
	if patches == 0 {
		return fmt.Errorf("a %v patch does not fit an image of %v", conv.KernelSize, in)
	}
	for a := range size {
		for b := range a + 1 {
			moments.SetSym(a, b, sums[a*size+b]/float64(patches))
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(moments, true) {
		return fmt.Errorf("the eigenvectors of its %d×%d second moments were not found", size, size)
	}
	values := eigen.Values(nil) // ascending
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	w := kernel.Data().([]float32)
	half := conv.Filters / 2
	for f := range half {
		column := size - 1 - f
		scale := 1 / math.Sqrt(max(values[column], 0)+whiteningEpsilon)
		// An eigenvector's sign is arbitrary: the largest element is made positive.
		largest := 0.0
		for t := range size {
			if v := vectors.At(t, column); math.Abs(v) > math.Abs(largest)*(1+1e-9) {
				largest = v
			}
		}
		if largest < 0 {
			scale = -scale
		}
		for t := range size {
			v := float32(scale * vectors.At(t, column))
			w[t*conv.Filters+f], w[t*conv.Filters+half+f] = v, -v
		}
	}
	return nil
}
