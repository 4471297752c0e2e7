package model

import (
	"math"
	"strings"
	"testing"

	"gcnn/internal/philox"
)

// The whitened patches of the images have uncorrelated elements of variance λ/(λ+0.01).
func TestWhiten(t *testing.T) {
	t.Parallel()
	in := Shape{9, 8, 2}
	n, err := New("t", in, Conv2D{Filters: 16, KernelSize: Size{2, 2}, Init: Whitening, Frozen: true, NoBias: true})
	if err != nil {
		t.Fatal(err)
	}
	const count = 50
	image := func(i int) []float32 {
		pixels := make([]float32, in.Size())
		for k := range pixels {
			pixels[k] = philox.Unit(philox.Words(1, 99, uint32(k), uint32(i), 0)[0])
			if k > 0 {
				pixels[k] += 0.5 * pixels[k-1] // neighbours are correlated
			}
		}
		return pixels
	}
	weights := n.InitialWeights(1)
	if !n.NeedsImages() {
		t.Fatal("NeedsImages is false")
	}
	if err := n.Whiten(weights, count, image); err != nil {
		t.Fatal(err)
	}
	w := weights["conv2d/kernel"].Data().([]float32)
	var second [16][16]float64
	patches := 0.0
	for i := range count {
		pixels := image(i)
		for y := range in[0] - 1 {
			for x := range in[1] - 1 {
				var out [16]float64
				for f := range out {
					for ky := range 2 {
						for k := range 4 {
							out[f] += float64(w[(ky*4+k)*16+f]) * float64(pixels[((y+ky)*in[1]+x)*2+k])
						}
					}
				}
				for f := range out {
					for g := range out {
						second[f][g] += out[f] * out[g]
					}
				}
				patches++
			}
		}
	}
	last := math.Inf(1)
	for f := range 8 {
		for g := range 16 {
			got := second[f][g] / patches
			switch {
			case g == f && !(got > 0.3 && got < 1):
				t.Errorf("the second moment of output %d is %g, want λ/(λ+0.01)", f, got)
			case g == f+8 && math.Abs(got+second[f][f]/patches) > 1e-6:
				t.Errorf("output %d is not the negative of %d", g, f)
			case g%8 != f && math.Abs(got) > 1e-5:
				t.Errorf("outputs %d and %d are correlated: %g", f, g, got)
			}
		}
		if v := second[f][f] / patches; v > last+1e-6 {
			t.Errorf("eigenvalues are not in descending order at %d", f)
		} else {
			last = v
		}
	}
}

func TestWhitenErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		layers []Layer
		want   string
	}{
		{[]Layer{Conv2D{Filters: 4, KernelSize: Square(3)}, Conv2D{Filters: 4, KernelSize: Square(3), Init: Whitening}}, "reads the network's input"},
		{[]Layer{Conv2D{Filters: 3, KernelSize: Square(3), Init: Whitening}}, "an even number of filters"},
		{[]Layer{Conv2D{Filters: 20, KernelSize: Square(3), Init: Whitening}}, "at most twice the 9 elements"},
		{[]Layer{Flatten{}, Dense{Units: 2, Init: Whitening}}, "belongs to a conv2d"},
	} {
		if _, err := New("t", Shape{8, 8, 1}, c.layers...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want an error with %q", err, c.want)
		}
	}
}
