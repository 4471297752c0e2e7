package kernel

// Winograd is a transform of the minimal filtering algorithm F(4×4, 3×3) (Lavin and Gray, 2015), which computes 4×4 outputs of a
// 3×3 convolution from 6×6 inputs with 36 multiplications instead of 144:
//
//	y = Aᵀ[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]A
//
// with the products summed over channels. The transforms interpolate at the points 0, ±a, ±b and ∞. With a = 5/8 and b = 3/2
// instead of the usual 1 and 2 the error is a quarter (Barabasz et al., 2020, search for such points), twice that of the direct
// sum, and every constant but those of G is exact. Transforms are applied to one axis at a time, to whole vectors:
//
//	Bᵀd: d4 − (a²+b²)·d2 + a²b²·d0, (d4 − b²·d2) ± a·(d3 − b²·d1), (d4 − a²·d2) ± b·(d3 − a²·d1), d5 − (a²+b²)·d3 + a²b²·d1
//	Aᵀm: m0 + (m1+m2) + (m3+m4), a·(m1−m2) + b·(m3−m4), a²·(m1+m2) + b²·(m3+m4), m5 + a³·(m1−m2) + b³·(m3−m4)
//	Gg:  g0/(a²b²), (g0 + a²·g2 ± a·g1)·n(a,b), (g0 + b²·g2 ± b·g1)·n(b,a), g2, with n(a,b) = 1/(2a²·(a²−b²))
//
// The kernel's gradient is Gᵀ[Σ (Bᵀ·d·B) ⊙ (A·dy·Aᵀ)]G, with the same matrices.
//
// The transforms of a row are those of F(2, 5), two outputs of five taps from six inputs with 6 multiplications instead of 10. The points
// are the same, and with them Bᵀ; their error is the least here too, 1.3 times that of the direct sum. Rows of a kernel are taps:
//
//	y = Aᵀ[Σ_ky (G·g_ky) ⊙ (Bᵀ·d_ky)]    g'_ky = Gᵀ[Σ (Bᵀ·d_ky) ⊙ (A·dy)]    dx = B[Σ_ky (G·g_ky) ⊙ (A·dy_ky)]
//
// where the six elements of dx of each pair of outputs are added to those of its neighbours:
//
//	Aᵀm: m0 + (m1+m2) + (m3+m4), m5 + a·(m1−m2) + b·(m3−m4)
//	Gg:  g0/(a²b²), (g0 + a²·g2 + a⁴·g4 ± a·(g1 + a²·g3))·n(a,b), (g0 + b²·g2 + b⁴·g4 ± b·(g1 + b²·g3))·n(b,a), g4
//	Bm:  a²b²·m0, a²b²·m5 − ab²·(m1−m2) − a²b·(m3−m4), −(a²+b²)·m0 − b²·(m1+m2) − a²·(m3+m4),
//	     a·(m1−m2) + b·(m3−m4) − (a²+b²)·m5, m0 + (m1+m2) + (m3+m4), m5
type Winograd uint8

// The transforms, with their numbers of lines in and out.
const (
	WinogradInput             Winograd = iota // Bᵀ, 6 to 6
	WinogradOutput                            // Aᵀ, 6 to 4
	WinogradGradient                          // A, 4 to 6
	WinogradKernel                            // G, 3 to 6
	WinogradKernelGradient                    // Gᵀ, 6 to 3
	WinogradRowOutput                         // Aᵀ of a row, 6 to 2
	WinogradRowGradient                       // A of a row, 2 to 6
	WinogradRowKernel                         // G of a row, 5 to 6
	WinogradRowKernelGradient                 // Gᵀ of a row, 6 to 5
	WinogradRowInputGradient                  // B of a row, 6 to 6, whose first 4 are added to what is there
	winograds
)

// The sides of a tile: of outputs, and of inputs and products.
const (
	WinogradTile  = 4
	WinogradPatch = 6

	WinogradRowTile = 2 // outputs of a tile of a row
	WinogradRowTaps = 5
)

// The points, and what G divides by.
const (
	pointA, pointB = 5.0 / 8, 3.0 / 2
	kernelZero     = 1 / (pointA * pointA * pointB * pointB)
	kernelA        = 1 / (2 * pointA * pointA * (pointA*pointA - pointB*pointB))
	kernelB        = 1 / (2 * pointB * pointB * (pointB*pointB - pointA*pointA))
)

var winogradLines = [winograds]struct{ in, out int }{{6, 6}, {6, 4}, {4, 6}, {3, 6}, {6, 3}, {6, 2}, {2, 6}, {5, 6}, {6, 5}, {6, 6}}

// biased reports whether a transform adds a bias and bounds its results.
func (w Winograd) biased() bool { return w == WinogradOutput || w == WinogradRowOutput }

// adds is how many of a transform's first lines are added to what is there.
func (w Winograd) adds() int {
	if w == WinogradRowInputGradient {
		return WinogradPatch - WinogradRowTile
	}
	return 0
}

// Lines describes where a transform's lines lie: N vectors each, in places that follow each other Outer times. Strides are in
// vectors.
type Lines struct {
	In                [WinogradPatch][]float32 // the first line of each input
	Out               []float32
	OutStride         int // from one output to the next
	N                 int
	Outer             int
	InOuter, OutOuter int
	Bias              []float32 // of outputs: added to each vector, N of them; nil is none
	ReLU              bool      // of outputs: max(y, 0) at the end; NaN stays NaN
}

