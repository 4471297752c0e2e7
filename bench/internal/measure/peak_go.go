//go:build !arm64

package measure

const goFlops = 8 * 2

var sink float32

// fmaGo does eight chains of multiply-adds in plain Go.
func fmaGo(iterations int) {
	var a, b, c, d, e, f, g, h float32
	x, y := sink, sink
	for range iterations {
		a += x * y
		b += x * y
		c += x * y
		d += x * y
		e += x * y
		f += x * y
		g += x * y
		h += x * y
	}
	sink = a + b + c + d + e + f + g + h
}
