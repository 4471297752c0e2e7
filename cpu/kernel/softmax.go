package kernel

import "math"

// Softmax computes y[p][c] = e^(x−max)/Σ over n consecutive vectors of each position: the units of a flat feature or the channels of a position.
// y may be x.
func (k *Kernels) Softmax(y, x []float32, n, positions int) {
	if n > 0 && positions > 0 {
		softmax(k.impl.exp, vectors(y, n*positions), vectors(x, n*positions), n, positions)
	}
}

// SoftmaxGrad computes dx = y·(dy − Σ dy·y), over the same vectors as Softmax. dx may be dy.
func (k *Kernels) SoftmaxGrad(dx, dy, y []float32, n, positions int) {
	if n > 0 && positions > 0 {
		k.impl.softmaxGrad(vectors(dx, n*positions), vectors(dy, n*positions), vectors(y, n*positions), n, positions)
	}
}

// softmax takes the max, the exponentials, their sum in the order of the classes, and quotients. A NaN makes all of its lane NaN.
func softmax(kind int, y, x []float32, n, positions int) {
	for p := range positions {
		xs, ys := x[p*n*Lanes:][:n*Lanes], y[p*n*Lanes:][:n*Lanes]
		m := *vec(xs, 0)
		for c := 1; c < n; c++ {
			for l, v := range vec(xs, c*Lanes) {
				if v > m[l] || v != v {
					m[l] = v
				}
			}
		}
		var sum [Lanes]float32
		expShifted(kind, ys, xs, &m, &sum)
		for c := range n {
			e := vec(ys, c*Lanes)
			for l := range e {
				e[l] /= sum[l]
			}
		}
	}
}

func softmaxGradPortable(dx, dy, y []float32, n, positions int) {
	for p := range positions {
		o := p * n * Lanes
		var dot [Lanes]float32
		for c := range n {
			d, v := vec(dy, o+c*Lanes), vec(y, o+c*Lanes)
			for l := range d {
				dot[l] += d[l] * v[l]
			}
		}
		for c := range n {
			d, v, out := vec(dy, o+c*Lanes), vec(y, o+c*Lanes), vec(dx, o+c*Lanes)
			for l := range d {
				out[l] = v[l] * (d[l] - dot[l])
			}
		}
	}
}

// CrossEntropy describes the loss of a softmax from its logits: −w·Σ target·ln p, target = y·(1−Smoothing) + Smoothing/Classes and w the
// weight of the label's class.
type CrossEntropy struct {
	Classes   int
	Smoothing float32
	Weights   []float32 // one for each class; nil is 1
}

// Scores are what SoftmaxCrossEntropy finds for the 16 samples; lanes without a label are 0 and false.
type Scores struct {
	Loss    [Lanes]float64
	Correct [Lanes]bool // the first of the largest logits is the label's

	max, sum [Lanes]float32 // of the logits and of their exponentials: here, they are no allocation
}

// SoftmaxCrossEntropy computes the probabilities p of a group's logits z, [Classes] vectors, the gradient dz = scale·w·(p − target), and each sample's
// loss. A negative label marks a lane of padding, whose gradient and loss are 0. scale is 1/batch. p and dz may be nil; either may be z.
// A label is below Classes.
func (k *Kernels) SoftmaxCrossEntropy(ce *CrossEntropy, dz, p, z []float32, labels *[Lanes]int32, scale float32, out *Scores) {
	n := ce.Classes
	z = vectors(z, n)
	var atLabel, total [Lanes]float32
	max, sum := &out.max, &out.sum
	*max, *sum = *vec(z, 0), [Lanes]float32{}
	var best [Lanes]int32
	for c := 1; c < n; c++ {
		for l, v := range vec(z, c*Lanes) {
			if v > max[l] || v != v {
				max[l], best[l] = v, int32(c)
			}
		}
	}
	for l, label := range labels {
		if label >= 0 {
			atLabel[l] = z[int(label)*Lanes+l] - max[l]
		}
	}
	if ce.Smoothing != 0 {
		for c := range n {
			for l, v := range vec(z, c*Lanes) {
				total[l] += v - max[l]
			}
		}
	}
	target := p
	if target == nil {
		target = dz
	}
	if target == nil {
		var scratch [Lanes * Lanes]float32
		for c0 := 0; c0 < n; c0 += Lanes {
			b := min(Lanes, n-c0)
			expShifted(k.impl.exp, scratch[:b*Lanes], z[c0*Lanes:][:b*Lanes], max, sum)
		}
	} else {
		target = vectors(target, n)
		expShifted(k.impl.exp, target, z, max, sum)
		k.finish(ce, dz, p, target, labels, sum, scale)
	}
	smooth := float64(ce.Smoothing)
	for l, label := range labels {
		out.Loss[l], out.Correct[l] = 0, false
		if label < 0 {
			continue
		}
		logSum := math.Log(float64(sum[l]))
		loss := logSum - float64(atLabel[l])
		if smooth != 0 {
			loss = (1-smooth)*loss + smooth*(logSum-float64(total[l])/float64(n))
		}
		if ce.Weights != nil {
			loss *= float64(ce.Weights[label])
		}
		out.Loss[l], out.Correct[l] = loss, best[l] == label
	}
}

// finish divides the exponentials by their sum and makes the gradient.
func (k *Kernels) finish(ce *CrossEntropy, dz, p, e []float32, labels *[Lanes]int32, sum *[Lanes]float32, scale float32) {
	var factor [Lanes]float32
	for l, label := range labels {
		if label >= 0 {
			factor[l] = scale
			if ce.Weights != nil {
				factor[l] *= ce.Weights[label]
			}
		}
	}
	off := ce.Smoothing / float32(ce.Classes)
	on := (1 - ce.Smoothing) + off
	for c := range ce.Classes {
		v := *vec(e, c*Lanes)
		for l := range v {
			v[l] /= sum[l]
		}
		if p != nil {
			*vec(p, c*Lanes) = v
		}
		if dz == nil {
			continue
		}
		d := vec(dz, c*Lanes)
		for l := range v {
			t := off
			if labels[l] == int32(c) {
				t = on
			}
			if labels[l] < 0 {
				d[l] = 0
			} else {
				d[l] = factor[l] * (v[l] - t)
			}
		}
	}
}

// expShiftedPortable computes e = e^(z−max) and adds to sum, class by class.
func expShiftedPortable(e, z []float32, max, sum *[Lanes]float32) {
	for i := 0; i < len(z); i += Lanes {
		v, o := vec(z, i), vec(e, i)
		for l := range v {
			o[l] = exp(v[l] - max[l])
			sum[l] += o[l]
		}
	}
}
