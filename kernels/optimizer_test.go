//go:build cuda

package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"gcnn/kernels"
)

// The optimisers are compared bit for bit with the same float32 operations in Go: nothing in the kernels may be contracted or
// approximated. That the formulas are Keras' is shown by the backends' conformance suite.

const params = 1000

func f32sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) } // correctly rounded: 53 ≥ 2·24+2 bits

func TestOptimizers(t *testing.T) {
	t.Parallel()
	rates, decays, cursor := upload(t, []float32{9, 9, 0.01}), upload(t, []float32{9, 9, 0.001}), upload(t, []uint64{2, 0, 0, 0})
	w, g, m := inputs(params, 12), inputs(params, 13), inputs(params, 14)
	v := make([]float32, params)
	for i, x := range inputs(params, 15) {
		v[i] = x * x
	}
	const rate, decay, clip = 0.01, 0.001, 0.3
	factor := upload(t, []float32{clip})
	for _, full := range []bool{false, true} { // with decay and clipping
		var pd, pc kernels.Pointer
		if full {
			pd, pc = decays.ptr(), factor.ptr()
		}
		base := func(i int) (w0, d float32) {
			w0, d = w[i], g[i]
			if full {
				w0, d = w0-float32(w0*decay), float32(d*clip)
			}
			return w0, d
		}
		for _, momentum := range []float32{0, 0.9} {
			for _, nesterov := range []int32{0, 1} {
				t.Run(fmt.Sprint("sgd ", full, momentum, nesterov), func(t *testing.T) {
					gw, gg, gm := upload(t, w), upload(t, g), upload(t, m)
					var pm kernels.Pointer
					if momentum != 0 {
						pm = gm.ptr()
					}
					launch(t, kernels.SGD{W: gw.ptr(), G: gg.ptr(), Velocity: pm, Rates: rates.ptr(), Decays: pd, Cursor: cursor.ptr(), Clip: pc, N: params, Momentum: momentum, Nesterov: nesterov}.Launch())
					want, wantM := make([]float32, params), append([]float32(nil), m...)
					for i := range want {
						w0, d := base(i)
						step := float32(rate * d)
						switch {
						case momentum == 0:
							want[i] = w0 - step
						case nesterov == 1:
							wantM[i] = float32(momentum*m[i]) - step
							want[i] = w0 + (float32(momentum*wantM[i]) - step)
						default:
							wantM[i] = float32(momentum*m[i]) - step
							want[i] = w0 + wantM[i]
						}
					}
					equal(t, "w", gw.host(), want)
					equal(t, "velocity", gm.host(), wantM)
				})
			}
			t.Run(fmt.Sprint("rmsprop ", full, momentum), func(t *testing.T) {
				const rho, rest, epsilon = 0.9, 0.1, 1e-7
				gw, gg, gv, gm := upload(t, w), upload(t, g), upload(t, v), upload(t, m)
				var pm kernels.Pointer
				if momentum != 0 {
					pm = gm.ptr()
				}
				launch(t, kernels.RMSprop{W: gw.ptr(), G: gg.ptr(), Velocity: gv.ptr(), Momentum: pm, Rates: rates.ptr(), Decays: pd, Cursor: cursor.ptr(), Clip: pc, N: params, Rho: rho, Rest: rest, Mu: momentum, Epsilon: epsilon}.Launch())
				want, wantV, wantM := make([]float32, params), make([]float32, params), append([]float32(nil), m...)
				for i := range want {
					w0, d := base(i)
					wantV[i] = float32(rho*v[i]) + float32(rest*float32(d*d))
					step := float32(rate*d) / f32sqrt(wantV[i]+epsilon)
					if momentum != 0 {
						step += float32(momentum * m[i])
						wantM[i] = step
					}
					want[i] = w0 - step
				}
				equal(t, "w", gw.host(), want)
				equal(t, "velocity", gv.host(), wantV)
				equal(t, "momentum", gm.host(), wantM)
			})
		}
		t.Run(fmt.Sprint("adam ", full), func(t *testing.T) {
			const rest1, rest2, epsilon = 0.1, 0.001, 1e-7
			gw, gg, gm, gv := upload(t, w), upload(t, g), upload(t, m), upload(t, v)
			launch(t, kernels.Adam{W: gw.ptr(), G: gg.ptr(), Momentum: gm.ptr(), Velocity: gv.ptr(), Rates: rates.ptr(), Decays: pd, Cursor: cursor.ptr(), Clip: pc, N: params, Rest1: rest1, Rest2: rest2, Epsilon: epsilon}.Launch())
			want, wantM, wantV := make([]float32, params), make([]float32, params), make([]float32, params)
			for i := range want {
				w0, d := base(i)
				wantM[i] = m[i] + float32(float32(d-m[i])*rest1)
				wantV[i] = v[i] + float32(float32(float32(d*d)-v[i])*rest2)
				want[i] = w0 - float32(wantM[i]*rate)/(f32sqrt(wantV[i])+epsilon)
			}
			equal(t, "w", gw.host(), want)
			equal(t, "momentum", gm.host(), wantM)
			equal(t, "velocity", gv.host(), wantV)
		})
	}
}

