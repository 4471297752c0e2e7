package kernel

// ToSamples turns positions of n vectors to sample-major rows: dst[(p·16 + l)·ld + i] = src[(p·n + i)·16 + l] for i < n ≤ ld. The rest of each
// row of dst stays as it is.
func (k *Kernels) ToSamples(dst, src []float32, n, ld, positions int) {
	if n <= 0 || positions <= 0 {
		return
	}
	k.impl.toSamples(dst[:(positions*Lanes-1)*ld+n], vectors(src, n*positions), n, ld, positions)
}

func toSamplesPortable(dst, src []float32, n, ld, positions int) {
	for p := range positions {
		for i := range n {
			v := vec(src, (p*n+i)*Lanes)
			for l, x := range v {
				dst[(p*Lanes+l)*ld+i] = x
			}
		}
	}
}

// Transpose turns rows × cols floats: dst[j·to + i] = src[i·from + j], with to ≥ rows and from ≥ cols floats from one row to the next.
func (k *Kernels) Transpose(dst, src []float32, rows, cols, to, from int) {
	if rows > 0 && cols > 0 {
		k.impl.transpose(dst[:(cols-1)*to+rows], src[:(rows-1)*from+cols], rows, cols, to, from)
	}
}

func transposePortable(dst, src []float32, rows, cols, to, from int) {
	const tile = 16 // a cache line of both sides
	for i0 := 0; i0 < rows; i0 += tile {
		for j0 := 0; j0 < cols; j0 += tile {
			for i := i0; i < min(i0+tile, rows); i++ {
				for j, v := range src[i*from:][j0:min(j0+tile, cols)] {
					dst[(j0+j)*to+i] = v
				}
			}
		}
	}
}

// GatherFloats makes vectors of elements lo to hi of 16 images of size floats: dst[(i − lo)·16 + l] = images[index[l]·size + i]; a negative
// index gives zeros.
func (k *Kernels) GatherFloats(dst, images []float32, size, lo, hi int, index *[Lanes]int32) {
	k.impl.gatherFloats(vectors(dst, hi-lo), images, size, lo, hi, index)
}

func gatherFloatsPortable(dst, images []float32, size, lo, hi int, index *[Lanes]int32) {
	for l, n := range index {
		if n < 0 {
			for i := range hi - lo {
				dst[i*Lanes+l] = 0
			}
			continue
		}
		for i, v := range images[int(n)*size:][lo:hi] {
			dst[i*Lanes+l] = v
		}
	}
}

// Normalizer makes floats of an image's bytes: a table of 256 values for each channel.
type Normalizer struct {
	tables []float32 // [channels][256]
	plain  bool      // every table is float32(v)/255
}

// NewNormalizer takes one table for each channel of an image.
func NewNormalizer(tables [][256]float32) *Normalizer {
	n := &Normalizer{plain: true}
	for _, t := range tables {
		for v, f := range t {
			n.plain = n.plain && f == float32(v)/255
		}
		n.tables = append(n.tables, t[:]...)
	}
	return n
}

// GatherBytes makes vectors of elements lo to hi of 16 images of size bytes, channels last: dst[(i − lo)·16 + l] is the normaliser's value
// of images[index[l]·size + i] for channel i mod channels; a negative index gives zeros. lo is the first channel of a pixel.
func (k *Kernels) GatherBytes(dst []float32, images []byte, size, lo, hi int, index *[Lanes]int32, norm *Normalizer) {
	k.impl.gatherBytes(vectors(dst, hi-lo), images, size, lo, hi, index, norm)
}

func gatherBytesPortable(dst []float32, images []byte, size, lo, hi int, index *[Lanes]int32, norm *Normalizer) {
	for l, n := range index {
		if n < 0 {
			for i := range hi - lo {
				dst[i*Lanes+l] = 0
			}
			continue
		}
		t := 0
		for i, v := range images[int(n)*size:][lo:hi] {
			dst[i*Lanes+l] = norm.tables[t+int(v)]
			if t += 256; t == len(norm.tables) {
				t = 0
			}
		}
	}
}
