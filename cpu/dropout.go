package cpu

import (
	"math"

	"gcnn/cpu/kernel"
	"gcnn/internal/philox"
	"gcnn/model"
)

// dropoutForward emits y = x/(1−rate) where device.Keeps says so, and 0 elsewhere; in inference it is nothing at all.
func (c *compiler) dropoutForward(i int, l model.Dropout) {
	node := &c.net.Nodes[i]
	x := c.vals[slot(node.Inputs[0])]
	if c.purpose.mode == inference || c.purpose.infer || l.Rate == 0 {
		c.vals[slot(i)] = x
		return
	}
	y := c.value(i)
	if c.single {
		c.channelDropout(i, l, x, y)
		return
	}
	size := node.Out.Size()
	mask := c.buffer(node.Name+" mask", size/2+1)
	c.masks[i] = mask
	seed := uint64(0)
	if c.spec.Training != nil {
		seed = c.spec.Training.Seed
	}
	least := leastKept(l.Rate)
	scale := dropoutScale(l.Rate)
	c.task(c.plainTask(i, "forward", "dropout"), []*buffer{x, y, mask}, func(w *worker, g int) {
		m := uint16sOf(mask.at(w, g), size)
		drawMask(m, seed, w.step.number, i, g, size, least)
		applyMask(y.at(w, g), x.at(w, g), m, scale)
	})
}

func (c *compiler) dropoutBackward(i int, l model.Dropout) {
	node := &c.net.Nodes[i]
	mask, dy := c.masks[i], c.grads.At(i)
	if mask == nil {
		c.grads.Pass(node.Inputs[0], dy)
		return
	}
	if c.single {
		c.channelDropoutGrad(i, l)
		return
	}
	size := node.Out.Size()
	scale := dropoutScale(l.Rate)
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		c.task(c.plainTask(i, "gradient", "dropout"), []*buffer{dx, dy, mask}, func(w *worker, g int) {
			applyMask(dx.at(w, g), dy.at(w, g), uint16sOf(mask.at(w, g), size), scale)
		})
	})
}

// dropoutScale is what kept elements are multiplied by.
func dropoutScale(rate float32) float32 { return float32(1 / (1 - float64(rate))) }

// leastKept is the least number of 24 bits that philox.Unit makes a float of at least rate.
func leastKept(rate float32) uint32 { return uint32(math.Ceil(float64(rate) * (1 << 24))) }

// drawMask sets bit l of mask[e] where element e of group g's sample l is kept. It draws what device.Keeps does, each block of
// four elements once.
func drawMask(mask []uint16, seed uint64, step int64, layer, g, size int, least uint32) {
	clear(mask)
	for lane := range kernel.Lanes {
		first := (g*kernel.Lanes + lane) * size
		bit := uint16(1) << lane
		for at := first &^ 3; at < first+size; at += 4 {
			words := philox.Words(seed, philox.Dropout, uint32(at/4), uint32(step), uint32(layer))
			for k, word := range words {
				if e := at + k - first; e >= 0 && e < size && word>>8 >= least {
					mask[e] |= bit
				}
			}
		}
	}
}

// applyMask scales the kept elements and zeroes the others.
func applyMask(y, x []float32, mask []uint16, scale float32) {
	for e, m := range mask {
		v, u := y[e*kernel.Lanes:][:kernel.Lanes], x[e*kernel.Lanes:][:kernel.Lanes]
		for l := range v {
			v[l] = 0
			if m>>l&1 != 0 {
				v[l] = u[l] * scale
			}
		}
	}
}
