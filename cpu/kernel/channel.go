package kernel

// AddPositions adds positions to accumulators: acc[c] += Σ_p x[p][c], vectors, for n consecutive vectors of each position. With ReduceLanes it is the
// bias gradient and the sums of batch normalisation. stride is in vectors, from one position to the next.
func (k *Kernels) AddPositions(acc, x []float32, n, stride, positions int) {
	if n > 0 && positions > 0 {
		k.impl.addPositions(vectors(acc, n), vectors(x, (positions-1)*stride+n), stride, positions)
	}
}

func addPositionsPortable(acc, x []float32, stride, positions int) {
	for i := 0; i < len(acc); i += 8 {
		a := (*[8]float32)(acc[i:])
		a0, a1, a2, a3, a4, a5, a6, a7 := a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]
		for p := range positions {
			v := (*[8]float32)(x[p*stride*Lanes+i:])
			a0 += v[0]
			a1 += v[1]
			a2 += v[2]
			a3 += v[3]
			a4 += v[4]
			a5 += v[5]
			a6 += v[6]
			a7 += v[7]
		}
		*a = [8]float32{a0, a1, a2, a3, a4, a5, a6, a7}
	}
}

// Add computes dst = a + b; dst may be a or b.
func (k *Kernels) Add(dst, a, b []float32) {
	if len(dst) > 0 {
		k.impl.add(dst, a[:len(dst)], b[:len(dst)])
	}
}

// Mul computes dst = a·b; dst may be a or b.
func (k *Kernels) Mul(dst, a, b []float32) {
	if len(dst) > 0 {
		k.impl.mul(dst, a[:len(dst)], b[:len(dst)])
	}
}

// Scale computes dst = a·s; dst may be a.
func (k *Kernels) Scale(dst, a []float32, s float32) {
	a = a[:len(dst)]
	if len(dst) > 0 {
		k.impl.scale(dst, a, s)
	}
}

func scalePortable(dst, a []float32, s float32) {
	for i, v := range a {
		dst[i] = v * s
	}
}

func addPortable(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i, v := range a {
		dst[i] = v + b[i]
	}
}

func mulPortable(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i, v := range a {
		dst[i] = v * b[i]
	}
}
