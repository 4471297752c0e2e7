package reference

import (
	"math"
	"math/rand/v2"
	"testing"

	"gcnn/model"
)

// randomBall is a ball around a float32, with a number in it that an implementation may have there.
func randomBall(rng *rand.Rand) (Ball, float32) {
	v := float32(math.Ldexp(rng.NormFloat64(), rng.IntN(20)-10))
	b := Ball{float64(v), 0}
	if rng.IntN(2) == 0 {
		b.V += (rng.Float64() - 0.5) * math.Abs(b.V) * 1e-3
		b.R = math.Abs(b.V-float64(v)) * (1 + rng.Float64())
	}
	return b, v
}

// TestBallsCoverFloat32 tries each operation on numbers inside its operands.
func TestBallsCoverFloat32(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	check := func(what string, b Ball, got float32) {
		t.Helper()
		if !(math.Abs(float64(got)-b.V) <= b.R) {
			t.Errorf("%s: float32 gives %g, the ball is %g ± %g", what, got, b.V, b.R)
		}
	}
	for range 20000 {
		a, x := randomBall(rng)
		b, y := randomBall(rng)
		check("add", a.add(b), x+y)
		check("sub", a.sub(b), x-y)
		check("mul", a.mul(b), x*y)
		check("div", a.div(b), x/y)
		check("sqrt", a.mul(a).sqrt(), float32(math.Sqrt(float64(x*x))))
	}
}

// TestSumCoversAnyOrder adds products in float32 forwards, backwards, in blocks and with fused multiply-adds.
func TestSumCoversAnyOrder(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		n := 1 + rng.IntN(200)
		var s sum
		var products, fused []float32
		forward := float32(0)
		withFMA := float32(0)
		for range n {
			a, x := randomBall(rng)
			b, y := randomBall(rng)
			s.addProduct(a, b)
			products = append(products, x*y)
			forward += x * y
			withFMA = float32(math.FMA(float64(x), float64(y), float64(withFMA)))
			fused = append(fused, withFMA)
		}
		backward := float32(0)
		for i := range products {
			backward += products[n-1-i]
		}
		b := s.ball()
		for what, got := range map[string]float32{"forward": forward, "backward": backward, "pairwise": pairwise(products), "fma": fused[n-1]} {
			if !(math.Abs(float64(got)-b.V) <= b.R) {
				t.Errorf("%d products %s: %g, the ball is %g ± %g", n, what, got, b.V, b.R)
			}
		}
	}
}

func pairwise(v []float32) float32 {
	if len(v) == 1 {
		return v[0]
	}
	return pairwise(v[:len(v)/2]) + pairwise(v[len(v)/2:])
}

// TestSumIsTight keeps the bound of an exact inner product at its formula.
func TestSumIsTight(t *testing.T) {
	t.Parallel()
	var s sum
	for range 100 {
		s.addProduct(exact(3), exact(-0.5))
	}
	want := gamma(102)*150 + 100*tiny
	if b := s.ball(); b.V != -150 || math.Abs(b.R-want) > 1e-15 {
		t.Errorf("%v, want -150 ± %g", b, want)
	}
}

// TestActivationBoundsCoverTheirNeighbours moves the argument within its radius.
func TestActivationBoundsCoverTheirNeighbours(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 8))
	for f := model.Linear; f <= model.HardSiLU; f++ {
		if f == model.Softmax {
			continue
		}
		act := activation{f, float64(f.DefaultAlpha())}
		for range 5000 {
			z := Ball{6 * rng.NormFloat64(), math.Abs(rng.NormFloat64()) * math.Pow(10, -4*rng.Float64())}
			near := exact(z.V + (2*rng.Float64()-1)*z.R)
			if v, w := act.value(z), act.value(near); math.Abs(v.V-w.V) > v.R {
				t.Errorf("%v(%g ± %g) = %g ± %g does not cover %v(%g) = %g", f, z.V, z.R, v.V, v.R, f, near.V, w.V)
			}
			if v, w := act.derivative(z), act.derivative(near); math.Abs(v.V-w.V) > v.R {
				t.Errorf("%v′(%g ± %g) = %g ± %g does not cover %v′(%g) = %g", f, z.V, z.R, v.V, v.R, f, near.V, w.V)
			}
		}
	}
}

// TestSoftmaxCoversItsNeighbours moves logits within their radii.
func TestSoftmaxCoversItsNeighbours(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 10))
	for range 2000 {
		z, near := make([]Ball, 5), make([]Ball, 5)
		for i := range z {
			z[i] = Ball{4 * rng.NormFloat64(), math.Abs(rng.NormFloat64()) * math.Pow(10, -4*rng.Float64())}
			near[i] = exact(z[i].V + (2*rng.Float64()-1)*z[i].R)
		}
		a := crossEntropy{smoothing: 0.1}.of(&Tensor{[]int{1, 5}, z}, []uint16{2})
		b := crossEntropy{smoothing: 0.1}.of(&Tensor{[]int{1, 5}, near}, []uint16{2})
		for i := range z {
			if d := math.Abs(a.p.Elems[i].V - b.p.Elems[i].V); d > a.p.Elems[i].R {
				t.Errorf("probability %g ± %g does not cover %g", a.p.Elems[i].V, a.p.Elems[i].R, b.p.Elems[i].V)
			}
			if d := math.Abs(a.dz.Elems[i].V - b.dz.Elems[i].V); d > a.dz.Elems[i].R {
				t.Errorf("gradient %g ± %g does not cover %g", a.dz.Elems[i].V, a.dz.Elems[i].R, b.dz.Elems[i].V)
			}
		}
		if d := math.Abs(a.losses[0].V - b.losses[0].V); d > a.losses[0].R {
			t.Errorf("loss %g ± %g does not cover %g", a.losses[0].V, a.losses[0].R, b.losses[0].V)
		}
	}
}

// TestContestedMaximum covers both outcomes where two elements cannot be told apart, or where any of equal ones may take the
// gradient, and no more.
func TestContestedMaximum(t *testing.T) {
	t.Parallel()
	shape := model.Shape{1, 3, 1}
	for _, c := range []struct {
		name   string
		x      []Ball
		anyTie bool
		radius []bool // whether the gradient's radius covers dy
	}{
		{"apart", []Ball{{1, 0.1}, {2, 0.1}, {0, 0.1}}, false, []bool{false, false, false}},
		{"overlapping", []Ball{{1, 0.6}, {2, 0.6}, {0, 0.1}}, false, []bool{true, true, false}},
		{"exact tie", []Ball{{2, 0}, {2, 0}, {2, 0}}, false, []bool{false, false, false}},
		{"exact tie of which any may win", []Ball{{2, 0}, {1, 0}, {2, 0}}, true, []bool{true, false, true}},
		{"no tie", []Ball{{2, 0}, {1, 0}, {0, 0}}, true, []bool{false, false, false}},
	} {
		p := &maxPool{windows: global(shape, model.Shape{1}), anyTie: c.anyTie}
		y := p.forward([]*Tensor{{[]int{1, 1, 3, 1}, c.x}})
		dx, _ := p.backward(&Tensor{[]int{1, 1}, []Ball{exact(1)}})
		if math.Abs(y.Elems[0].V-2) > 0 {
			t.Errorf("%s: maximum %v", c.name, y.Elems[0])
		}
		for i, e := range dx[0].Elems {
			if (e.R >= 1) != c.radius[i] {
				t.Errorf("%s: gradient %d is %v", c.name, i, e)
			}
		}
	}
}
