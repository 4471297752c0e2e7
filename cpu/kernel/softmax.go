package kernel

import "math"

// Softmax computes y[p][c] = e^(x−max)/Σ over n consecutive vectors of each position: the units of a flat feature or the channels of a position.
// y may be x. A NaN makes all of its lane NaN.
func (k *Kernels) Softmax(y, x []float32, n, positions int) {
	if n <= 0 || positions <= 0 {
		return
	}
	y, x = vectors(y, n*positions), vectors(x, n*positions)
	for at := 0; at < len(x); at += n * Lanes {
		var s softmaxSums
		xs, ys := x[at:][:n*Lanes], y[at:][:n*Lanes]
		k.impl.softmax.top(xs, &s)
		k.impl.softmax.exp(ys, xs, &s)
		k.impl.softmax.divide(ys, ys, &s)
	}
}

// SoftmaxGrad computes dx = y·(dy − Σ dy·y), over the same vectors as Softmax. dx may be dy.
func (k *Kernels) SoftmaxGrad(dx, dy, y []float32, n, positions int) {
	if n > 0 && positions > 0 {
		k.impl.softmaxGrad(vectors(dx, n*positions), vectors(dy, n*positions), vectors(y, n*positions), n, positions)
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
}

// SoftmaxCrossEntropy computes the probabilities p of a group's logits z, [Classes] vectors, the gradient dz = scale·w·(p − target), and each sample's
// loss. A negative label marks a lane of padding, whose gradient and loss are 0. scale is 1/batch. p and dz may be nil; either may be z.
// A label is below Classes.
func (k *Kernels) SoftmaxCrossEntropy(ce *CrossEntropy, dz, p, z []float32, labels *[Lanes]int32, scale float32, out *Scores) {
	n := ce.Classes
	z = vectors(z, n)
	var s softmaxSums
	var atLabel [Lanes]float32
	k.impl.softmax.top(z, &s)
	for l, label := range labels {
		if label >= 0 {
			atLabel[l] = z[int(label)*Lanes+l] - s.max[l]
		}
	}
	switch {
	case p == nil && dz == nil:
		var scratch [Lanes * Lanes]float32
		for c0 := 0; c0 < n; c0 += Lanes {
			b := min(Lanes, n-c0)
			k.impl.softmax.exp(scratch[:b*Lanes], z[c0*Lanes:][:b*Lanes], &s)
		}
	case p == nil:
		dz = vectors(dz, n)
		k.impl.softmax.exp(dz, z, &s)
		k.lossGrad(ce, dz, dz, labels, scale, &s)
	default:
		p = vectors(p, n)
		k.impl.softmax.exp(p, z, &s)
		if dz != nil {
			k.lossGrad(ce, vectors(dz, n), p, labels, scale, &s)
		}
		k.impl.softmax.divide(p, p, &s)
	}
	smooth := float64(ce.Smoothing)
	for l, label := range labels {
		out.Loss[l], out.Correct[l] = 0, false
		if label < 0 {
			continue
		}
		logSum := math.Log(float64(s.sum[l]))
		loss := logSum - float64(atLabel[l])
		if smooth != 0 {
			loss = (1-smooth)*loss + smooth*(logSum-float64(s.rest[l])/float64(n))
		}
		if ce.Weights != nil {
			loss *= float64(ce.Weights[label])
		}
		out.Loss[l], out.Correct[l] = loss, s.best[l] == float32(label)
	}
}

// lossGrad makes the gradient of the exponentials e.
func (k *Kernels) lossGrad(ce *CrossEntropy, dz, e []float32, labels *[Lanes]int32, scale float32, s *softmaxSums) {
	var factor [Lanes]float32
	for l, label := range labels {
		factor[l] = scale
		if label >= 0 && ce.Weights != nil {
			factor[l] *= ce.Weights[label]
		}
	}
	off := ce.Smoothing / float32(ce.Classes)
	k.impl.softmax.lossGrad(dz, e, labels, &factor, (1-ce.Smoothing)+off, off, s)
}

// softmaxSums is what the passes over the classes of 16 samples pass on: the largest logit, the class where it is first (of NaNs the last),
// Σ e^(z−max) and Σ (z−max).
type softmaxSums struct{ max, best, sum, rest [Lanes]float32 }

// softmaxKernels says whose passes they are: 0 is portable. They are called directly, so that nothing escapes.
type softmaxKernels int

func topPortable(z []float32, s *softmaxSums) {
	s.max, s.best = *vec(z, 0), [Lanes]float32{}
	for i := 0; i < len(z); i += Lanes {
		for l, v := range vec(z, i) {
			if v > s.max[l] || v != v {
				s.max[l], s.best[l] = v, float32(i/Lanes)
			}
		}
	}
}

// expShiftedPortable computes e = e^(z−max) and adds to the sums, class by class.
func expShiftedPortable(e, z []float32, s *softmaxSums) {
	for i := 0; i < len(z); i += Lanes {
		v, o := vec(z, i), vec(e, i)
		for l := range v {
			d := v[l] - s.max[l]
			s.rest[l] += d
			o[l] = exp(d)
			s.sum[l] += o[l]
		}
	}
}

func dividePortable(p, e []float32, s *softmaxSums) {
	for i := 0; i < len(e); i += Lanes {
		v, o := vec(e, i), vec(p, i)
		for l := range v {
			o[l] = v[l] / s.sum[l]
		}
	}
}

// lossGradPortable computes dz = factor·(e/sum − target), 0 where there is no label; the target is on in the label's class, else off.
func lossGradPortable(dz, e []float32, labels *[Lanes]int32, factor *[Lanes]float32, on, off float32, s *softmaxSums) {
	for i := 0; i < len(e); i += Lanes {
		v, d := vec(e, i), vec(dz, i)
		for l, label := range labels {
			t := off
			if int(label) == i/Lanes {
				t = on
			}
			if t = factor[l] * (v[l]/s.sum[l] - t); label < 0 {
				t = 0
			}
			d[l] = t
		}
	}
}
