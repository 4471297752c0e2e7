package main

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
)

// class is what a picture shows. Shapes lie within the unit circle; textures go on for ever.
type class struct {
	name   string
	inside func(x, y float64) bool
}

// classes in the order of their names, which is that of their folders.
var classes = []class{
	{"checkerboard", func(x, y float64) bool { return odd(x*2) != odd(y*2) }},
	{"cross", func(x, y float64) bool {
		x, y = math.Abs(x), math.Abs(y)
		return max(x, y) < 0.9 && min(x, y) < 0.25
	}},
	{"disc", func(x, y float64) bool { return math.Hypot(x, y) < 0.9 }},
	{"dots", func(x, y float64) bool { return math.Hypot(cell(x*1.5), cell(y*1.5)) < 0.3 }},
	{"ring", func(x, y float64) bool { r := math.Hypot(x, y); return r > 0.55 && r < 0.95 }},
	{"ripples", func(x, y float64) bool { return odd(math.Hypot(x, y) * 3) }},
	{"square", func(x, y float64) bool { return max(math.Abs(x), math.Abs(y)) < 0.7 }},
	{"star", func(x, y float64) bool {
		const points = 5
		angle := math.Abs(cell(math.Atan2(y, x)/(2*math.Pi)*points)) * 2 // 0 at a point, 1 between two
		return math.Hypot(x, y) < 1-0.65*angle
	}},
	{"stripes", func(x, _ float64) bool { return odd(x * 2.5) }},
	{"triangle", func(x, y float64) bool { return y > -0.5 && y+math.Sqrt(3)*math.Abs(x) < 1 }},
}

func odd(v float64) bool { return math.Mod(math.Floor(v), 2) != 0 }

// cell is how far v lies from the middle of its unit interval, from -0.5 to 0.5.
func cell(v float64) float64 { return v - math.Floor(v) - 0.5 }

// picture draws picture index of a class, size×size pixels.
func picture(size int, seed uint64, split, which, index int) *image.RGBA {
	rng := rand.New(rand.NewPCG(seed, uint64(split)<<40|uint64(which)<<32|uint64(index)))
	between := func(low, high float64) float64 { return low + (high-low)*rng.Float64() }
	k := classes[which]

	scale := between(0.25, 0.45) // of the picture's width
	x0, y0 := between(scale, 1-scale), between(scale, 1-scale)
	sin, cos := math.Sincos(between(0, 2*math.Pi))
	hue := (float64(which) + between(-1, 1)) / float64(len(classes)) // half of each neighbour's colours
	front := colour(hue, between(0.6, 1), between(0.6, 1))
	back := colour(between(0, 1), between(0, 0.25), between(0.1, 0.5))
	lightX, lightY := between(-0.3, 0.3), between(-0.3, 0.3)
	noise := between(5, 25)

	img := image.NewRGBA(image.Rect(0, 0, size, size))
	for py := range size {
		for px := range size {
			x, y := (float64(px)+0.5)/float64(size), (float64(py)+0.5)/float64(size)
			u, v := (x-x0)/scale, (y-y0)/scale
			c := back
			if k.inside(u*cos-v*sin, u*sin+v*cos) {
				c = front
			}
			light := 1 + lightX*(x-0.5)*2 + lightY*(y-0.5)*2
			var rgb [3]uint8
			for i := range rgb {
				rgb[i] = uint8(min(max(c[i]*light+noise*rng.NormFloat64(), 0), 255))
			}
			img.SetRGBA(px, py, color.RGBA{rgb[0], rgb[1], rgb[2], 255})
		}
	}
	return img
}

// colour converts hue (in turns), saturation and value to red, green and blue from 0 to 255.
func colour(hue, saturation, value float64) [3]float64 {
	var rgb [3]float64
	for i := range rgb {
		h := hue + float64(i)*2/3 // red lies at 0, green at 1/3, blue at 2/3
		h -= math.Floor(h)
		share := min(max(math.Abs(h*6-3)-1, 0), 1)
		rgb[i] = 255 * value * (1 - saturation*(1-share))
	}
	return rgb
}
