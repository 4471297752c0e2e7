package kernel

import "math"

// LRN is AlexNet's local response normalisation: y = x·s^−Beta with s = Bias + Share·Σx² over the Size channels around each, those
// outside being zero. Sums are added in the order of the channels, from 0, for each anew.
//
// Beta = 1/2, 3/4 and 1 are square roots and divisions alone: s^−Beta lies within 5u of the power of s, relative to it, with u = 2⁻²⁴.
// Any other is e^(−Beta·ln s), within (8 + 7·Beta·|ln s|)·u. The portable path rounds the power once from float64.
type LRN struct {
	Channels          int
	Size              int // odd
	Share, Beta, Bias float32
	Across            bool // the lanes are channels: a position is Padded(Channels) floats, else that many vectors
}

// vectors is how many a position has.
func (n *LRN) vectors() int {
	if n.Across {
		return Padded(n.Channels) / Lanes
	}
	return n.Channels
}

// step is the floats from a channel to the next.
func (n *LRN) step() int {
	if n.Across {
		return 1
	}
	return Lanes
}

// margin is the floats of the zeros that lie before and behind the channels of a position, in whole vectors.
func (n *LRN) margin() int { return Padded(max(n.Size/2, 1) * n.step()) }

// row is the scratch of one quantity of a position.
func (n *LRN) row() int { return 2*n.margin() + n.vectors()*Lanes }

// Scratch is how many floats the kernels need beside the operands.
func (n *LRN) Scratch() int { return 2 * n.row() }

// LRN computes the normalised y of x.
func (k *Kernels) LRN(y, x, scratch []float32, n *LRN, positions int) {
	v := n.vectors() * positions
	k.impl.lrn(vectors(y, v), vectors(x, v), scratch[:n.Scratch()], n, positions)
}

// LRNGrad computes dxᵢ = dyᵢ·sᵢ^−β − 2β·Share·xᵢ·Σⱼ dyⱼ·xⱼ·sⱼ^(−β−1), over the channels j whose sums take xᵢ; s is computed again, which takes
// less time than to read it. dx may be dy.
func (k *Kernels) LRNGrad(dx, dy, x, scratch []float32, n *LRN, positions int) {
	v := n.vectors() * positions
	k.impl.lrnGrad(vectors(dx, v), vectors(dy, v), vectors(x, v), scratch[:n.Scratch()], n, positions)
}

func lrnPortable(y, x, scratch []float32, n *LRN, positions int) {
	row := n.vectors() * Lanes
	used := n.Channels * n.step()
	for p := range positions {
		in, out := x[p*row:][:used], y[p*row:][:used]
		sums := scratch[:used]
		n.sums(sums, in)
		for i, v := range in {
			out[i] = v * inversePower(sums[i], n.Beta)
		}
	}
}

func lrnGradPortable(dx, dy, x, scratch []float32, n *LRN, positions int) {
	row := n.vectors() * Lanes
	used := n.Channels * n.step()
	factor := n.factor()
	for p := range positions {
		in, up, out := x[p*row:][:used], dy[p*row:][:used], dx[p*row:][:used]
		sums, ratios := scratch[:used], scratch[n.row():][:used]
		n.sums(sums, in)
		for i, v := range in {
			q := up[i] * inversePower(sums[i], n.Beta)
			out[i] = q
			ratios[i] = q * v / sums[i]
		}
		n.window(sums, ratios) // the size is odd: i is around j where j is around i
		for i, v := range in {
			out[i] -= factor * v * sums[i]
		}
	}
}

// factor is 2β·Share.
func (n *LRN) factor() float32 { return 2 * n.Beta * n.Share }

// sums computes s of a position.
func (n *LRN) sums(s, x []float32) {
	n.windowOf(s, x, func(v float32) float32 { return v * v })
	for i, v := range s {
		s[i] = n.Bias + n.Share*v
	}
}

// window adds the channels around each of a position.
func (n *LRN) window(sums, x []float32) {
	n.windowOf(sums, x, func(v float32) float32 { return v })
}

func (n *LRN) windowOf(sums, x []float32, f func(v float32) float32) {
	step := n.step()
	for c := range n.Channels {
		lo, hi := max(c-n.Size/2, 0), min(c+n.Size/2+1, n.Channels)
		sum := sums[c*step:][:step]
		clear(sum)
		for k := lo; k < hi; k++ {
			for l, v := range x[k*step:][:step] {
				sum[l] += f(v)
			}
		}
	}
}

// inversePower is s^−β, rounded once from float64.
func inversePower(s, beta float32) float32 {
	switch beta {
	case 0.75:
		r := math.Sqrt(float64(s))
		return float32(1 / (r * math.Sqrt(r)))
	case 0.5:
		return float32(1 / math.Sqrt(float64(s)))
	case 1:
		return 1 / s
	}
	return float32(math.Pow(float64(s), -float64(beta)))
}
