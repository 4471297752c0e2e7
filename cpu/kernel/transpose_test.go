package kernel

import (
	"slices"
	"testing"
)

func TestToSamples(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for n := 1; n < 50; n++ {
			const positions = 3
			ld := n + n%5
			src := data(seeded(uint64(n)), n*positions*Lanes, false)
			dst := data(seeded(77), (positions*Lanes-1)*ld+n, false)
			want := slices.Clone(dst)
			for p := range positions {
				for l := range Lanes {
					for i := range n {
						want[(p*Lanes+l)*ld+i] = src[(p*n+i)*Lanes+l]
					}
				}
			}
			k.ToSamples(dst, src, n, ld, positions)
			sameBits(t, "dst", dst, want)
		}
	})
}

func TestTranspose(t *testing.T) {
	t.Parallel()
	paths(t, func(t *testing.T, k *Kernels) {
		for rows := 1; rows < 40; rows += 3 {
			for cols := 1; cols < 40; cols++ {
				to, from := rows+cols%3, cols+rows%4
				src := data(seeded(uint64(rows)), (rows-1)*from+cols, false)
				dst := data(seeded(uint64(cols)), (cols-1)*to+rows, false)
				want := slices.Clone(dst)
				for i := range rows {
					for j := range cols {
						want[j*to+i] = src[i*from+j]
					}
				}
				k.Transpose(dst, src, rows, cols, to, from)
				sameBits(t, "dst", dst, want)
			}
		}
	})
}

func TestGather(t *testing.T) {
	t.Parallel()
	plain := [256]float32{}
	for v := range plain {
		plain[v] = float32(v) / 255
	}
	r := seeded(5)
	three := make([][256]float32, 3)
	for c := range three {
		copy(three[c][:], data(r, 256, false))
	}
	paths(t, func(t *testing.T, k *Kernels) {
		for _, size := range []int{3, 8, 24, 27, 784, 3072} {
			for name, tables := range map[string][][256]float32{"plain": {plain}, "tables": three} {
				const images = 20
				bytes := make([]byte, images*size)
				floats := data(r, len(bytes), false)
				for i := range bytes {
					bytes[i] = byte(r.Uint32())
				}
				for v := range min(size, 256) {
					bytes[(images-1)*size+v] = byte(v)
				}
				var index [Lanes]int32
				for l := range index {
					index[l] = int32(images - 1 - l)
				}
				index[3], index[15] = -1, -1
				dst, dstF := data(r, size*Lanes, false), data(r, size*Lanes, false)
				n, lo := NewNormalizer(tables), size/2/len(tables)*len(tables) // in two parts
				k.GatherBytes(dst, bytes, size, 0, lo, &index, n)
				k.GatherFloats(dstF, floats, size, 0, lo, &index)
				k.GatherBytes(dst[lo*Lanes:], bytes, size, lo, size, &index, n)
				k.GatherFloats(dstF[lo*Lanes:], floats, size, lo, size, &index)
				for i := range size {
					for l, n := range index {
						var want, wantF float32
						if n >= 0 {
							at := int(n)*size + i
							want, wantF = tables[i%len(tables)][bytes[at]], floats[at]
						}
						if dst[i*Lanes+l] != want || dstF[i*Lanes+l] != wantF {
							t.Fatalf("%s, size %d: pixel %d of lane %d is %v and %v, want %v and %v", name, size, i, l, dst[i*Lanes+l], dstF[i*Lanes+l], want, wantF)
						}
					}
				}
			}
		}
	})
}
