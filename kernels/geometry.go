package kernels

// The geometries that the sources name after "launch:". Each gives grid and block; where a sum's order depends on them they
// depend on the size of the problem alone.

const threads = 256

type geometry struct{ grid, block [3]uint32 }

func ceil(n, d int) uint32 { return uint32((n + d - 1) / d) }

// elements is a thread for each of n elements.
func elements(n int) geometry {
	return geometry{[3]uint32{max(1, ceil(n, threads)), 1, 1}, [3]uint32{threads, 1, 1}}
}

// quads is a thread for four elements.
func quads(n int) geometry { return elements(int(ceil(n, 4))) }

// warps is a warp for each row.
func warps(rows int) geometry { return elements(rows * 32) }

// images is a row of blocks for each image of size elements.
func images(rows, size int) geometry {
	return geometry{[3]uint32{ceil(size, threads), uint32(rows), 1}, [3]uint32{threads, 1, 1}}
}

// single is one block.
func single() geometry { return geometry{[3]uint32{1, 1, 1}, [3]uint32{threads, 1, 1}} }

// reduction is what a sum of n terms is split into.
func reduction(n int) geometry {
	return geometry{[3]uint32{uint32(ReductionBlocks(n)), 1, 1}, [3]uint32{threads, 1, 1}}
}

// columns sums over rows: a block takes a chunk of rows of a group of columns.
func columns(rows, channels, chunk int) geometry {
	w := columnWidth(channels)
	return geometry{[3]uint32{ceil(channels, w), ceil(rows, chunk), 1}, [3]uint32{uint32(w), uint32(threads / w), 1}}
}

// columnWidth is the number of columns of a group: a power of two, at most a warp, so that memory is read in whole lines.
func columnWidth(channels int) int {
	w := 1
	for w < channels && w < 32 {
		w *= 2
	}
	return w
}

// ReductionBlocks is the number of partial sums (float64) that [ClipFactor] needs for n gradients.
func ReductionBlocks(n int) int { return min(max(1, int(ceil(n, threads*16))), 256) }

// BiasChunks is how [BiasActivationBackward] splits its rows: the rows of a chunk, the number of chunks (partials holds
// chunks·channels float32) and the number of column groups (tickets holds as many uint32).
func BiasChunks(rows, channels int) (chunk, chunks, groups int) {
	w := columnWidth(channels)
	height := threads / w
	chunk = max(height*8, int(ceil(int(ceil(rows, 512)), height))*height)
	return chunk, int(ceil(rows, chunk)), int(ceil(channels, w))
}

// cells is a block for each cell of a table.
func cells(columns, rows int) geometry {
	return geometry{[3]uint32{uint32(columns), uint32(rows), 1}, [3]uint32{threads, 1, 1}}
}
