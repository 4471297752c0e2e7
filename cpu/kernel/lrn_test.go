package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// lrnCase is a normalisation with values at positions, samples in the lanes.
type lrnCase struct {
	LRN
	positions int
	x, dy     []float32
}

func (c *lrnCase) name() string {
	return fmt.Sprintf("%d channels, size %d, beta %v", c.Channels, c.Size, c.Beta)
}

func lrnCases() []lrnCase {
	var cases []lrnCase
	for _, channels := range []int{1, 3, 16, 21, 96} {
		for _, size := range []int{1, 3, 5, 15} {
			for i, beta := range []float32{0.75, 0.5, 1, 0.6, 3} {
				c := lrnCase{LRN: LRN{Channels: channels, Size: size, Share: 0.7 / float32(size), Beta: beta, Bias: []float32{2, 1, 0.25}[i%3]}, positions: 1 + i%3}
				r := seeded(uint64(100*channels + size + i))
				c.x, c.dy = data(r, channels*Lanes*c.positions, false), data(r, channels*Lanes*c.positions, false)
				for i := range c.x {
					c.x[i] *= 4
				}
				cases = append(cases, c)
			}
		}
	}
	return cases
}

// run returns y and dx, with the gradient in the place of dy.
func (c *lrnCase) run(k *Kernels) []float32 {
	out, scratch := make([]float32, 2*len(c.x)), dirty(c.Scratch())
	y, dx := out[:len(c.x)], out[len(c.x):]
	copy(dx, c.dy)
	k.LRN(y, c.x, scratch, &c.LRN, c.positions)
	k.LRNGrad(dx, dx, c.x, scratch, &c.LRN, c.positions)
	return out
}

// dirty is memory as another task may leave it.
func dirty(n int) []float32 { return slices.Repeat([]float32{float32(math.NaN())}, n) }

// powerBound is what s^−Beta may be off by, relative to it: see LRN.
func (n *LRN) powerBound(s float64) float64 {
	if n.Beta == 0.5 || n.Beta == 0.75 || n.Beta == 1 {
		return 5 * 0x1p-24
	}
	return (8 + 7*float64(n.Beta)*math.Abs(math.Log(s))) * 0x1p-24
}

// TestLRN compares with float64. s is a sum of Size+1 positive terms: it has c = Size+3 roundings, which a power multiplies by Beta.
func TestLRN(t *testing.T) {
	t.Parallel()
	const u = 0x1p-24
	paths(t, func(t *testing.T, k *Kernels) {
		for _, c := range lrnCases() {
			out := c.run(k)
			y, dx := out[:len(c.x)], out[len(c.x):]
			beta, share := float64(c.Beta), float64(c.Share)
			roundings := float64(c.Size + 3)
			at := func(p, ch, l int) int { return (p*c.Channels+ch)*Lanes + l }
			for p := range c.positions {
				for l := range Lanes {
					s, power, off := make([]float64, c.Channels), make([]float64, c.Channels), make([]float64, c.Channels)
					around := func(ch int) (lo, hi int) { return max(ch-c.Size/2, 0), min(ch+c.Size/2+1, c.Channels) }
					for ch := range s {
						s[ch] = float64(c.Bias)
						for j, hi := around(ch); j < hi; j++ {
							v := float64(c.x[at(p, j, l)])
							s[ch] += share * v * v
						}
						power[ch] = math.Pow(s[ch], -beta)
						off[ch] = 1.01*roundings*u*beta + c.powerBound(s[ch]) // 1.01 for the second order
						i := at(p, ch, l)
						want := float64(c.x[i]) * power[ch]
						if d := math.Abs(float64(y[i]) - want); !(d <= (off[ch]+u)*math.Abs(want)) {
							t.Fatalf("%s: y[%d] is %v, want %v", c.name(), i, y[i], want)
						}
					}
					for ch := range s {
						i := at(p, ch, l)
						want := float64(c.dy[i]) * power[ch]
						bound := (off[ch] + 3*u) * math.Abs(want)
						for j, hi := around(ch); j < hi; j++ {
							term := 2 * beta * share * float64(c.x[i]) * float64(c.dy[at(p, j, l)]) * float64(c.x[at(p, j, l)]) * power[j] / s[j]
							want -= term
							bound += (off[j] + 1.01*(roundings+8+float64(c.Size+6))*u) * math.Abs(term) // 1/s, and the sum of Size terms
						}
						if d := math.Abs(float64(dx[i]) - want); !(d <= bound) {
							t.Fatalf("%s: dx[%d] is %v, want %v ± %.3g", c.name(), i, dx[i], want, bound)
						}
					}
				}
			}
		}
	})
}

