package reference

import "math"

// probabilities are a softmax: pᵢ = exp(zᵢ − max z)/Σⱼ exp(zⱼ − max z), and what the loss needs of it.
type probabilities struct {
	p       []Ball
	shifted []float64 // z − max z
	logSum  Ball      // ln Σ exp(z − max z)
}

// softmax bounds its radii from those of z by p′ᵢ/pᵢ ≤ exp(rᵢ)·Σ pⱼ·exp(rⱼ), and from the arithmetic by the relative error of
// each exponential (its own, and u of the rounded exponent), of their sum and of the division.
func softmax(z []Ball) probabilities {
	top, widest := math.Inf(-1), 0.0
	for _, e := range z {
		top, widest = max(top, e.V), max(widest, e.R)
	}
	s := probabilities{p: make([]Ball, len(z)), shifted: make([]float64, len(z))}
	total := 0.0
	for i, e := range z {
		s.shifted[i] = e.V - top
		total += math.Exp(s.shifted[i])
	}
	errors := make([]float64, len(z)) // relative, of each exponential
	spread, sumError := 0.0, gamma(len(z)+1)
	for i, e := range z {
		p := math.Exp(s.shifted[i]) / total
		s.p[i].V = p
		errors[i] = expError + 2*u*(math.Abs(s.shifted[i])+e.R+widest)
		spread += p * math.Exp(e.R)
		sumError += p * errors[i]
	}
	for i, e := range z {
		relative := math.Exp(e.R)*spread*(1+errors[i]+sumError+3*u) - 1
		s.p[i].R = min(known(s.p[i].V*relative+2*tiny), 1)
	}
	s.logSum = Ball{math.Log(total), known(math.Log(spread) + sumError + logError*math.Log(total))}
	return s
}

// softmaxGradient writes dzᵢ = pᵢ·(dyᵢ − Σⱼ pⱼ·dyⱼ).
func softmaxGradient(p, dy, dz []Ball) {
	var dot sum
	for i := range p {
		dot.addProduct(p[i], dy[i])
	}
	for i := range p {
		dz[i] = p[i].mul(dy[i].sub(dot.ball()))
	}
}

// crossEntropy is the loss of a batch: L = wᵧ·Σₖ tₖ·(ln Σⱼ exp zⱼ − zₖ) for each sample, with targets t = (1−s)·onehot + s/K.
type crossEntropy struct {
	smoothing    float64
	classWeights []float64 // nil is 1
}

// outcome is what a loss says of a batch.
type outcome struct {
	losses        []Ball
	p, dz         *Tensor // probabilities and the gradient of the mean loss at the logits, [n, classes]
	correct, open int     // samples that every implementation classifies correctly; those where it depends on rounding
}

// loss is the mean over the batch. A device may sum in float32.
func (o outcome) loss() Ball { return o.lossSum().mul(constant(1 / float64(len(o.losses)))) }

func (o outcome) lossSum() Ball {
	var s sum
	for _, l := range o.losses {
		s.add(l)
	}
	return s.ball()
}

// of computes the loss, its gradient and the samples classified correctly from logits [n, classes].
func (c crossEntropy) of(z *Tensor, labels []uint16) outcome {
	n, k := z.Shape[0], z.Shape[1]
	o := outcome{losses: make([]Ball, n), p: like(z, make([]Ball, n*k)), dz: like(z, make([]Ball, n*k))}
	for s := range n {
		row, label := z.Elems[s*k:(s+1)*k], int(labels[s])
		soft := softmax(row)
		copy(o.p.Elems[s*k:], soft.p)
		weight := exact(1)
		if c.classWeights != nil {
			weight = exact(c.classWeights[label])
		}
		loss, magnitude := soft.logSum, math.Abs(soft.logSum.V)
		scale := weight.div(exact(float64(n)))
		for j := range k {
			target := exact(c.smoothing / float64(k)).rounded(2)
			if j == label {
				target = exact(1 - c.smoothing + c.smoothing/float64(k)).rounded(3)
			}
			if c.smoothing == 0 {
				target.R = 0
			}
			loss.V -= target.V * soft.shifted[j]
			loss.R += target.V * row[j].R
			magnitude += target.V * math.Abs(soft.shifted[j])
			o.dz.Elems[s*k+j] = soft.p[j].sub(target).mul(scale)
		}
		terms := 4
		if c.smoothing > 0 {
			terms += k + 4
		}
		o.losses[s] = loss.wider(gamma(terms) * magnitude)
		if c.classWeights != nil {
			o.losses[s] = o.losses[s].mul(weight)
		}
		switch rank(row, soft.p, label) {
		case first:
			o.correct++
		case contested:
			o.open++
		}
	}
	return o
}

// A label's rank among the classes.
const (
	beaten = iota
	contested
	first
)

// rank says whether a label has the largest output, the first one of equals, for every implementation. Outputs may be compared
// as logits or as probabilities.
func rank(z, p []Ball, label int) int {
	result := first
	for j := range z {
		if j == label {
			continue
		}
		gapZ, gapP := z[label].V-z[j].V, p[label].V-p[j].V
		doubtZ, doubtP := z[label].R+z[j].R, p[label].R+p[j].R
		switch {
		case gapZ < -doubtZ && gapP < -doubtP, gapZ == 0 && doubtZ == 0 && j < label:
			return beaten
		case gapZ == 0 && doubtZ == 0: // an exact tie that the first wins
		case gapZ <= doubtZ || gapP <= doubtP:
			result = contested
		}
	}
	return result
}