// Winograd applies a transform.
func (k *Kernels) Winograd(w Winograd, l Lines) {
	if l.N <= 0 || l.Outer <= 0 {
		return
	}
	s := winogradLines[w]
	for j := range s.in {
		_ = l.In[j][((l.Outer-1)*l.InOuter+l.N)*Lanes-1]
	}
	_ = l.Out[((l.Outer-1)*l.OutOuter+(s.out-1)*l.OutStride+l.N)*Lanes-1]
	if l.Bias != nil {
		_ = l.Bias[l.N-1]
	}
	k.impl.winograd(w, l)
}

func winogradPortable(w Winograd, l Lines) {
	s := winogradLines[w]
	var in, out [WinogradPatch]float32
	for o := range l.Outer {
		for i := range l.N * Lanes {
			for j := range s.in {
				in[j] = l.In[j][o*l.InOuter*Lanes+i]
			}
			w.apply(&out, &in)
			for j := range s.out {
				v := out[j]
				if j < w.adds() {
					v += l.Out[(o*l.OutOuter+j*l.OutStride)*Lanes+i]
				}
				if w.biased() {
					if l.Bias != nil {
						v += l.Bias[i/Lanes]
					}
					if l.ReLU {
						v = relu(v)
					}
				}
				l.Out[(o*l.OutOuter+j*l.OutStride)*Lanes+i] = v
			}
		}
	}
}

// apply is the transform of one line of numbers.
func (w Winograd) apply(out, in *[WinogradPatch]float32) {
	const a, b = pointA, pointB
	switch w {
	case WinogradInput:
		out[0] = in[4] - (a*a+b*b)*in[2] + a*a*b*b*in[0]
		out[5] = in[5] - (a*a+b*b)*in[3] + a*a*b*b*in[1]
		even, odd := in[4]-b*b*in[2], in[3]-b*b*in[1]
		out[1], out[2] = even+a*odd, even-a*odd
		even, odd = in[4]-a*a*in[2], in[3]-a*a*in[1]
		out[3], out[4] = even+b*odd, even-b*odd
	case WinogradOutput:
		sa, da, sb, db := in[1]+in[2], in[1]-in[2], in[3]+in[4], in[3]-in[4]
		out[0] = in[0] + sa + sb
		out[1] = a*da + b*db
		out[2] = a*a*sa + b*b*sb
		out[3] = in[5] + a*a*a*da + b*b*b*db
	case WinogradGradient:
		out[0], out[5] = in[0], in[3]
		even, odd := in[0]+a*a*in[2], in[1]+a*a*in[3]
		out[1], out[2] = even+a*odd, even-a*odd
		even, odd = in[0]+b*b*in[2], in[1]+b*b*in[3]
		out[3], out[4] = even+b*odd, even-b*odd
	case WinogradKernel:
		out[0], out[5] = in[0]*kernelZero, in[2]
		even, odd := in[0]+a*a*in[2], a*in[1]
		out[1], out[2] = (even+odd)*kernelA, (even-odd)*kernelA
		even, odd = in[0]+b*b*in[2], b*in[1]
		out[3], out[4] = (even+odd)*kernelB, (even-odd)*kernelB
	case WinogradKernelGradient:
		sa, da, sb, db := (in[1]+in[2])*kernelA, (in[1]-in[2])*kernelA, (in[3]+in[4])*kernelB, (in[3]-in[4])*kernelB
		out[0] = in[0]*kernelZero + sa + sb
		out[1] = a*da + b*db
		out[2] = in[5] + a*a*sa + b*b*sb
	case WinogradRowOutput:
		out[0] = in[0] + (in[1] + in[2]) + (in[3] + in[4])
		out[1] = in[5] + a*(in[1]-in[2]) + b*(in[3]-in[4])
	case WinogradRowGradient:
		out[0], out[5] = in[0], in[1]
		out[1], out[2] = in[0]+a*in[1], in[0]-a*in[1]
		out[3], out[4] = in[0]+b*in[1], in[0]-b*in[1]
	case WinogradRowKernel:
		out[0], out[5] = in[0]*kernelZero, in[4]
		even, odd := in[0]+a*a*in[2]+a*a*a*a*in[4], in[1]+a*a*in[3]
		out[1], out[2] = (even+a*odd)*kernelA, (even-a*odd)*kernelA
		even, odd = in[0]+b*b*in[2]+b*b*b*b*in[4], in[1]+b*b*in[3]
		out[3], out[4] = (even+b*odd)*kernelB, (even-b*odd)*kernelB
	case WinogradRowKernelGradient:
		sa, da, sb, db := (in[1]+in[2])*kernelA, (in[1]-in[2])*kernelA, (in[3]+in[4])*kernelB, (in[3]-in[4])*kernelB
		out[0] = in[0]*kernelZero + sa + sb
		out[1] = a*da + b*db
		out[2] = a*a*sa + b*b*sb
		out[3] = a*a*a*da + b*b*b*db
		out[4] = in[5] + a*a*a*a*sa + b*b*b*b*sb
	case WinogradRowInputGradient:
		sa, da, sb, db := in[1]+in[2], in[1]-in[2], in[3]+in[4], in[3]-in[4]
		out[0] = a * a * b * b * in[0]
		out[1] = a*a*b*b*in[5] - a*b*b*da - a*a*b*db
		out[2] = -(a*a+b*b)*in[0] - b*b*sa - a*a*sb
		out[3] = a*da + b*db - (a*a+b*b)*in[5]
		out[4] = in[0] + sa + sb
		out[5] = in[5]
	case winograds:
	}
}
