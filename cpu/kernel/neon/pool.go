package main

import "fmt"

// Offsets in kernel.poolArgs.
const (
	poolX, poolY, poolArg, poolMask  = 0, 8, 16, 24
	poolTaps, poolTapsEnd            = 32, 40
	poolRows, poolCols, poolChannels = 48, 56, 64
	poolXRow, poolXCol               = 72, 80
	poolYRow, poolYCol, poolCount    = 88, 96, 144
)

// pools writes max and average pooling, forward and backward. A tap is its byte offset and its index, 16 bytes.
func pools(g *gen) {
	var names []string
	g.tables.WriteString("\n// The pooling kernels.\nconst (\n")
	for _, k := range []struct {
		name  string
		write func(name string)
	}{
		{"poolMax", g.poolMax},
		{"poolMaxGrad", func(name string) { g.poolMaxGrad(name, false) }},
		{"poolMaxGradAdd", func(name string) { g.poolMaxGrad(name, true) }},
		{"poolAverage", g.poolAverage},
		{"poolAverageGrad", func(name string) { g.poolAverageGrad(name, false) }},
		{"poolAverageGradAdd", func(name string) { g.poolAverageGrad(name, true) }},
	} {
		fmt.Fprintf(&g.tables, "%s = %d\n", k.name, len(names))
		names = append(names, k.name+"NEON")
		k.write(k.name + "NEON")
	}
	fmt.Fprintf(&g.tables, "poolKinds = %d\n)\n", len(names))
	g.dispatch("poolCall", names)
}

// The registers of the pooling loops: x is the position's base, y counts bytes of y from its start.
const (
	poolXP, poolYP, poolTap, poolTapAt, poolIndex = "R1", "R2", "R3", "R4", "R5"
	poolYBase, poolArgBase, poolMaskBase          = "R6", "R7", "R8"
	poolTemp                                      = "R9"
	poolTapsReg, poolTapsEndReg                   = "R10", "R11"
	poolNumber                                    = 31 // the register of zeros or of the number of taps
)

// poolLoop writes the loops over rows, columns and channels around body.
func (g *gen) poolLoop(name, doc string, body func()) {
	const rows, cols, channels = "R12", "R13", "R14"
	const xRow, yRow, xCol, yCol = "R15", "R16", "R17", "R19"
	const xRowStep, yRowStep, xColStep, yColStep = "R20", "R21", "R22", "R23"
	g.fn(name, doc)
	g.arg(poolX, xRow)
	g.arg(poolY, poolYBase)
	g.arg(poolArg, poolArgBase)
	g.arg(poolMask, poolMaskBase)
	g.arg(poolTaps, poolTapsReg)
	g.arg(poolTapsEnd, poolTapsEndReg)
	g.arg(poolXRow, xRowStep)
	g.arg(poolYRow, yRowStep)
	g.arg(poolXCol, xColStep)
	g.arg(poolYCol, yColStep)
	g.op("ADD $%d, R0, %s", poolCount, poolTemp)
	g.op("VLD1R (%s), [V%d.S4]", poolTemp, poolNumber)
	g.op("MOVD ZR, %s", yRow)
	g.arg(poolRows, rows)
	g.loop("row", rows, func() {
		g.op("MOVD %s, %s", xRow, xCol)
		g.op("MOVD %s, %s", yRow, yCol)
		g.arg(poolCols, cols)
		g.loop("col", cols, func() {
			g.op("MOVD %s, %s", xCol, poolXP)
			g.op("MOVD %s, %s", yCol, poolYP)
			g.arg(poolChannels, channels)
			g.loop("channel", channels, func() {
				body()
				g.op("ADD $64, %[1]s, %[1]s", poolXP)
				g.op("ADD $64, %[1]s, %[1]s", poolYP)
			})
			g.op("ADD %s, %s, %s", xColStep, xCol, xCol)
			g.op("ADD %s, %s, %s", yColStep, yCol, yCol)
		})
		g.op("ADD %s, %s, %s", xRowStep, xRow, xRow)
		g.op("ADD %s, %s, %s", yRowStep, yRow, yRow)
	})
	g.op("RET")
}

// nextTap takes the tap at poolTap: its vector's address and its index.
func (g *gen) nextTap() {
	g.op("LDP.P 16(%s), (%s, %s)", poolTap, poolTapAt, poolIndex)
	g.op("ADD %s, %s, %s", poolXP, poolTapAt, poolTapAt)
}

// eachTap writes a loop over all taps or over those that follow the first, which was taken.
func (g *gen) eachTap(all bool, body func()) {
	loop, done := g.label("tap"), g.label("taps")
	if all {
		g.op("MOVD %s, %s", poolTapsReg, poolTap)
	} else {
		g.op("CMP %s, %s", poolTapsEndReg, poolTap)
		g.op("BEQ %s", done)
	}
	g.at(loop)
	g.nextTap()
	body()
	g.op("CMP %s, %s", poolTapsEndReg, poolTap)
	g.op("BNE %s", loop)
	g.at(done)
}

// vector moves the 64 bytes at base to or from four registers.
func (g *gen) loadVector(base string, r int) {
	g.load2(base, 0, r, r+1)
	g.load2(base, 32, r+2, r+3)
}
func (g *gen) storeVector(base string, r int) {
	g.store2(base, 0, r, r+1)
	g.store2(base, 32, r+2, r+3)
}

