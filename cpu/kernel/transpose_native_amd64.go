package kernel

import "unsafe"

// toSamplesArgs is what toSamples8 reads.
type toSamplesArgs struct {
	dst, src unsafe.Pointer
	ld, n    int
	mask     unsafe.Pointer
	all      int
}

var tailMasks [8][8]uint32

func init() {
	for n := range tailMasks {
		for i := range n {
			tailMasks[n][i] = ^uint32(0)
		}
	}
}

func toSamplesNative(dst, src []float32, n, ld, positions int) {
	whole, rest := n/8, n%8
	var tail [8 * Lanes]float32
	for p := range positions {
		a := toSamplesArgs{dst: base(dst[p*Lanes*ld:]), src: base(src[p*n*Lanes:]), ld: ld * 4, n: whole, all: 1}
		if whole > 0 {
			toSamples8((*byte)(unsafe.Pointer(&a)))
		}
		if rest > 0 {
			copy(tail[:], src[(p*n+8*whole)*Lanes:(p+1)*n*Lanes])
			a.dst, a.src = base(dst[p*Lanes*ld+8*whole:]), unsafe.Pointer(&tail)
			a.n, a.mask, a.all = 1, unsafe.Pointer(&tailMasks[rest]), 0
			toSamples8((*byte)(unsafe.Pointer(&a)))
		}
	}
}

// transposeArgs is what transpose8x8 reads; strides are in bytes.
type transposeArgs struct {
	dst, src unsafe.Pointer
	to, from int
	tiles    int
}

func transposeNative(dst, src []float32, rows, cols, to, from int) {
	const tile, line = 8, 16 // a cache line of both sides
	whole, wide := rows/tile*tile, cols/tile*tile
	for j := 0; j < wide; j += line {
		for i := 0; i < whole; i += tile {
			a := transposeArgs{base(dst[j*to+i:]), base(src[i*from+j:]), to * 4, from * 4, min(line, wide-j) / tile}
			transpose8x8((*byte)(unsafe.Pointer(&a)))
		}
	}
	if wide < cols {
		transposePortable(dst[wide*to:], src[wide:], whole, cols-wide, to, from)
	}
	if whole < rows {
		transposePortable(dst[whole:], src[whole*from:], rows-whole, cols, to, from)
	}
}

// addLanesArgs is what addLanes8 reads.
type addLanesArgs struct {
	dst, src unsafe.Pointer
	n        int
}

func addLanesNative(dst, acc []float32) {
	whole := len(dst) / 8 * 8
	if whole > 0 {
		a := addLanesArgs{base(dst), base(acc), whole / 8}
		addLanes8((*byte)(unsafe.Pointer(&a)))
	}
	if rest := len(dst) - whole; rest > 0 {
		var sums [8]float32
		var tail [8 * Lanes]float32
		copy(tail[:], acc[whole*Lanes:])
		a := addLanesArgs{unsafe.Pointer(&sums), unsafe.Pointer(&tail), 1}
		addLanes8((*byte)(unsafe.Pointer(&a)))
		copy(dst[whole:], sums[:rest])
	}
}

// gatherArgs is what the gathers read.
type gatherArgs struct {
	images    [Lanes]unsafe.Pointer
	dst       unsafe.Pointer
	n         int // times 8 pixels
	tables    unsafe.Pointer
	tablesEnd uintptr        // one past the end is no pointer
	table     unsafe.Pointer // of the first pixel
}

func gatherBytesNative(dst []float32, images []byte, size, lo, hi int, index *[Lanes]int32, norm *Normalizer) {
	count := hi - lo
	whole := count / 8 * 8
	if whole > 0 {
		a := gatherArgs{dst: base(dst), n: count / 8, tables: base(norm.tables), table: base(norm.tables)}
		a.tablesEnd = uintptr(a.tables) + uintptr(len(norm.tables))*4
		for l, n := range index {
			a.images[l] = unsafe.Pointer(unsafe.SliceData(images))
			if n >= 0 {
				a.images[l] = unsafe.Pointer(unsafe.SliceData(images[int(n)*size:][lo:hi]))
			}
		}
		if norm.plain {
			gatherPlain((*byte)(unsafe.Pointer(&a)))
		} else {
			gatherTables((*byte)(unsafe.Pointer(&a)))
		}
	}
	channels := len(norm.tables) / 256
	for l, n := range index {
		for i := whole; i < count && n >= 0; i++ {
			dst[i*Lanes+l] = norm.tables[i%channels*256+int(images[int(n)*size+lo+i])]
		}
		if n < 0 {
			for i := range count {
				dst[i*Lanes+l] = 0
			}
		}
	}
}
