package kernel

import (
	"math"
	"testing"
)

// reference is the loss, the probabilities and the gradient of one sample in float64.
func (ce *CrossEntropy) reference(z []float64, label int, scale float64) (loss float64, p, dz []float64) {
	top := math.Inf(-1)
	for _, v := range z {
		top = max(top, v)
	}
	sum := 0.0
	p, dz = make([]float64, len(z)), make([]float64, len(z))
	for c, v := range z {
		p[c] = math.Exp(v - top)
		sum += p[c]
	}
	w, s := 1.0, float64(ce.Smoothing)
	if ce.Weights != nil {
		w = float64(ce.Weights[label])
	}
	for c, v := range z {
		p[c] /= sum
		target := s / float64(len(z))
		if c == label {
			target += 1 - s
		}
		loss -= w * target * (v - top - math.Log(sum))
		dz[c] = scale * w * (p[c] - target)
	}
	return loss, p, dz
}

func TestSoftmaxCrossEntropy(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for _, n := range []int{2, 10, 16, 33, 100} {
			for _, smoothing := range []float32{0, 0.1} {
				for _, weighted := range []bool{false, true} {
					ce := &CrossEntropy{Classes: n, Smoothing: smoothing}
					r := seeded(uint64(n))
					if weighted {
						ce.Weights = data(r, n, false)
						for c := range ce.Weights {
							ce.Weights[c]++
						}
					}
					z := data(r, n*Lanes, false)
					var labels [Lanes]int32
					for l := range labels {
						labels[l] = int32(r.IntN(n))
						for c := range n {
							z[c*Lanes+l] *= float32(l + 1)
						}
					}
					labels[7] = -1
					dz, p, only := make([]float32, len(z)), make([]float32, len(z)), make([]float32, len(z))
					var out, again, neither Scores
					k.SoftmaxCrossEntropy(ce, dz, p, z, &labels, 0.25, &out)
					k.SoftmaxCrossEntropy(ce, only, nil, z, &labels, 0.25, &again)
					k.SoftmaxCrossEntropy(ce, nil, nil, z, &labels, 0.25, &neither)
					sameBits(t, "the gradient without probabilities", only, dz)
					if out != again || out != neither {
						t.Errorf("scores depend on what is asked for: %v, %v, %v", out, again, neither)
					}
					for l, label := range labels {
						if label < 0 {
							if out.Loss[l] != 0 || out.Correct[l] {
								t.Errorf("a lane without label has loss %v, correct %v", out.Loss[l], out.Correct[l])
							}
							for c := range n {
								if dz[c*Lanes+l] != 0 {
									t.Errorf("a lane without label has gradient %v", dz[c*Lanes+l])
								}
							}
							continue
						}
						row := make([]float64, n)
						best := 0
						for c := range row {
							if row[c] = float64(z[c*Lanes+l]); row[c] > row[best] {
								best = c
							}
						}
						loss, probabilities, gradient := ce.reference(row, int(label), 0.25)
						if d := math.Abs(out.Loss[l] - loss); d > 1e-5*(1+math.Abs(loss)) {
							t.Errorf("loss %v, want %v", out.Loss[l], loss)
						}
						if out.Correct[l] != (best == int(label)) {
							t.Errorf("correct is %v for label %d and largest %d", out.Correct[l], label, best)
						}
						for c := range row {
							// the exponent carries a rounding of |z|, the sum one for each class
							bound := (8 + float64(n) + 2*float64(l+1)) * 0x1p-23
							if d := math.Abs(float64(p[c*Lanes+l]) - probabilities[c]); d > bound*probabilities[c]+0x1p-126 {
								t.Errorf("p is %v, want %v", p[c*Lanes+l], probabilities[c])
							}
							if d := math.Abs(float64(dz[c*Lanes+l]) - gradient[c]); d > bound*2*0.25 {
								t.Errorf("dz is %v, want %v", dz[c*Lanes+l], gradient[c])
							}
						}
					}
				}
			}
		}
	})
}

