package kernel

// Norm is a batch normalisation of each channel, y = x·Scale + Shift with Scale = γ/√(var+ε) and Shift = β − Mean·Scale, and the ReLU that
// may follow it. Offset and Slope are of the gradient at the input alone. All that are used have one length, the number of channels.
type Norm struct {
	Mean, Scale, Shift []float32
	Offset, Slope      []float32
	ReLU               bool // y = max(x·Scale + Shift, 0); gradients pass where y is above 0
}

// Affine computes y = x·Scale[c] + Shift[c] for each channel, and its ReLU; y may be x.
func (k *Kernels) Affine(y, x []float32, n *Norm, positions int) {
	channels := len(n.Scale)
	_ = n.Shift[:channels]
	k.impl.affine(vectors(y, channels*positions), vectors(x, channels*positions), n, positions)
}

func affinePortable(y, x []float32, n *Norm, positions int) {
	channels := len(n.Scale)
	for p := range positions {
		for c, s := range n.Scale {
			i := (p*channels + c) * Lanes
			o, v, b := vec(y, i), vec(x, i), n.Shift[c]
			for l := range o {
				o[l] = v[l]*s + b
			}
			if n.ReLU {
				for l, v := range o {
					o[l] = relu(v)
				}
			}
		}
	}
}

// NormGrads adds the gradients at the output and their products with the distances from the mean, for each channel:
// sums[c] += Σ_p dy[p][c] and products[c] += Σ_p dy[p][c]·(x[p][c] − Mean[c]). With a ReLU dy is the gradient at its output.
func (k *Kernels) NormGrads(sums, products, dy, x []float32, n *Norm, positions int) {
	channels := len(n.Scale)
	_, _ = n.Mean[:channels], n.Shift[:channels]
	k.impl.normGrads(vectors(sums, channels), vectors(products, channels), vectors(dy, channels*positions), vectors(x, channels*positions), n, positions)
}

func normGradsPortable(sums, products, dy, x []float32, n *Norm, positions int) {
	channels := len(n.Scale)
	for p := range positions {
		for c, m := range n.Mean[:channels] {
			i := (p*channels + c) * Lanes
			a, b, d, v := vec(sums, c*Lanes), vec(products, c*Lanes), *vec(dy, i), vec(x, i)
			if n.ReLU {
				passed(&d, v, n.Scale[c], n.Shift[c])
			}
			for l := range a {
				a[l] += d[l]
				b[l] += d[l] * (v[l] - m)
			}
		}
	}
}

// NormInputGrad computes dx = dy·Scale[c] + Offset[c] − (x − Mean[c])·Slope[c] for each channel. With a ReLU dy is the gradient at its
// output. dx may be dy.
func (k *Kernels) NormInputGrad(dx, dy, x []float32, n *Norm, positions int) {
	channels := len(n.Scale)
	_, _, _, _ = n.Mean[:channels], n.Shift[:channels], n.Offset[:channels], n.Slope[:channels]
	k.impl.normInputGrad(vectors(dx, channels*positions), vectors(dy, channels*positions), vectors(x, channels*positions), n, positions)
}

func normInputGradPortable(dx, dy, x []float32, n *Norm, positions int) {
	channels := len(n.Scale)
	for p := range positions {
		for c, s := range n.Scale {
			i := (p*channels + c) * Lanes
			o, d, v := vec(dx, i), *vec(dy, i), vec(x, i)
			if n.ReLU {
				passed(&d, v, s, n.Shift[c])
			}
			b, m, slope := n.Offset[c], n.Mean[c], n.Slope[c]
			for l := range o {
				t := d[l]*s + b
				o[l] = t - (v[l]-m)*slope
			}
		}
	}
}

// passed zeroes a gradient where a ReLU took nothing of x·scale + shift.
func passed(d, x *[Lanes]float32, scale, shift float32) {
	for l, v := range x {
		if y := v*scale + shift; !(y > 0) {
			d[l] = 0
		}
	}
}
