package reference

import (
	"math"

	"gcnn/device"
	"gcnn/model"
)

// lrn is LocalResponseNormalization: y = x·s^−β with s = k + α/size·Σx² over the channels around each.
type lrn struct {
	spec     model.LocalResponseNormalization
	channels int
	x        *Tensor
	s, power []Ball // s and s^−β
}

// around is the range of channels that c's sum takes.
func (l *lrn) around(c int) (lo, hi int) {
	lo = c - l.spec.Size/2
	return max(lo, 0), min(lo+l.spec.Size, l.channels)
}

func (l *lrn) forward(x []*Tensor) *Tensor {
	l.x = x[0]
	y := like(l.x, make([]Ball, len(l.x.Elems)))
	l.s, l.power = make([]Ball, len(y.Elems)), make([]Ball, len(y.Elems))
	bias, beta := constant(device.Decimal(l.spec.Bias)), device.Decimal(l.spec.Beta)
	for i := range y.Elems {
		c := i % l.channels
		lo, hi := l.around(c)
		var squares sum
		for j := i - c + lo; j < i-c+hi; j++ {
			squares.addProduct(l.x.Elems[j], l.x.Elems[j])
		}
		l.s[i] = bias.add(squares.ball().mul(l.factor()))
		l.power[i] = inversePower(l.s[i], beta)
		y.Elems[i] = l.x.Elems[i].mul(l.power[i])
	}
	return y
}

// factor is α/size.
func (l *lrn) factor() Ball {
	return constant(device.Decimal(l.spec.Alpha) / float64(l.spec.Size)).rounded(2)
}

// inversePower is s^−β, computed by a power function or as exp(−β·ln s).
func inversePower(s Ball, beta float64) Ball {
	low := s.V - s.R
	if low <= 0 {
		return Ball{math.Pow(s.V, -beta), math.Inf(1)}
	}
	p := Ball{math.Pow(s.V, -beta), beta * math.Pow(low, -beta-1) * s.R}
	return p.within(powError + (logError+3*u)*beta*math.Abs(math.Log(s.V)))
}

// backward: dxᵢ = dyᵢ·sᵢ^−β − 2αβ/size·xᵢ·Σⱼ dyⱼ·xⱼ·sⱼ^−β/sⱼ over the channels j whose sum takes i.
func (l *lrn) backward(dy *Tensor) ([]*Tensor, map[string]*Tensor) {
	dx := like(l.x, make([]Ball, len(l.x.Elems)))
	sums := make([]sum, len(dx.Elems))
	for j := range dx.Elems {
		c := j % l.channels
		lo, hi := l.around(c)
		term := l.x.Elems[j].mul(l.power[j]).div(l.s[j])
		for i := j - c + lo; i < j-c+hi; i++ {
			sums[i].addProduct(dy.Elems[j], term)
		}
	}
	factor := l.factor().mul(constant(2 * device.Decimal(l.spec.Beta)))
	for i := range dx.Elems {
		dx.Elems[i] = dy.Elems[i].mul(l.power[i]).sub(factor.mul(l.x.Elems[i]).mul(sums[i].ball()))
	}
	return []*Tensor{dx}, nil
}