// TestWatch checks that every optimiser reports a weight that it found to be no number, and no other, and that end_step makes a
// loss of NaN of the report.
func TestWatch(t *testing.T) {
	t.Parallel()
	rate, g := upload(t, []float32{0.1}), upload(t, make([]float32, params))
	for name, bad := range map[string]float32{"finite": math.MaxFloat32, "NaN": float32(math.NaN()), "infinite": float32(math.Inf(-1))} {
		w := inputs(params, 19)
		w[params-1] = bad
		for optimizer, of := range map[string]func(w, cursor kernels.Pointer) kernels.Launch{
			"sgd": func(w, cursor kernels.Pointer) kernels.Launch {
				return kernels.SGD{W: w, G: g.ptr(), Rates: rate.ptr(), Cursor: cursor, N: params}.Launch()
			},
			"adam": func(w, cursor kernels.Pointer) kernels.Launch {
				return kernels.Adam{W: w, G: g.ptr(), Momentum: upload(t, make([]float32, params)).ptr(), Velocity: upload(t, make([]float32, params)).ptr(),
					Rates: rate.ptr(), Cursor: cursor, N: params, Epsilon: 1}.Launch()
			},
			"rmsprop": func(w, cursor kernels.Pointer) kernels.Launch {
				return kernels.RMSprop{W: w, G: g.ptr(), Velocity: upload(t, make([]float32, params)).ptr(), Rates: rate.ptr(), Cursor: cursor, N: params, Epsilon: 1}.Launch()
			},
		} {
			t.Run(optimizer+" "+name, func(t *testing.T) {
				gw, cursor := upload(t, w), upload(t, []uint64{0, 0, 0, 0})
				launch(t, of(gw.ptr(), cursor.ptr()))
				want := uint64(1)
				if name == "finite" {
					want = 0
				}
				equal(t, "cursor", cursor.host(), []uint64{0, 0, 0, want})
				totals := upload(t, []uint64{0, 0, 0})
				launch(t, kernels.EndStep{Losses: upload(t, []float32{1}).ptr(), Hits: upload(t, []int32{0}).ptr(), Totals: totals.ptr(), Cursor: cursor.ptr(), Valid: 1, Stop: 1}.Launch())
				equal(t, "cursor", cursor.host(), []uint64{1, 1, want, want})
				if loss := math.Float64frombits(totals.host()[0]); math.IsNaN(loss) != (want == 1) {
					t.Errorf("the loss is %g", loss)
				}
			})
		}
	}
}

func TestClipFactor(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 255, 5000, 300000} {
		g := inputs(n, 16)
		sum := 0.0
		for _, x := range g {
			sum += float64(x) * float64(x)
		}
		norm := math.Sqrt(sum)
		gg, partials, ticket, factor := upload(t, g), upload(t, make([]float64, kernels.ReductionBlocks(n))), upload(t, []uint32{0}), empty(t, 1)
		for _, limit := range []float32{1e-3, 1, 1e9} {
			launch(t, kernels.ClipFactor{G: gg.ptr(), Partials: partials.ptr(), Ticket: ticket.ptr(), Factor: factor.ptr(), N: uint32(n), Limit: limit}.Launch())
			want := float64(limit) / math.Max(norm, float64(limit))
			near(t, "factor", factor.host(), []float64{want}, func(int) float64 { return 2 * u * want })
		}
	}
}

func TestEMA(t *testing.T) {
	t.Parallel()
	average, w := inputs(500, 19), inputs(500, 20)
	for _, c := range []struct {
		every       uint32
		taken, stop uint64
		want        bool
	}{{1, 0, 0, true}, {1, 6, 0, true}, {5, 3, 0, false}, {5, 4, 0, true}, {5, 5, 0, false}, {5, 1 << 40, 0, false}, {5, 1<<40 + 3, 0, true}, {1, 0, 1, false}} {
		ga, gw, cursor := upload(t, average), upload(t, w), upload(t, []uint64{99, c.taken, c.stop})
		want := append([]float32(nil), average...)
		for i := range want {
			if c.want {
				want[i] = float32(average[i]*0.99) + float32(w[i]*0.01)
			}
		}
		launch(t, kernels.EMA{Average: ga.ptr(), W: gw.ptr(), Cursor: cursor.ptr(), N: 500, Every: c.every, Momentum: 0.99, Rest: 0.01}.Launch())
		equal(t, fmt.Sprintf("average of %+v", c), ga.host(), want)
	}
}

func TestMovingAverage(t *testing.T) {
	t.Parallel()
	average, x := inputs(500, 17), inputs(500, 18)
	ga, gx := upload(t, average), upload(t, x)
	want := make([]float32, 500)
	for i := range want {
		want[i] = float32(average[i]*0.99) + float32(float32(x[i]*0.75)*0.01)
	}
	for _, stopped := range []uint64{0, 1} { // the second launch changes nothing
		cursor := upload(t, []uint64{0, 0, stopped})
		launch(t, kernels.MovingAverage{Average: ga.ptr(), X: gx.ptr(), Cursor: cursor.ptr(), N: 500, Keep: 0.99, Rest: 0.01, Factor: 0.75}.Launch())
		equal(t, "average", ga.host(), want)
	}
}
