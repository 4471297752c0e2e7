package main

// Offsets in kernel.toSamplesArgs.
const toSamplesDst, toSamplesSrc, toSamplesLD, toSamplesN = 0, 8, 16, 24

// transposes writes toSamples: four vectors become four floats of each of 16 rows.
func transposes(g *gen) {
	const dst, src, ld, n, row = "R1", "R2", "R3", "R4", "R5"
	g.fn("toSamples4NEON", "turns n times four vectors to columns of 16 rows.")
	g.arg(toSamplesDst, dst)
	g.arg(toSamplesSrc, src)
	g.arg(toSamplesLD, ld)
	g.arg(toSamplesN, n)
	g.loop("four", n, func() {
		g.op("MOVD %s, %s", dst, row)
		for q := range 4 {
			a, t := 8*(q%2), 16+8*(q%2)
			for r := range 4 {
				g.load(src, 64*r+16*q, a+r)
			}
			for i, r := range []int{0, 2} { // pairs of rows: even and odd columns
				g.op("VTRN1 V%d.S4, V%d.S4, V%d.S4", a+r+1, a+r, t+2*i)
				g.op("VTRN2 V%d.S4, V%d.S4, V%d.S4", a+r+1, a+r, t+2*i+1)
			}
			for c := range 4 {
				g.op("VTRN%d V%d.D2, V%d.D2, V%d.D2", 1+c/2, t+2+c%2, t+c%2, a+4+c)
				g.store(row, 0, a+4+c)
				g.op("ADD %s, %s, %s", ld, row, row)
			}
		}
		g.op("ADD $256, %[1]s, %[1]s", src)
		g.op("ADD $16, %[1]s, %[1]s", dst)
	})
	g.op("RET")
}
