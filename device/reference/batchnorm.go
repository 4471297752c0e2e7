package reference

import (
	"math"

	"gcnn/device"
	"gcnn/model"
)

// batchNorm is BatchNormalization: y = γ·(x−mean)·istd + β with istd = 1/√(var+ε), for each channel, over the statistics of the
// batch or, in inference mode, the moving ones. gamma and beta are nil where there are none.
type batchNorm struct {
	spec                         model.BatchNormalization
	gamma, beta                  *Tensor
	movingMean, movingVariance   *Tensor
	names                        paramNames
	batch                        bool // statistics of the batch
	x, normal                    *Tensor
	istd                         []Ball
	updatedMean, updatedVariance *Tensor // nil unless batch
}

func (b *batchNorm) forward(x []*Tensor) *Tensor {
	b.x = x[0]
	channels := len(b.movingMean.Elems)
	b.normal = like(b.x, make([]Ball, len(b.x.Elems)))
	b.istd = make([]Ball, channels)
	y := like(b.x, make([]Ball, len(b.x.Elems)))
	if b.batch {
		b.updatedMean = like(b.movingMean, make([]Ball, channels))
		b.updatedVariance = like(b.movingMean, make([]Ball, channels))
	}
	epsilon := constant(device.Decimal(b.spec.Epsilon))
	for c := range channels {
		mean, variance := b.movingMean.Elems[c], b.movingVariance.Elems[c]
		if b.batch {
			mean, variance = b.statistics(c, channels)
			b.updatedMean.Elems[c] = b.moved(b.movingMean.Elems[c], mean)
			b.updatedVariance.Elems[c] = b.moved(b.movingVariance.Elems[c], variance)
		}
		b.istd[c] = exact(1).div(variance.add(epsilon).sqrt())
		scale := b.scale(c)
		for i := c; i < len(y.Elems); i += channels {
			b.normal.Elems[i] = b.x.Elems[i].sub(mean).mul(b.istd[c])
			e := b.normal.Elems[i].mul(b.factor(c))
			if b.beta != nil {
				e = e.add(b.beta.Elems[c])
			}
			// The form x·scale + (β − mean·scale) is allowed: its terms are rounded at their own size.
			e.R += gamma(3) * (b.x.Elems[i].magnitude() + mean.magnitude()) * scale.magnitude()
			y.Elems[i] = e.rounded(1)
		}
	}
	return y
}

// factor is γ, 1 where there is none.
func (b *batchNorm) factor(c int) Ball {
	if b.gamma == nil {
		return exact(1)
	}
	return b.gamma.Elems[c]
}

func (b *batchNorm) scale(c int) Ball { return b.istd[c].mul(b.factor(c)) }

// statistics are the mean and the biased variance of a channel.
//
// The variance's radius: with δ the errors of x, Var(x+δ) − Var(x) = 2·Cov(x, δ) + Var(δ); an error e of the computed mean
// adds e² to it; and the arithmetic of the two-pass formula and of the updating ones (Welford's and Chan's) is within γ·κ·Var,
// κ² = 1 + mean²/Var (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983, table 1). The textbook
// form E[x²] − mean², whose error grows with κ², is not within it.
func (b *batchNorm) statistics(c, channels int) (mean, variance Ball) {
	var total sum
	for i := c; i < len(b.x.Elems); i += channels {
		total.add(b.x.Elems[i])
	}
	m := float64(total.n)
	mean = total.ball().mul(constant(1 / m))
	for i := c; i < len(b.x.Elems); i += channels {
		e := b.x.Elems[i]
		d := e.V - mean.V
		variance.V += d * d / m
		variance.R += (2*math.Abs(d)*e.R + e.R*e.R) / m
	}
	arithmetic := gamma(total.n+6) * math.Sqrt(variance.V*(variance.V+mean.V*mean.V))
	rounding := gamma(total.n+4) * total.outer / m // of the mean alone
	variance.R += arithmetic + rounding*rounding
	return mean, variance.rounded(3)
}

// moved is moving·momentum + batch·(1−momentum), also in the form moving + (batch−moving)·(1−momentum).
func (b *batchNorm) moved(moving, batch Ball) Ball {
	momentum := device.Decimal(b.spec.Momentum)
	m := moving.mul(constant(momentum)).add(batch.mul(constant(1 - momentum)))
	return m.wider(gamma(2) * (1 - momentum) * (moving.magnitude() + batch.magnitude()))
}

// backward: dβ = Σdy, dγ = Σ dy·x̂, dx = γ·istd·(dy − dβ/m − x̂·dγ/m); with moving statistics dx = γ·istd·dy.
func (b *batchNorm) backward(dy *Tensor) ([]*Tensor, map[string]*Tensor) {
	channels := len(b.movingMean.Elems)
	dgamma, dbeta := make([]Ball, channels), make([]Ball, channels)
	dx := like(b.x, make([]Ball, len(b.x.Elems)))
	for c := range channels {
		var sumDY, sumDYX sum
		for i := c; i < len(dx.Elems); i += channels {
			sumDY.add(dy.Elems[i])
			sumDYX.addProduct(dy.Elems[i], b.normal.Elems[i])
		}
		dgamma[c], dbeta[c] = sumDYX.ball(), sumDY.ball()
		inverse := constant(1 / float64(sumDY.n))
		scale := b.scale(c)
		for i := c; i < len(dx.Elems); i += channels {
			d := dy.Elems[i]
			if b.batch {
				var s sum
				s.add(d)
				s.add(exact(-1).mul(dbeta[c].mul(inverse)))
				s.add(exact(-1).mul(b.normal.Elems[i].mul(dgamma[c].mul(inverse))))
				d = s.ball()
			}
			dx.Elems[i] = d.mul(scale)
		}
	}
	grads := map[string]*Tensor{}
	if b.gamma != nil {
		grads[b.names.gamma] = like(b.gamma, dgamma)
	}
	if b.beta != nil {
		grads[b.names.beta] = like(b.beta, dbeta)
	}
	return []*Tensor{dx}, grads
}
