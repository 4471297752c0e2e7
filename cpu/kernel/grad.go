package kernel

import "fmt"

// GradSpec describes the weight gradient of a convolution or a dense layer: for each tap t of the runs and output j
//
//	dw[t][j] += Σ_q Σ_lane x[q + off(t)] · dy[q + j]
//
// over the positions q of the grid (Y strides are dy's). In a call every tap must be valid at every position.
type GradSpec struct {
	Grid
	Taps []Run
	Outs int
}

// each calls f with the row of dw of every tap and its offset in x.
func (s GradSpec) each(f func(row, off int)) {
	for _, t := range s.Taps {
		for i := range int(t.N) {
			f(int(t.W)+i, int(t.X)+i)
		}
	}
}

func (s GradSpec) checkGrad() (x, w int, err error) {
	if x, w, err = checkRuns(s.Taps); err != nil {
		return 0, 0, err
	}
	if s.Outs < 1 {
		return 0, 0, fmt.Errorf("%w: outputs are at least 1, got %d", ErrSpec, s.Outs)
	}
	return x, w, s.check()
}

// Flops is the number of floating-point operations of so many rows.
func (s GradSpec) Flops(rows int) int64 {
	taps := int64(0)
	for _, r := range s.Taps {
		taps += int64(r.N)
	}
	return 2 * Lanes * taps * int64(s.Outs) * int64(s.Cols) * int64(rows)
}

// PreferLanes says whether GradLanes beats GradOuter for a layer: where there are few outputs, lanes over outputs would stay empty.
func PreferLanes(outs int) bool { return outs < Lanes }

// GradLanes is the variant whose 16 lanes are the samples: acc is [taps][Outs] vectors (row W+i of a run), summed at the end by ReduceLanes.
type GradLanes struct {
	GradSpec
	x, w int
	run  func(g *GradLanes, acc, x, dy []float32, rows int)
	aux  gradPlan
}

// NewGradLanes checks a spec and makes it ready. Errors wrap ErrSpec.
func (k *Kernels) NewGradLanes(s GradSpec) (*GradLanes, error) {
	x, w, err := s.checkGrad()
	if err != nil {
		return nil, err
	}
	g := &GradLanes{GradSpec: s, x: x, w: w, run: k.impl.gradLanes}
	g.aux = k.impl.planLanes(g)
	return g, nil
}

// Do adds rows rows to acc.
func (g *GradLanes) Do(acc, x, dy []float32, rows int) {
	if rows <= 0 {
		return
	}
	g.run(g, vectors(acc, g.w*g.Outs), vectors(x, g.Grid.x(rows, g.x)), vectors(dy, g.y(rows, g.Outs)), rows)
}

func gradLanesPortable(g *GradLanes, acc, x, dy []float32, rows int) {
	for _, t := range g.Taps {
		for i := range int(t.N) {
			for j := range g.Outs {
				a := vec(acc, ((int(t.W)+i)*g.Outs+j)*Lanes)
				for h := 0; h < Lanes; h += 8 {
					s := (*[8]float32)(a[h:])
					a0, a1, a2, a3, a4, a5, a6, a7 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
					for r := range rows {
						xi := (r*g.XRow+int(t.X)+i)*Lanes + h
						yi := (r*g.YRow+j)*Lanes + h
						for range g.Cols {
							p, q := (*[8]float32)(x[xi:]), (*[8]float32)(dy[yi:])
							a0 += p[0] * q[0]
							a1 += p[1] * q[1]
							a2 += p[2] * q[2]
							a3 += p[3] * q[3]
							a4 += p[4] * q[4]
							a5 += p[5] * q[5]
							a6 += p[6] * q[6]
							a7 += p[7] * q[7]
							xi += g.XCol * Lanes
							yi += g.YCol * Lanes
						}
					}
					*s = [8]float32{a0, a1, a2, a3, a4, a5, a6, a7}
				}
			}
		}
	}
}

// ReduceLanes sums vectors to floats: dst[i] = Σ_s Σ_l acc[s·stride + i][l], shards in order, then the first valid lanes in a fixed tree
// (the others count as zero). acc holds shards of n vectors, stride vectors apart.
func (k *Kernels) ReduceLanes(dst, acc []float32, n, shards, stride, valid int) {
	if n <= 0 {
		return
	}
	if shards == 1 && valid == Lanes {
		k.impl.addLanes(dst[:n], vectors(acc, n))
		return
	}
	reduceLanes(dst[:n], vectors(acc, (shards-1)*stride+n), shards, stride, valid)
}

func addLanesPortable(dst, acc []float32) { reduceLanes(dst, acc, 1, 0, Lanes) }

