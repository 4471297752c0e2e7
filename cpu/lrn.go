package cpu

import (
	"math"

	"gcnn/cpu/kernel"
	"gcnn/model"
)

// lrnForward emits y = x·s^−β with s = k + α/size·Σx² over the channels around each. s is kept for the gradient.
func (c *compiler) lrnForward(i int, l model.LocalResponseNormalization) {
	node := &c.net.Nodes[i]
	x, y := c.vals[slot(node.Inputs[0])], c.value(i)
	channels := node.Out[2]
	positions := node.Out[0] * node.Out[1]
	sums := c.buffer(node.Name+" sums", node.Out.Size()*kernel.Lanes)
	c.lrns[i] = sums
	factor := l.Alpha / float32(l.Size)
	c.task(c.plainTask(i, "forward", "lrn"), []*buffer{x, y, sums}, func(w *worker, g int) {
		xs, ys, ss := x.at(w, g), y.at(w, g), sums.at(w, g)
		row := channels * kernel.Lanes
		for p := range positions {
			in, out, s := xs[p*row:][:row], ys[p*row:][:row], ss[p*row:][:row]
			for ch := range channels {
				lo, hi := around(ch, l.Size, channels)
				var sum [kernel.Lanes]float32
				for k := lo; k < hi; k++ {
					for lane, v := range in[k*kernel.Lanes:][:kernel.Lanes] {
						sum[lane] += v * v
					}
				}
				at := ch * kernel.Lanes
				v, o, t := in[at:][:kernel.Lanes], out[at:][:kernel.Lanes], s[at:][:kernel.Lanes]
				for lane, q := range sum {
					t[lane] = l.Bias + factor*q
					o[lane] = v[lane] * inversePower(t[lane], l.Beta)
				}
			}
		}
	})
}

// lrnBackward emits dx_i = dy_i·s_i^−β − 2αβ/size·x_i·Σ_j dy_j·x_j·s_j^(−β−1), over the channels j whose sums have x_i.
func (c *compiler) lrnBackward(i int, l model.LocalResponseNormalization) {
	node := &c.net.Nodes[i]
	x, dy, sums := c.vals[slot(node.Inputs[0])], c.grads.At(i), c.lrns[i]
	channels := node.Out[2]
	positions := node.Out[0] * node.Out[1]
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		ratios := c.buffer(node.Name+" ratios", channels*kernel.Lanes)
		factor := 2 * l.Alpha * l.Beta / float32(l.Size)
		c.task(c.plainTask(i, "gradient", "lrn"), []*buffer{x, dy, sums, dx, ratios}, func(w *worker, g int) {
			xs, ds, ss, out, ratio := x.at(w, g), dy.at(w, g), sums.at(w, g), dx.at(w, g), ratios.at(w, g)
			row := channels * kernel.Lanes
			for p := range positions {
				in, up, s, o := xs[p*row:][:row], ds[p*row:][:row], ss[p*row:][:row], out[p*row:][:row]
				for k, t := range s {
					q := up[k] * inversePower(t, l.Beta)
					o[k] = q
					ratio[k] = q * in[k] / t
				}
				for ch := range channels {
					lo, hi := around(ch, l.Size, channels) // the size is odd: the relation is symmetric
					var sum [kernel.Lanes]float32
					for k := lo; k < hi; k++ {
						for lane, v := range ratio[k*kernel.Lanes:][:kernel.Lanes] {
							sum[lane] += v
						}
					}
					v, d := in[ch*kernel.Lanes:][:kernel.Lanes], o[ch*kernel.Lanes:][:kernel.Lanes]
					for lane, q := range sum {
						d[lane] -= factor * v[lane] * q
					}
				}
			}
		})
	})
}

// around is the range of channels whose squares channel ch's sum takes.
func around(ch, size, channels int) (lo, hi int) {
	lo = ch - size/2
	return max(lo, 0), min(lo+size, channels)
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
