package kernel

import "fmt"

// GradPositions is the weight gradient of one sample whose lanes are outputs, as those of Outputs are:
//
//	dw[t·WTap + j] += Σ_q x[q + off(t)] · dy[q + j]
//
// Strides and offsets of x and dy are counted in floats. What lies between the outputs of dy and the next multiple of 16 does not matter,
// but is read. Each weight adds over rows, then columns.
type GradPositions struct {
	GradSpec
	WTap int
	x, w int
	run  func(g *GradPositions, dw, x, dy []float32, rows int)
	aux  gradPlan
}

// NewGradPositions checks a spec and makes it ready; wtap, the floats from one row of dw to the next, is at least Outs. Errors wrap ErrSpec.
func (k *Kernels) NewGradPositions(s GradSpec, wtap int) (*GradPositions, error) {
	x, rows, err := s.checkGrad()
	if err != nil {
		return nil, err
	}
	if wtap < s.Outs {
		return nil, fmt.Errorf("%w: rows of dw are %d floats apart, less than the %d outputs", ErrSpec, wtap, s.Outs)
	}
	g := &GradPositions{GradSpec: s, WTap: wtap, x: x, w: (rows-1)*wtap + s.Outs, run: k.impl.gradPositions}
	g.aux = k.impl.planPositions(g)
	return g, nil
}

// Flops is the number of floating-point operations of so many rows.
func (g *GradPositions) Flops(rows int) int64 { return g.GradSpec.Flops(rows) / Lanes }

// Do adds rows rows of positions to dw.
func (g *GradPositions) Do(dw, x, dy []float32, rows int) {
	if rows > 0 {
		g.run(g, dw[:g.w], x[:g.Grid.x(rows, g.x)], dy[:g.y(rows, Padded(g.Outs))], rows)
	}
}

func gradPositionsPortable(g *GradPositions, dw, x, dy []float32, rows int) {
	for _, t := range g.Taps {
		for i := range int(t.N) {
			row := dw[(int(t.W)+i)*g.WTap:][:g.Outs]
			for j := 0; j < g.Outs; j += 8 {
				n := min(8, g.Outs-j)
				var s [8]float32
				copy(s[:n], row[j:])
				a0, a1, a2, a3, a4, a5, a6, a7 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
				for r := range rows {
					at, up := r*g.XRow+int(t.X)+i, r*g.YRow+j
					for range g.Cols {
						v, d := x[at], (*[8]float32)(dy[up:])
						a0 += v * d[0]
						a1 += v * d[1]
						a2 += v * d[2]
						a3 += v * d[3]
						a4 += v * d[4]
						a5 += v * d[5]
						a6 += v * d[6]
						a7 += v * d[7]
						at, up = at+g.XCol, up+g.YCol
					}
				}
				s = [8]float32{a0, a1, a2, a3, a4, a5, a6, a7}
				copy(row[j:j+n], s[:n])
			}
		}
	}
}
