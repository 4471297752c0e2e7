package cpu

import (
	"slices"
	"unsafe"

	"gcnn/cpu/kernel"
)

// scope says how many copies of a buffer there are.
type scope uint8

const (
	perGroup  scope = iota // one for each group of its division
	perWorker              // one for each worker: dead once the group's chain of tasks has passed
	perSet                 // one for each set of groups whose partial sums are kept apart
	perShard               // one for each shard, as many as its chunks
	single
)

// buffer is a part of a plan's memory. Which copy a task sees depends on the worker and the group that it works on.
type buffer struct {
	name  string
	words int // float32 words of one copy
	division
	single bool // the groups are single samples: a feature map's lanes are channels
	scope  scope
	chunks int  // of a set, or shards: each has a copy
	fixed  bool // the scope is given
	pinned bool // its content is read after the step

	first, last int // tasks that use it
	phase       int // of the first task
	lastPhase   int // of the last
	offset      int // of the first copy
	stride      int // words from one copy to the next
	mem         []float32
}

// at is the buffer's copy for a worker and the group that it works on.
func (b *buffer) at(w *worker, g int) []float32 {
	i := 0
	switch b.scope {
	case perGroup:
		i = g
	case perWorker:
		i = w.id
	case perSet:
		i = w.set*max(1, b.chunks) + w.chunk
	case perShard:
		i = w.chunk
	case single:
	}
	return b.copy(i)
}

// copy is copy i of the buffer.
func (b *buffer) copy(i int) []float32 {
	return b.mem[i*b.stride : i*b.stride+b.words : i*b.stride+b.words]
}

// bytes sees floats as n bytes.
func bytesOf(f []float32, n int) []uint8 {
	return unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))[:n]
}

// int32s sees floats as integers.
func int32sOf(f []float32) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(f))), len(f))
}

// uint16s sees floats as n half words.
func uint16sOf(f []float32, n int) []uint16 {
	return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(f))), 2*len(f))[:n]
}

// hugePage is the size of a large page of memory.
const hugePage = 2 << 20

// aligned allocates zeros that start on a cache line, or on a huge page where there are enough of them.
func aligned[T float32 | uint8](n int) []T {
	var t T
	size := int(unsafe.Sizeof(t))
	unit := 64
	if n*size >= hugePage {
		unit = hugePage
	}
	f := make([]T, n+unit/size)
	skip := (unit - int(uintptr(unsafe.Pointer(unsafe.SliceData(f)))%uintptr(unit))) % unit / size
	f = f[skip : skip+n : skip+n]
	if unit == hugePage {
		adviseHuge(unsafe.Pointer(unsafe.SliceData(f)), n*size/hugePage*hugePage)
	}
	return f
}

// place gives every buffer its offset and returns the words of the arena. Those that are never in use at the same time may
// overlap. The buffers of a worker lie together in a region of its own, since workers are not at the same task.
func place(buffers []*buffer, workers int) int {
	var own, shared []*buffer
	for i, b := range buffers {
		b.words = kernel.Padded(b.words)
		// Copies and neighbours start at different places of a 4 KiB page: the core mistakes a load for one that depends on
		// an earlier store when the low 12 bits of their addresses agree.
		b.stride = b.words + kernel.Lanes*(5+i%7)
		if b.scope == perWorker {
			own = append(own, b)
		} else {
			shared = append(shared, b)
		}
	}
	region := fit(own, func(b *buffer) int { return b.stride })
	total := fit(shared, func(b *buffer) int {
		switch b.scope {
		case perGroup:
			return b.stride * b.groups
		case perSet:
			return b.stride * b.sets * max(1, b.chunks)
		case perShard:
			return b.stride * b.chunks
		case perWorker, single:
		}
		return b.stride
	})
	for _, b := range own {
		b.stride = region
		b.offset += total
	}
	return total + region*workers
}

// fit gives each buffer the first offset where it meets no other that is in use at the same time, the largest first, and
// returns the extent.
func fit(buffers []*buffer, size func(*buffer) int) int {
	order := slices.Clone(buffers)
	slices.SortStableFunc(order, func(a, b *buffer) int { return size(b) - size(a) })
	extent := 0
	var placed []*buffer // by offset
	for _, b := range order {
		b.offset = 0
		for _, p := range placed {
			if !apart(b, p) && b.offset+size(b) > p.offset && b.offset < p.offset+size(p) {
				b.offset = p.offset + size(p)
			}
		}
		extent = max(extent, b.offset+size(b))
		at, _ := slices.BinarySearchFunc(placed, b, func(x, y *buffer) int { return x.offset - y.offset })
		placed = slices.Insert(placed, at, b)
	}
	return extent
}

// apart reports whether two buffers are never in use at the same time. Tasks of one phase run in order for each worker, but not
// for all groups together.
func apart(a, b *buffer) bool {
	switch {
	case a.pinned || b.pinned || a.scope == perSet || b.scope == perSet || a.scope == perShard || b.scope == perShard:
		return false
	case a.scope == perWorker && b.scope == perWorker:
		return a.last < b.first || b.last < a.first
	}
	return a.lastPhase < b.phase || b.lastPhase < a.phase
}

// bind points every buffer into the arena.
func bind(buffers []*buffer, arena []float32) {
	for _, b := range buffers {
		b.mem = arena[b.offset:]
	}
}
