//go:build cuda

package kernels_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gcnn/kernels"
)

// softmax is a row's probabilities in float64, and the logarithm of their denominator over the largest.
func softmax(z []float32) (p []float64, largest, logSum float64) {
	largest = math.Inf(-1)
	for _, v := range z {
		largest = math.Max(largest, float64(v))
	}
	sum := 0.0
	p = make([]float64, len(z))
	for c, v := range z {
		p[c] = math.Exp(float64(v) - largest)
		sum += p[c]
	}
	for c := range p {
		p[c] /= sum
	}
	return p, largest, math.Log(sum)
}

// A probability's error: exp's argument is off by u·|z−max|, exp by 2u, a sum of n terms by (n/32+6)·u, the division by u.
func softmaxBound(classes int, distance float64) float64 {
	return (10 + float64(classes)/32 + distance) * u
}

func TestCrossEntropy(t *testing.T) {
	t.Parallel()
	for _, shape := range [][3]int{{1, 2, 1}, {8, 10, 8}, {13, 10, 5}, {5, 100, 5}} {
		for _, smoothing := range []float32{0, 0.1} {
			for _, weighted := range []bool{false, true} {
				t.Run(fmt.Sprint(shape, smoothing, weighted), func(t *testing.T) {
					t.Parallel()
					rows, classes, valid := shape[0], shape[1], shape[2]
					z, r := inputs(rows*classes, 9), rand.New(rand.NewPCG(10, 0))
					z[(valid-1)*classes], z[(valid-1)*classes+1] = 100, 100 // equal maxima
					targets, weights := make([]int32, rows), make([]float32, classes)
					for i := range targets {
						targets[i] = int32(r.IntN(classes))
					}
					for i := range weights {
						weights[i] = 0.5 + r.Float32()
					}
					var where kernels.Pointer
					if weighted {
						where = upload(t, weights).ptr()
					}
					p, dz, losses, hits := make([]float64, rows*classes), make([]float64, rows*classes), make([]float64, rows), make([]int32, rows)
					distance := make([]float64, rows)
					for row := range valid {
						at := z[row*classes : (row+1)*classes]
						q, m, logSum := softmax(at)
						copy(p[row*classes:], q)
						weight, best := 1.0, 0
						if weighted {
							weight = float64(weights[targets[row]])
						}
						loss := 0.0
						for c := range classes {
							if at[c] > at[best] {
								best = c
							}
							target := float64(smoothing) / float64(classes)
							if int32(c) == targets[row] {
								target += 1 - float64(smoothing)
							}
							loss += target * (logSum - (float64(at[c]) - m))
							dz[row*classes+c] = weight * (q[c] - target) / float64(valid)
							distance[row] = math.Max(distance[row], m-float64(at[c]))
						}
						losses[row] = weight * loss
						if int32(best) == targets[row] {
							hits[row] = 1
						}
					}
					gz, gt := upload(t, z), upload(t, targets)
					gl, gh := empty(t, rows), upload(t, make([]int32, rows))
					launch(t, kernels.CrossEntropy{Logits: gz.ptr(), Targets: gt.ptr(), Weights: where, Gradient: gz.ptr(), Losses: gl.ptr(), Hits: gh.ptr(),
						Rows: uint32(rows), Classes: uint32(classes), Valid: uint32(valid), Smoothing: smoothing, Divisor: float32(valid)}.Launch())
					equal(t, "hits", gh.host(), hits)
					near(t, "gradient", gz.host(), dz, func(i int) float64 {
						return 2 / float64(valid) * ((softmaxBound(classes, distance[i/classes])+3*u)*p[i] + 6*u*math.Abs(p[i]-dz[i]*float64(valid)/2) + 4*u*boolean(dz[i] != 0))
					})
					near(t, "losses", gl.host(), losses, func(row int) float64 {
						return (float64(classes)/16 + 16) * u * 2 * (1 + distance[row]) * boolean(row < valid)
					})
				})
			}
		}
	}
}

func TestEndStep(t *testing.T) {
	t.Parallel()
	const valid = 700
	losses, hits := inputs(valid, 11), make([]int32, valid)
	for i := range hits {
		hits[i] = int32(i % 3 % 2)
	}
	gl, gh, totals, cursor, progress := upload(t, losses), upload(t, hits), upload(t, make([]byte, kernels.TotalsBytes)), upload(t, []uint64{4, 40, 0, 0}), upload(t, make([]byte, kernels.ProgressBytes))
	sum, correct := 0.0, 0
	for i := range valid {
		sum, correct = sum+float64(losses[i]), correct+int(hits[i])
	}
	for step := 1; step <= 2; step++ {
		launch(t, kernels.EndStep{Losses: gl.ptr(), Hits: gh.ptr(), Totals: totals.ptr(), Cursor: cursor.ptr(), Progress: progress.ptr(), Valid: valid}.Launch())
		b, p := totals.host(), progress.host()
		loss := math.Float64frombits(binary.LittleEndian.Uint64(b))
		if math.Abs(loss-sum*float64(step)) > 1e-10 {
			t.Errorf("loss %g, want %g", loss, sum*float64(step))
		}
		if c, n := binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:]); c != uint64(correct*step) || n != uint64(valid*step) {
			t.Errorf("%d of %d correct, want %d of %d", c, n, correct*step, valid*step)
		}
		equal(t, "cursor", cursor.host(), []uint64{uint64(4 + step), uint64(40 + step), 0, 0})
		equal(t, "the progress' totals", p[8:32], b)
		if begin, end := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[32:]); begin != uint64(4+step) || end != begin {
			t.Errorf("progress from %d to %d", begin, end)
		}
	}
}