// TestLRNPower sweeps s over its range: of one channel, with x = 1 and no share that tells, s is the bias.
func TestLRNPower(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for _, beta := range []float32{0.5, 0.75, 1, 0.01, 0.6, 2} {
			x, y := make([]float32, Lanes), make([]float32, Lanes)
			for l := range x {
				x[l] = 1
			}
			n := &LRN{Channels: 1, Size: 1, Share: 0x1p-100, Beta: beta}
			scratch, worst := dirty(n.Scratch()), 0.0
			for bits := math.Float32bits(1e-5); bits < math.Float32bits(1e15); bits += 40961 {
				n.Bias = math.Float32frombits(bits)
				want := math.Pow(float64(n.Bias), -float64(beta))
				k.LRN(y, x, scratch, n, 1)
				off := math.Abs(float64(y[3])/want - 1)
				worst = max(worst, off/0x1p-24)
				if !(off <= n.powerBound(float64(n.Bias))) {
					t.Fatalf("%v^−%v is %v, want %v", n.Bias, beta, y[3], want)
				}
			}
			t.Logf("power −%v is off by at most %.2f u", beta, worst)
		}
	})
}

// TestLRNAcross holds channels in the lanes against samples in the lanes, bit for bit, whatever the padding has.
func TestLRNAcross(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for _, c := range lrnCases() {
			want := c.run(k)
			across := c
			across.Across = true
			turned := func(v []float32, l int) []float32 {
				out, pitch := dirty(Padded(c.Channels)*c.positions), Padded(c.Channels)
				for p := range c.positions {
					for ch := range c.Channels {
						out[p*pitch+ch] = v[(p*c.Channels+ch)*Lanes+l]
					}
				}
				return out
			}
			for _, l := range []int{0, 7} {
				across.x, across.dy = turned(c.x, l), turned(c.dy, l)
				got := across.run(k)
				for i, half := range [][]float32{want[:len(c.x)], want[len(c.x):]} {
					half = turned(half, l)
					g := slices.Clone(got[i*len(half):][:len(half)])
					for e, v := range half {
						if v != v {
							g[e] = v // padding
						}
					}
					sameBits(t, fmt.Sprintf("%s, result %d of lane %d", c.name(), i, l), g, half)
				}
			}
		}
	})
}

// TestLRNWindow: a channel that others' sums do not take leaves no trace in them, however large it is.
func TestLRNWindow(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		c := lrnCase{LRN: LRN{Channels: 20, Size: 5, Share: 0.1, Beta: 0.75, Bias: 2}, positions: 1}
		r := seeded(9)
		c.x, c.dy = data(r, 20*Lanes, false), data(r, 20*Lanes, false)
		set := func(x, dy float32) []float32 {
			for l := range Lanes {
				c.x[7*Lanes+l], c.dy[7*Lanes+l] = x, dy
			}
			return c.run(k)
		}
		zero, large := set(0, 0), set(1e15, 1e10)
		for _, half := range []int{0, 20 * Lanes} {
			near := 2 << (half / (20 * Lanes)) // a gradient takes sums that take the channel
			sameBits(t, "before", large[half:][:(7-near)*Lanes], zero[half:][:(7-near)*Lanes])
			sameBits(t, "behind", large[half+(8+near)*Lanes:half+20*Lanes], zero[half+(8+near)*Lanes:half+20*Lanes])
		}
	})
}

// TestLRNSpecial: NaN stays in its window; an infinite sum leaves nothing of a finite x.
func TestLRNSpecial(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for _, beta := range []float32{0.5, 0.75, 1, 0.6} {
			for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), 1e30} {
				n := &LRN{Channels: 9, Size: 3, Share: 1, Beta: beta, Bias: 1}
				x, y := make([]float32, 9*Lanes), make([]float32, 9*Lanes)
				for i := range x {
					x[i] = 1
				}
				x[4*Lanes+5] = v
				k.LRN(y, x, dirty(n.Scratch()), n, 1)
				for ch := 3; ch <= 5; ch++ {
					got := y[ch*Lanes+5]
					if nan := v != v || ch == 4 && v > 1e30; nan != (got != got) || !nan && got != 0 {
						t.Errorf("beta %v, %v at channel 4: y of channel %d is %v", beta, v, ch, got)
					}
				}
				if y[2*Lanes+5] != y[2*Lanes] || y[6*Lanes+5] != y[6*Lanes] || y[4*Lanes+4] != y[4*Lanes] {
					t.Errorf("beta %v, %v at channel 4: others change", beta, v)
				}
			}
		}
	})
}

func TestIdenticalLRN(t *testing.T) {
	t.Parallel()
	for _, c := range lrnCases() {
		natives(t, c.name(), c.run)
	}
}