func TestSoftmax(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		const n, positions = 7, 3
		r := seeded(1)
		x, dy := data(r, n*positions*Lanes, false), data(r, n*positions*Lanes, false)
		x[2] = float32(math.NaN())
		y, dx := make([]float32, len(x)), make([]float32, len(x))
		k.Softmax(y, x, n, positions)
		k.SoftmaxGrad(dx, dy, y, n, positions)
		for p := range positions {
			for l := range Lanes {
				total, dot := 0.0, 0.0
				for c := range n {
					i := (p*n+c)*Lanes + l
					total += math.Exp(float64(x[i]))
					dot += float64(dy[i]) * float64(y[i])
				}
				for c := range n {
					i := (p*n+c)*Lanes + l
					want := math.Exp(float64(x[i])) / total
					if want != want {
						if y[i] == y[i] {
							t.Errorf("a NaN gave %v", y[i])
						}
						continue
					}
					if math.Abs(float64(y[i])-want) > 1e-6*want || math.Abs(float64(dx[i])-float64(y[i])*(float64(dy[i])-dot)) > 1e-6 {
						t.Errorf("softmax %v, want %v; gradient %v, want %v", y[i], want, dx[i], float64(y[i])*(float64(dy[i])-dot))
					}
				}
			}
		}
	})
}

// TestSoftmaxPasses compares the passes over the classes with the portable ones: but for the exponentials every bit is the same, also of
// equal logits, of NaN and infinity and of lanes without a label.
func TestSoftmaxPasses(t *testing.T) {
	t.Parallel()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	portable := softmaxKernels(0)
	paths(t, func(t *testing.T, k *Kernels) {
		for _, n := range []int{1, 2, 10, 33, 1000} {
			r := seeded(uint64(n))
			z, e := data(r, n*Lanes, false), make([]float32, n*Lanes)
			for l := range Lanes { // lane 0 has equal logits alone, 1 a NaN first, 2 in between, 3 last, 4 and 5 an infinity
				for c := range n {
					v := &z[c*Lanes+l]
					switch {
					case l == 0:
						*v = 3
					case l == 1 && c == 0, l == 2 && c == n/2, l == 3 && c == n-1:
						*v = nan
					case l == 4 && c == n/2:
						*v = inf
					case l == 5:
						*v = -inf
					case l > 8:
						*v = float32(math.Round(float64(*v))) // many are equal
					}
				}
			}
			var got, want softmaxSums
			k.impl.softmax.top(z, &got)
			portable.top(z, &want)
			sameBits(t, "the largest", got.max[:], want.max[:])
			sameBits(t, "its class", got.best[:], want.best[:])
			k.impl.softmax.exp(e, z, &got)
			want = got
			var sum, rest [Lanes]float32
			for i, v := range e {
				sum[i%Lanes] += v
				rest[i%Lanes] += z[i] - got.max[i%Lanes]
			}
			sameBits(t, "the sum of the exponentials", got.sum[:], sum[:])
			sameBits(t, "the sum of the exponents", got.rest[:], rest[:])
			p, q := make([]float32, len(e)), make([]float32, len(e))
			k.impl.softmax.divide(p, e, &got)
			portable.divide(q, e, &want)
			sameBits(t, "the probabilities", p, q)
			var labels [Lanes]int32
			var factor [Lanes]float32
			for l := range labels {
				labels[l], factor[l] = int32(r.IntN(n+1)-1), float32(l+1)/7
			}
			labels[2], labels[6] = -1, -1 // of a NaN, and not
			k.impl.softmax.lossGrad(p, e, &labels, &factor, 0.9, 0.1, &got)
			portable.lossGrad(q, e, &labels, &factor, 0.9, 0.1, &want)
			sameBits(t, "the gradient", p, q)
		}
	})
}
