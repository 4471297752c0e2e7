package reference

import (
	"maps"
	"math"
	"slices"

	"gcnn/device"
)

// update is an optimiser's step of one parameter.
type update struct {
	rate  Ball
	decay Ball // decoupled weight decay
	step  int64
	// seen are the slots that an implementation has after this step, where they are known. The weights then follow from them,
	// which makes the bound independent of the gradient's radius: in √v+ε a gradient near ε has none that means anything.
	seen map[string]*Tensor
}

// apply returns the parameter and its slots after a step with gradient g.
func (o update) apply(optimizer device.Optimizer, w, g *Tensor, slots map[string]*Tensor) (*Tensor, map[string]*Tensor) {
	w2 := like(w, make([]Ball, len(w.Elems)))
	next := map[string]*Tensor{}
	for _, name := range optimizer.Slots() {
		next[name] = like(w, make([]Ball, len(w.Elems)))
	}
	for i, e := range w.Elems {
		if o.decay.V > 0 {
			// w − rate·decay·w, or w·(1 − rate·decay)
			e = e.sub(o.rate.mul(o.decay).mul(e)).rounded(1)
		}
		slot := func(name string) Ball { return slots[name].Elems[i] }
		keep := func(name string, v Ball) Ball {
			next[name].Elems[i] = v
			if o.seen != nil {
				// The slot that the update used may have had more digits than the one that was stored.
				return o.seen[name].Elems[i].rounded(1)
			}
			return v
		}
		w2.Elems[i] = e.add(o.change(optimizer, g.Elems[i], slot, keep))
	}
	return w2, next
}

// change is what an optimiser adds to a weight.
func (o update) change(optimizer device.Optimizer, g Ball, slot func(string) Ball, keep func(string, Ball) Ball) Ball {
	switch opt := optimizer.(type) {
	case device.SGD:
		descent := o.rate.mul(g)
		if opt.Momentum == 0 {
			return exact(0).sub(descent)
		}
		momentum := constant(device.Decimal(opt.Momentum))
		v := keep("momentum", slot("momentum").mul(momentum).sub(descent))
		if opt.Nesterov {
			return v.mul(momentum).sub(descent)
		}
		return v
	case device.Adam:
		b1, b2, epsilon := device.Decimal(opt.Beta1), device.Decimal(opt.Beta2), device.Decimal(opt.Epsilon)
		t := float64(o.step + 1)
		alpha := o.rate.mul(constant(math.Sqrt(-math.Expm1(t*math.Log(b2))) / -math.Expm1(t*math.Log(b1))))
		m, v := slot("momentum"), slot("velocity")
		m = keep("momentum", m.add(g.sub(m).mul(constant(1-b1))))
		v = keep("velocity", v.add(g.mul(g).sub(v).mul(constant(1-b2))))
		return exact(0).sub(alpha.mul(m).div(v.sqrt().add(constant(epsilon))))
	case device.RMSprop:
		rho, epsilon := device.Decimal(opt.Rho), device.Decimal(opt.Epsilon)
		v := keep("velocity", slot("velocity").mul(constant(rho)).add(g.mul(g).mul(constant(1-rho))))
		// rate·g/√(v+ε), or rate·g·(1/√(v+ε))
		descent := o.rate.mul(g).div(v.add(constant(epsilon)).sqrt()).rounded(1)
		if opt.Momentum == 0 {
			return exact(0).sub(descent)
		}
		b := keep("momentum", slot("momentum").mul(constant(device.Decimal(opt.Momentum))).add(descent))
		return exact(0).sub(b)
	}
	return Ball{math.NaN(), math.NaN()}
}

// clip scales all gradients so that their global norm is at most limit, as Keras' global_clipnorm: g·limit/max(norm, limit).
func clip(grads map[string]*Tensor, limit float64) map[string]*Tensor {
	var squares sum
	for _, name := range slices.Sorted(maps.Keys(grads)) {
		for _, e := range grads[name].Elems {
			squares.addProduct(e, e)
		}
	}
	norm := squares.ball().sqrt()
	if norm.V+norm.R < limit {
		return grads
	}
	scale := exact(limit).div(Ball{max(norm.V, limit), norm.R}).rounded(1)
	clipped := map[string]*Tensor{}
	for name, g := range grads {
		clipped[name] = like(g, make([]Ball, len(g.Elems)))
		for i, e := range g.Elems {
			clipped[name].Elems[i] = e.mul(scale)
		}
	}
	return clipped
}

// averaged is momentum·average + (1−momentum)·w, or average − (1−momentum)·average + (1−momentum)·w.
func averaged(average, w *Tensor, momentum float64) *Tensor {
	keep, rest := constant(momentum), constant(1-momentum)
	next := like(w, make([]Ball, len(w.Elems)))
	for i, a := range average.Elems {
		step := w.Elems[i].mul(rest)
		one, other := a.mul(keep).add(step), a.sub(a.mul(rest)).add(step)
		next.Elems[i] = Ball{one.V, max(one.R, other.R)}
	}
	return next
}
