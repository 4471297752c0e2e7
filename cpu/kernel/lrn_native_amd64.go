package kernel

import "unsafe"

// lrnArgs is what the assembly of local response normalisation reads. The generator knows the offsets.
type lrnArgs struct {
	x, y, dy         unsafe.Pointer
	squares, ratios  unsafe.Pointer // of the first channel
	vectors          int            // of a position
	positions        int
	step             int // bytes from a channel to the next
	size             int // channels of a sum
	before           int // bytes from the first of them to the one that they are around
	tail             int // bytes to the end of a row's last channel
	share, bias      float32
	minusBeta, scale float32
}

// setLRN installs local response normalisation; off is the path's first kernel.
func setLRN(i *implementation, off int) {
	run := func(id int, y, dy, x, scratch []float32, n *LRN, positions int) {
		if positions == 0 {
			return
		}
		switch n.Beta {
		case 0.5:
			id += lrnForwardHalf
		case 0.75:
			id += lrnForwardQuarters
		case 1:
			id += lrnForwardOne
		}
		row, margin := n.row(), n.margin()
		squares, ratios := scratch[:row], scratch[row:]
		for _, s := range [][]float32{squares, ratios} {
			clear(s[:margin])
			clear(s[row-margin:])
		}
		step := n.step() * 4
		a := lrnArgs{
			x: base(x), y: base(y), dy: base(dy), squares: base(squares[margin:]), ratios: base(ratios[margin:]),
			vectors: n.vectors(), positions: positions, step: step, size: n.Size, before: n.Size / 2 * step, tail: n.Channels * step,
			share: n.Share, bias: n.Bias, minusBeta: -n.Beta, scale: n.factor(),
		}
		lrnCall(off+id, (*byte)(unsafe.Pointer(&a)))
	}
	i.lrn = func(y, x, scratch []float32, n *LRN, positions int) {
		run(lrnForward, y, nil, x, scratch, n, positions)
	}
	i.lrnGrad = func(dx, dy, x, scratch []float32, n *LRN, positions int) {
		run(lrnGrad, dx, dy, x, scratch, n, positions)
	}
}
