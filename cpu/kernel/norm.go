package kernel

// Norm is a batch normalisation of each channel, y = x·Scale + Shift with Scale = γ/√(var+ε) and Shift = β − Mean·Scale, and the ReLU that
// may follow it. Offset and Slope are of the gradient at the input alone. All that are used have one length, the number of channels.
type Norm struct {
	Mean, Scale, Shift []float32
	Offset, Slope      []float32
	ReLU               bool // y = max(x·Scale + Shift, 0); gradients pass where y is above 0
	Across             bool // the lanes are channels: numbers lie as the vectors of a position do
}

// vectors is how many vectors a position has that has these numbers.
func (n *Norm) vectors(numbers []float32) int {
	if n.Across {
		return len(numbers) / Lanes
	}
	return len(numbers)
}

// lane is where vector v's number for a lane lies.
func (n *Norm) lane(v, l int) int {
	if n.Across {
		return v*Lanes + l
	}
	return v
}

// AddSquares adds squared distances: acc[c] += Σ_p (x[p][c] − Mean[c])².
func (k *Kernels) AddSquares(acc, x []float32, n *Norm, positions int) {
	k.impl.addSquares(vectors(acc, n.vectors(n.Mean)), vectors(x, n.vectors(n.Mean)*positions), n, positions)
}

func addSquaresPortable(acc, x []float32, n *Norm, positions int) {
	channels := n.vectors(n.Mean)
	for p := range positions {
		for c := range channels {
			a, v := vec(acc, c*Lanes), vec(x, (p*channels+c)*Lanes)
			for l := range a {
				d := v[l] - n.Mean[n.lane(c, l)]
				a[l] += d * d
			}
		}
	}
}

// Affine computes y = x·Scale[c] + Shift[c] for each channel, and its ReLU; y may be x.
func (k *Kernels) Affine(y, x []float32, n *Norm, positions int) {
	channels := n.vectors(n.Scale)
	_ = n.Shift[:len(n.Scale)]
	k.impl.affine(vectors(y, channels*positions), vectors(x, channels*positions), n, positions)
}

func affinePortable(y, x []float32, n *Norm, positions int) {
	channels := n.vectors(n.Scale)
	for p := range positions {
		for c := range channels {
			i := (p*channels + c) * Lanes
			o, v := vec(y, i), vec(x, i)
			for l := range o {
				at := n.lane(c, l)
				o[l] = v[l]*n.Scale[at] + n.Shift[at]
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
	channels := n.vectors(n.Scale)
	_, _ = n.Mean[:len(n.Scale)], n.Shift[:len(n.Scale)]
	k.impl.normGrads(vectors(sums, channels), vectors(products, channels), vectors(dy, channels*positions), vectors(x, channels*positions), n, positions)
}

func normGradsPortable(sums, products, dy, x []float32, n *Norm, positions int) {
	channels := n.vectors(n.Scale)
	for p := range positions {
		for c := range channels {
			i := (p*channels + c) * Lanes
			a, b, d, v := vec(sums, c*Lanes), vec(products, c*Lanes), *vec(dy, i), vec(x, i)
			if n.ReLU {
				n.passed(&d, v, c)
			}
			for l := range a {
				a[l] += d[l]
				b[l] += d[l] * (v[l] - n.Mean[n.lane(c, l)])
			}
		}
	}
}

// NormInputGrad computes dx = dy·Scale[c] + Offset[c] − (x − Mean[c])·Slope[c] for each channel. With a ReLU dy is the gradient at its
// output. dx may be dy.
func (k *Kernels) NormInputGrad(dx, dy, x []float32, n *Norm, positions int) {
	channels := n.vectors(n.Scale)
	m := len(n.Scale)
	_, _, _, _ = n.Mean[:m], n.Shift[:m], n.Offset[:m], n.Slope[:m]
	k.impl.normInputGrad(vectors(dx, channels*positions), vectors(dy, channels*positions), vectors(x, channels*positions), n, positions)
}

func normInputGradPortable(dx, dy, x []float32, n *Norm, positions int) {
	channels := n.vectors(n.Scale)
	for p := range positions {
		for c := range channels {
			i := (p*channels + c) * Lanes
			o, d, v := vec(dx, i), *vec(dy, i), vec(x, i)
			if n.ReLU {
				n.passed(&d, v, c)
			}
			for l := range o {
				at := n.lane(c, l)
				t := d[l]*n.Scale[at] + n.Offset[at]
				o[l] = t - (v[l]-n.Mean[at])*n.Slope[at]
			}
		}
	}
}

// passed zeroes the gradient of vector c where a ReLU took nothing of x·scale + shift.
func (n *Norm) passed(d, x *[Lanes]float32, c int) {
	for l, v := range x {
		at := n.lane(c, l)
		if y := v*n.Scale[at] + n.Shift[at]; !(y > 0) {
			d[l] = 0
		}
	}
}
