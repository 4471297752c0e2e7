package kernel

import (
	"math"
	"testing"
)

// step64 is a rule in float64.
func step64(u *Update, w, g, s1, s2 float64) (float64, float64, float64) {
	f := func(v float32) float64 { return float64(v) }
	w -= f(u.Decay) * w
	g *= f(u.Scale)
	switch u.Rule {
	case SGD:
		w -= f(u.Rate) * g
	case Momentum:
		s1 = f(u.Mu)*s1 - f(u.Rate)*g
		w += s1
	case Nesterov:
		s1 = f(u.Mu)*s1 - f(u.Rate)*g
		w += f(u.Mu)*s1 - f(u.Rate)*g
	case Adam:
		s1 += (g - s1) * f(u.C1)
		s2 += (g*g - s2) * f(u.C2)
		w -= f(u.Rate) * s1 / (math.Sqrt(s2) + f(u.Epsilon))
	case RMSprop:
		s1 = f(u.Rho)*s1 + f(u.C2)*g*g
		w -= f(u.Rate) * g / math.Sqrt(s1+f(u.Epsilon))
	case RMSpropMomentum:
		s1 = f(u.Rho)*s1 + f(u.C2)*g*g
		s2 = f(u.Mu)*s2 + f(u.Rate)*g/math.Sqrt(s1+f(u.Epsilon))
		w -= s2
	}
	return w, s1, s2
}

func updates() []Update {
	u := Update{Rate: 0.01, Mu: 0.9, Rho: 0.9, C1: 0.1, C2: 0.1, Epsilon: 1e-7, Decay: 1e-3, Scale: 0.5}
	var all []Update
	for u.Rule = SGD; u.Rule <= RMSpropMomentum; u.Rule++ {
		all = append(all, u)
	}
	return all
}

// TestUpdate: three steps of each rule within a few roundings of float64.
func TestUpdate(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for _, u := range updates() {
			for _, n := range []int{1, 16, 53} {
				r := seeded(uint64(n))
				w, s1, s2 := data(r, n, false), make([]float32, n), make([]float32, n)
				ref := make([][3]float64, n)
				for i := range ref {
					ref[i][0] = float64(w[i])
				}
				for range 3 {
					g := data(r, n, false)
					k.Update(&u, w, g, s1, s2)
					for i := range ref {
						ref[i][0], ref[i][1], ref[i][2] = step64(&u, ref[i][0], float64(g[i]), ref[i][1], ref[i][2])
					}
				}
				for i := range ref {
					for j, v := range []float32{w[i], s1[i], s2[i]} {
						if d := math.Abs(float64(v) - ref[i][j]); !(d <= 16*0x1p-24) {
							t.Errorf("rule %d, value %d: %v, want %v", u.Rule, j, v, ref[i][j])
						}
					}
				}
			}
		}
	})
}

func TestIdenticalUpdates(t *testing.T) {
	t.Parallel()
	for _, u := range updates() {
		natives(t, "update", func(k *Kernels) []float32 {
			r := seeded(7)
			w, g, s1, s2 := data(r, 1003, false), data(r, 1003, false), data(r, 1003, false), data(r, 1003, false)
			for i := range s2 {
				s2[i], s1[i] = s2[i]*s2[i], s1[i]*s1[i]
			}
			k.Update(&u, w, g, s1, s2)
			return append(append(w, s1...), s2...)
		})
	}
}

func TestSumSquares(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for _, n := range []int{0, 1, 16, 100, 1017} {
			x := data(seeded(uint64(n)), n, false)
			want := 0.0
			for _, v := range x {
				want += float64(v) * float64(v)
			}
			if got := k.SumSquares(x); math.Abs(got-want) > 1e-13*want {
				t.Errorf("%d values: %v, want %v", n, got, want)
			}
		}
	})
}
