package device

import (
	"math"
	"slices"
	"testing"
)

// ramp is an image whose every value tells its place.
func ramp(height, width, channels int) []float32 {
	v := make([]float32, height*width*channels)
	for i := range v {
		v[i] = float32(i+1) / float32(len(v)+1)
	}
	return v
}

func applied(c Change, src []float32, height, width, channels int) []float32 {
	dst := make([]float32, len(src))
	c.Apply(dst, src, height, width, channels, true)
	return dst
}

func TestChanges(t *testing.T) {
	t.Parallel()
	none := Change{Contrast: 1, Cos: 1}
	with := func(f func(*Change)) Change {
		c := none
		f(&c)
		return c
	}
	for _, c := range []struct {
		name       string
		change     Change
		src, want  []float32
		rows, cols int
	}{
		{"none", none, []float32{.1, .2, .3, .4}, []float32{.1, .2, .3, .4}, 2, 2},
		{"flip", with(func(c *Change) { c.Flip = true }), []float32{.1, .2, .3, .4, .5, .6}, []float32{.3, .2, .1, .6, .5, .4}, 2, 3},
		{"down", with(func(c *Change) { c.Down = 1 }), []float32{.1, .2, .3, .4}, []float32{0, 0, .1, .2}, 2, 2},
		{"flip, then left", with(func(c *Change) { c.Flip, c.Right = true, -1 }), []float32{.1, .2, .3}, []float32{.2, .1, 0}, 1, 3},
		{"cut after shift", with(func(c *Change) { c.Right, c.CutSide, c.CutTop, c.CutLeft = 1, 2, 0, 2 }), []float32{.1, .2, .3, .4}, []float32{0, .1, 0, 0}, 1, 4},
		{"quarter turn anticlockwise", with(func(c *Change) { c.Sin, c.Cos = 1, 0 }), []float32{.1, .2, .3, .4}, []float32{.2, .4, .1, .3}, 2, 2},
		{"brightness clips", with(func(c *Change) { c.Brightness = .5 }), []float32{.25, .75}, []float32{.75, 1}, 1, 2},
		{"contrast", with(func(c *Change) { c.Contrast = .5 }), []float32{.25, .75}, []float32{.375, .625}, 1, 2},
	} {
		if got := applied(c.change, c.src, c.rows, c.cols, 1); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	// A full turn in four quarters is the image itself, in every channel.
	src := ramp(5, 5, 3)
	got := src
	for range 4 {
		got = applied(with(func(c *Change) { c.Sin, c.Cos = 1, 0 }), got, 5, 5, 3)
	}
	if !slices.Equal(got, src) {
		t.Error("four quarter turns change the image")
	}
}

func TestDraws(t *testing.T) {
	t.Parallel()
	a := Augment{Flip: RandomFlip, Shift: 2, Cutout: 4, Rotate: 10, Brightness: 0.25, Contrast: 0.5}
	flips, shifts := 0, map[int]int{}
	const n = 5000
	for s := range int32(n) {
		c := a.Draw(1, 3, s, 28, 20)
		if c != a.Draw(1, 3, s, 28, 20) {
			t.Fatal("a draw is not repeatable")
		}
		if c.Flip {
			flips++
		}
		shifts[c.Down]++
		shifts[c.Right]++
		angle := math.Atan2(float64(c.Sin), float64(c.Cos)) * 180 / math.Pi
		if c.Down < -2 || c.Down > 2 || c.Right < -2 || c.Right > 2 || math.Abs(angle) > 10.0001 ||
			c.CutTop < -2 || c.CutTop > 25 || c.CutLeft < -2 || c.CutLeft > 17 ||
			c.Brightness < -0.25 || c.Brightness > 0.25 || c.Contrast < 0.5 || c.Contrast > 1.5 {
			t.Fatalf("sample %d: %+v is outside the limits", s, c)
		}
	}
	// Six standard deviations of the binomial distribution.
	if d := math.Abs(float64(flips) - n/2); d > 6*math.Sqrt(n/4) {
		t.Errorf("%d of %d samples are flipped", flips, n)
	}
	for v := -2; v <= 2; v++ {
		if d := math.Abs(float64(shifts[v]) - 2*n/5); d > 6*math.Sqrt(2*n*0.2*0.8) {
			t.Errorf("a shift of %d was drawn %d times in %d", v, shifts[v], 2*n)
		}
	}
	alternating := Augment{Flip: AlternatingFlip}
	for s := range int32(100) {
		even, odd := alternating.Draw(1, 4, s, 9, 9), alternating.Draw(1, 7, s, 9, 9)
		if even.Flip == odd.Flip || even.Flip != alternating.Draw(1, 0, s, 9, 9).Flip {
			t.Fatalf("sample %d: flipped %v in epoch 4 and %v in epoch 7", s, even.Flip, odd.Flip)
		}
	}
	if c := (Augment{}).Draw(1, 0, 5, 9, 9); c != (Change{Contrast: 1, Cos: 1}) {
		t.Errorf("nothing asked for draws %+v", c)
	}
}