func reduceLanes(dst, acc []float32, shards, stride, valid int) {
	for i := range dst {
		a := *vec(acc, i*Lanes)
		for s := 1; s < shards; s++ {
			b := vec(acc, (s*stride+i)*Lanes)
			for l := range a {
				a[l] += b[l]
			}
		}
		for l := valid; l < Lanes; l++ {
			a[l] = 0
		}
		for h := Lanes / 2; h > 0; h /= 2 {
			for l := range h {
				a[l] += a[l+h]
			}
		}
		dst[i] = a[0]
	}
}

// SumShards adds flat partial sums in order: dst[i] = Σ_s parts[s·stride + i].
func (k *Kernels) SumShards(dst, parts []float32, shards, stride int) {
	if len(dst) == 0 {
		return
	}
	k.impl.sumShards(dst, parts[:(shards-1)*stride+len(dst)], shards, stride)
}

func sumShardsPortable(dst, parts []float32, shards, stride int) {
	copy(dst, parts)
	for s := 1; s < shards; s++ {
		p := parts[s*stride:][:len(dst)]
		for i := range dst {
			dst[i] += p[i]
		}
	}
}

// GradOuter is the variant whose lanes are outputs. dy is sample-major, as ToSamples makes it: for each position 16 rows of Padded(Outs) floats; the
// grid's Y strides count vectors there too, so neighbouring positions are Padded(Outs) vectors apart. What lies in the padding does
// not matter. dw is row-major with WTap floats a row.
type GradOuter struct {
	GradSpec
	WTap int
	x, w int
	k    *Kernels
	cols []updateColumn // of Update
	run  func(g *GradOuter, dw, x, dy []float32, rows int, add bool)
	aux  gradPlan
}

// Padded is n rounded up to a multiple of 16.
func Padded(n int) int { return (n + Lanes - 1) / Lanes * Lanes }

// NewGradOuter checks a spec and makes it ready; wtap is at least Outs. Errors wrap ErrSpec.
func (k *Kernels) NewGradOuter(s GradSpec, wtap int) (*GradOuter, error) {
	x, rows, err := s.checkGrad()
	if err != nil {
		return nil, err
	}
	if wtap < s.Outs {
		return nil, fmt.Errorf("%w: rows of dw are %d floats apart, less than the %d outputs", ErrSpec, wtap, s.Outs)
	}
	g := &GradOuter{GradSpec: s, WTap: wtap, x: x, w: (rows-1)*wtap + s.Outs, k: k, run: k.impl.gradOuter}
	g.aux = k.impl.planOuter(g)
	if k.impl.planUpdate != nil {
		g.cols = k.impl.planUpdate(g)
	}
	return g, nil
}

// Do computes rows rows of positions; with add they are added to dw, without they replace it.
func (g *GradOuter) Do(dw, x, dy []float32, rows int, add bool) {
	if rows <= 0 {
		return
	}
	g.run(g, dw[:g.w], vectors(x, g.Grid.x(rows, g.x)), vectors(dy, g.y(rows, Padded(g.Outs))), rows, add)
}

func gradOuterPortable(g *GradOuter, dw, x, dy []float32, rows int, add bool) {
	ld := Padded(g.Outs)
	var tail [8]float32
	for _, t := range g.Taps {
		for i := range int(t.N) {
			row := dw[(int(t.W)+i)*g.WTap:][:g.Outs]
			for j := 0; j < g.Outs; j += 8 {
				n := min(8, g.Outs-j)
				tail = [8]float32{}
				if add {
					copy(tail[:n], row[j:])
				}
				s := tail
				for r := range rows {
					for c := range g.Cols {
						v := vec(x, (r*g.XRow+c*g.XCol+int(t.X)+i)*Lanes)
						outer8(&s, v, dy[(r*g.YRow+c*g.YCol)*Lanes+j:], ld)
					}
				}
				copy(row[j:j+n], s[:n])
			}
		}
	}
}

// outer8 adds the 16 samples of one position to eight outputs.
func outer8(s *[8]float32, v *[Lanes]float32, dy []float32, ld int) {
	a0, a1, a2, a3, a4, a5, a6, a7 := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
	for n, p := range v {
		d := (*[8]float32)(dy[n*ld:])
		a0 += p * d[0]
		a1 += p * d[1]
		a2 += p * d[2]
		a3 += p * d[3]
		a4 += p * d[4]
		a5 += p * d[5]
		a6 += p * d[6]
		a7 += p * d[7]
	}
	*s = [8]float32{a0, a1, a2, a3, a4, a5, a6, a7}
}