// poolMax keeps the largest value and its tap's index, a byte for each lane: a tap wins where it is greater or NaN.
func (g *gen) poolMax(name string) {
	const best, which, index, x, wins, number = 0, 4, 5, 8, 12, 16
	g.poolLoop(name, "computes max pooling and, where there is room for them, the indices of the maxima.", func() {
		g.op("MOVD %s, %s", poolTapsReg, poolTap)
		g.nextTap()
		g.loadVector(poolTapAt, best)
		g.op("VDUP %s, V%d.B16", poolIndex, which)
		g.eachTap(false, func() {
			g.loadVector(poolTapAt, x)
			g.op("VDUP %s, V%d.B16", poolIndex, index)
			for h := range 4 {
				g.op3("fcmgt", wins+h, x+h, best+h)
				g.op3("fcmeq", number+h, x+h, x+h)
				g.op3("orn", wins+h, wins+h, number+h)
				g.op3("bit", best+h, x+h, wins+h)
			}
			g.narrow(wins)
			g.op3("bit", which, index, wins)
		})
		g.op("ADD %s, %s, %s", poolYBase, poolYP, poolTemp)
		g.storeVector(poolTemp, best)
		done := g.label("done")
		g.op("CBZ %s, %s", poolArgBase, done)
		open := g.label("open")
		g.op("CBZ %s, %s", poolMaskBase, open)
		g.zero(number)
		for h := range 4 {
			g.op3("fcmgt", wins+h, best+h, number)
		}
		g.narrow(wins)
		g.op3("orn", which, which, wins) // 255 where the maximum is not above 0
		g.at(open)
		g.op("ADD %s>>2, %s, %s", poolYP, poolArgBase, poolTemp)
		g.store(poolTemp, 0, which)
		g.at(done)
	})
}

// narrow makes a register of a byte for each lane of four masks.
func (g *gen) narrow(masks int) {
	g.op("VUZP1 V%d.H8, V%d.H8, V%d.H8", masks+1, masks, masks)
	g.op("VUZP1 V%d.H8, V%d.H8, V%d.H8", masks+3, masks+2, masks+2)
	g.op("VUZP1 V%d.B16, V%d.B16, V%d.B16", masks+2, masks, masks)
}

// poolMaxGrad sends dy to the taps that won.
func (g *gen) poolMaxGrad(name string, add bool) {
	const d, which, index, mask, sent, old = 0, 4, 5, 8, 16, 20
	g.poolLoop(name, "sends the gradient of max pooling to the maxima.", func() {
		g.op("ADD %s, %s, %s", poolYBase, poolYP, poolTemp)
		g.loadVector(poolTemp, d)
		g.op("ADD %s>>2, %s, %s", poolYP, poolArgBase, poolTemp)
		g.load(poolTemp, 0, which)
		g.eachTap(true, func() {
			g.op("VDUP %s, V%d.B16", poolIndex, index)
			g.op("VCMEQ V%d.B16, V%d.B16, V%d.B16", index, which, mask)
			// each byte of the mask four times
			for i, n := range []int{1, 2} {
				g.op("VZIP%d V%d.B16, V%d.B16, V%d.B16", n, mask, mask, mask+1+i)
			}
			for h := range 4 {
				g.op("VZIP%d V%d.H8, V%d.H8, V%d.H8", 1+h%2, mask+1+h/2, mask+1+h/2, sent+h)
				g.op("VAND V%d.B16, V%d.B16, V%d.B16", d+h, sent+h, sent+h)
			}
			if add {
				g.loadVector(poolTapAt, old)
				for h := range 4 {
					g.op3("fadd", sent+h, sent+h, old+h)
				}
			}
			g.storeVector(poolTapAt, sent)
		})
	})
}

func (g *gen) poolAverage(name string) {
	const sum, x = 0, 4
	g.poolLoop(name, "computes average pooling.", func() {
		g.op("MOVD %s, %s", poolTapsReg, poolTap)
		g.nextTap()
		g.loadVector(poolTapAt, sum)
		g.eachTap(false, func() {
			g.loadVector(poolTapAt, x)
			for h := range 4 {
				g.op3("fadd", sum+h, sum+h, x+h)
			}
		})
		for h := range 4 {
			g.op3("fdiv", sum+h, sum+h, poolNumber)
		}
		g.op("ADD %s, %s, %s", poolYBase, poolYP, poolTemp)
		g.storeVector(poolTemp, sum)
	})
}

func (g *gen) poolAverageGrad(name string, add bool) {
	const d, sum = 0, 4
	g.poolLoop(name, "spreads the gradient of average pooling.", func() {
		g.op("ADD %s, %s, %s", poolYBase, poolYP, poolTemp)
		g.loadVector(poolTemp, d)
		for h := range 4 {
			g.op3("fdiv", d+h, d+h, poolNumber)
		}
		g.eachTap(true, func() {
			if !add {
				g.storeVector(poolTapAt, d)
				return
			}
			g.loadVector(poolTapAt, sum)
			for h := range 4 {
				g.op3("fadd", sum+h, sum+h, d+h)
			}
			g.storeVector(poolTapAt, sum)
		})
	})
}
