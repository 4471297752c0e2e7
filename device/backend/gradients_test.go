package backend

import (
	"fmt"
	"slices"
	"testing"

	"gcnn/model"
)

// TestGradients walks backwards through a residual network, whose branches meet at the stem, with a frozen layer first.
func TestGradients(t *testing.T) {
	t.Parallel()
	net, err := model.New("residual", model.Shape{4, 4, 1},
		model.BatchNormalization{Name: "frozen", Frozen: true},
		model.Conv2D{Name: "stem", Filters: 2, KernelSize: model.Size{H: 1, W: 1}},
		model.Conv2D{Name: "branch", Filters: 2, KernelSize: model.Size{H: 1, W: 1}},
		model.Add{Name: "add", Inputs: []string{"stem", "branch"}},
		model.Flatten{Name: "flatten"},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                 string
		learning, everything bool
		wanted, events       []string
	}{
		{"inference", false, false, nil, nil},
		{"training", true, false, []string{"stem", "branch", "add", "flatten"}, []string{"into stem", "sum of d.flatten and d.stem at stem"}},
		{"trace", false, true, []string{"input", "frozen", "stem", "branch", "add", "flatten"},
			[]string{"into stem", "sum of d.flatten and d.stem at stem", "into frozen", "into input"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var events, wanted []string
			g := NewGradients(net, c.learning, c.everything, func(node int) *string {
				s := "d." + net.NameOf(node)
				return &s
			}, func(node int, a, b *string) *string {
				events = append(events, fmt.Sprintf("sum of %s and %s at %s", *a, *b, net.NameOf(node)))
				s := *a + "+" + *b
				return &s
			})
			for node := model.Input; node < len(net.Nodes); node++ {
				if g.Wanted(node) {
					wanted = append(wanted, net.NameOf(node))
				}
			}
			if !slices.Equal(wanted, c.wanted) {
				t.Errorf("gradients are wanted at %v, want %v", wanted, c.wanted)
			}
			into := func(node int) {
				g.Into(node, func(dst *string) { events = append(events, "into "+net.NameOf(node)) })
			}
			frozen, stem, branch, add, flatten := 0, 1, 2, 3, 4
			last := "d.flatten"
			g.Pass(flatten, &last)
			g.Pass(add, g.At(flatten))
			g.Pass(stem, g.At(add))
			g.Pass(branch, g.At(add))
			into(stem) // of the branch
			into(frozen)
			into(model.Input)
			if !slices.Equal(events, c.events) {
				t.Errorf("emitted %q, want %q", events, c.events)
			}
			put, before := "put", g.At(flatten)
			if g.Put(flatten, &put); g.At(flatten) != &put {
				t.Error("the gradient at flatten is not the one that was put there")
			}
			g.Put(flatten, before)
			if c.learning && *g.At(stem) != "d.flatten+d.stem" {
				t.Errorf("the gradient at the stem is %s", *g.At(stem))
			}
			if !c.everything && g.At(frozen) != nil {
				t.Error("there is a gradient that nobody wants")
			}
		})
	}
}
