package kernel

import (
	"fmt"
	"testing"
)

// TestGradOuterUpdate compares the gradient with its update in one go with the two in turn: every bit is the same.
func TestGradOuterUpdate(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		var all []Update
		for _, u := range updates() { // scaled; then not, as a step without clipping is, without and with decay
			all = append(all, u)
			u.Scale = 1
			all = append(all, u)
			u.Decay = 0
			all = append(all, u)
		}
		for _, u := range all {
			for _, outs := range []int{1, 7, 8, 16, 17, 20, 28, 32, 33, 40, 56, 70, 97, 104} {
				for _, rows := range []int{1, 5, 8, 19, 104} {
					for groups := 1; groups <= 3; groups++ {
						what := fmt.Sprintf("rule %d, decay %g, scale %g, %d×%d, %d groups", u.Rule, u.Decay, u.Scale, rows, outs, groups)
						r := seeded(uint64(rows*1000 + outs))
						g, err := k.NewGradOuter(GradSpec{Grid{Cols: groups, XCol: rows + 3, YCol: Padded(outs)}, []Run{{N: int32(rows)}}, outs}, outs)
						if err != nil {
							t.Fatal(err)
						}
						x := data(r, (groups*(rows+3))*Lanes+1, false)[1:]
						dy := data(r, groups*Padded(outs)*Lanes, false)
						n := rows * outs
						var got, want [4][]float32 // w, dw, s1, s2, with a value on either side
						for i := range got {
							got[i] = data(r, n+2+UpdateSlack, false)
							for e, v := range got[i] {
								if i == 3 {
									got[i][e] = v * v
								}
							}
							want[i] = append([]float32(nil), got[i]...)
						}
						in := func(s [4][]float32, i int) []float32 { return s[i][1 : n+1] }
						got[1] = got[1][: n+1+UpdateSlack : n+1+UpdateSlack]
						g.Update(&u, in(got, 0), got[1][1:], in(got, 2), in(got, 3), x, dy, 1)
						g.Do(in(want, 1), x, dy, 1, false)
						k.Update(&u, in(want, 0), in(want, 1), in(want, 2), in(want, 3))
						got[1], want[1] = got[1][:n+1], want[1][:n+1] // what follows is lost
						for i := range got {
							sameBits(t, what, got[i], want[i])
						}
					}
				}
			}
		}
	})
}
