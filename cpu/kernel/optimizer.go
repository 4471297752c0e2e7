package kernel

// Rule is an optimiser's formula.
type Rule uint8

// The rules, as Keras computes them; g is Scale·gradient and every rule first takes w −= Decay·w where Decay is not 0.
const (
	SGD             Rule = iota // w −= Rate·g
	Momentum                    // s1 = Mu·s1 − Rate·g; w += s1
	Nesterov                    // s1 = Mu·s1 − Rate·g; w += Mu·s1 − Rate·g
	Adam                        // s1 += (g−s1)·C1; s2 += (g²−s2)·C2; w −= Rate·s1/(√s2+Epsilon)
	RMSprop                     // s1 = Rho·s1 + C2·g²; w −= Rate·g/√(s1+Epsilon)
	RMSpropMomentum             // s1 as RMSprop; s2 = Mu·s2 + Rate·g/√(s1+Epsilon); w −= s2
)

// Update is a step of an optimiser: the same numbers for every parameter of the step.
type Update struct {
	Rule    Rule
	Rate    float32 // the learning rate; Adam: α = rate·√(1−β₂ᵗ)/(1−β₁ᵗ)
	Mu      float32 // momentum
	Rho     float32 // of RMSprop
	C1, C2  float32 // Adam: 1−β₁ and 1−β₂; RMSprop: C2 = 1−ρ
	Epsilon float32
	Decay   float32 // rate·decay of decoupled weight decay
	Scale   float32 // of the gradient, such as clipping's; 1 where there is none
}

// Slots is the number of slots that a rule keeps.
func (r Rule) Slots() int {
	switch r {
	case SGD:
		return 0
	case Momentum, Nesterov, RMSprop:
		return 1
	case Adam, RMSpropMomentum:
		return 2
	}
	return 0
}

// Update applies u to len(w) parameters with gradients g and slots s1 and s2, of the same length; those that the rule does not keep are nil.
func (k *Kernels) Update(u *Update, w, g, s1, s2 []float32) {
	n := len(w)
	g = g[:n]
	if u.Rule.Slots() > 0 {
		s1 = s1[:n]
	}
	if u.Rule.Slots() > 1 {
		s2 = s2[:n]
	}
	if n > 0 {
		k.impl.update(u, w, g, s1, s2)
	}
}

func updatePortable(u *Update, w, g, s1, s2 []float32) {
	g = g[:len(w)]
	switch u.Rule {
	case SGD:
		for i, v := range w {
			v -= u.Decay * v
			w[i] = v - u.Rate*(u.Scale*g[i])
		}
	case Momentum, Nesterov:
		s1 = s1[:len(w)]
		nesterov := u.Rule == Nesterov
		for i, v := range w {
			v -= u.Decay * v
			step := u.Rate * (u.Scale * g[i])
			m := u.Mu*s1[i] - step
			s1[i] = m
			if nesterov {
				m = u.Mu*m - step
			}
			w[i] = v + m
		}
	case Adam:
		s1, s2 = s1[:len(w)], s2[:len(w)]
		for i, v := range w {
			v -= u.Decay * v
			d := u.Scale * g[i]
			a := s1[i] + (d-s1[i])*u.C1
			b := s2[i] + (d*d-s2[i])*u.C2
			s1[i], s2[i] = a, b
			w[i] = v - u.Rate*a/(sqrt(b)+u.Epsilon)
		}
	case RMSprop:
		s1 = s1[:len(w)]
		for i, v := range w {
			v -= u.Decay * v
			d := u.Scale * g[i]
			b := u.Rho*s1[i] + u.C2*(d*d)
			s1[i] = b
			w[i] = v - u.Rate*d/sqrt(b+u.Epsilon)
		}
	case RMSpropMomentum:
		s1, s2 = s1[:len(w)], s2[:len(w)]
		for i, v := range w {
			v -= u.Decay * v
			d := u.Scale * g[i]
			b := u.Rho*s1[i] + u.C2*(d*d)
			s1[i] = b
			m := u.Mu*s2[i] + u.Rate*d/sqrt(b+u.Epsilon)
			s2[i] = m
			w[i] = v - m
		}
	}
}

// SumSquares is Σ x² in float64: 16 running sums, element i to sum i mod 16, added in the tree of ReduceLanes. The products are exact.
func (k *Kernels) SumSquares(x []float32) float64 {
	var s [Lanes]float64
	k.impl.sumSquares(&s, x)
	for h := Lanes / 2; h > 0; h /= 2 {
		for l := range h {
			s[l] += s[l+h]
		}
	}
	return s[0]
}

func sumSquaresPortable(s *[Lanes]float64, x []float32) {
	for i, v := range x {
		s[i%Lanes] += float64(v) * float64(v)
	}
}
