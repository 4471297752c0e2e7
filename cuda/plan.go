//go:build cuda

package cuda

import (
	"fmt"
	"slices"
	"unsafe"

	"gorgonia.org/cu"

	"gcnn/device"
	"gcnn/device/backend"
	"gcnn/kernels"
)

// purpose is what a plan is for.
type purpose struct {
	mode   mode
	labels bool // the gradient starts from the loss, not from a gradient at the output
	infer  bool // dropout and batch normalisation as in inference
}

type mode uint8

const (
	training mode = iota
	tracing
	inference
)

// plan is a network compiled for one purpose and one number of samples: calls in their order.
type plan struct {
	purpose purpose
	rows    int
	tasks   []task
	buffers []*buffer
	extent  int64 // bytes of the buffers that share memory

	vals        []*buffer // by slot: outputs
	grads       backend.Gradients[buffer]
	algorithms  map[int]*algorithms
	averages    []movingStatistic // what a trace shows of moving statistics
	prologue    []func() error    // run before the calls of a trace
	descriptors []descriptor
	io          sources

	targets, losses, hits *buffer
	given                 *buffer // the gradient that everything begins with

	own    []allocation // of a trace, and in the checking mode
	graphs map[*source]graph
	warm   bool // its calls were made once
}

// task is a call of a library or of a kernel.
type task struct {
	device.Task
	run func() error
}

// movingStatistic is a moving statistic as a step would leave it.
type movingStatistic struct {
	param string
	value *buffer
}

// sources are the arrays outside the plan that its calls read and write.
type sources struct {
	images, labels, order, augment kernels.Pointer
	floats                         bool
	ring, results                  uint32 // samples after which places begin again, of images and of results
	cursor, totals, progress       kernels.Pointer
	rates, decays                  kernels.Pointer
}

// buffer is a part of a plan's memory.
type buffer struct {
	name  string
	bytes int64
	fixed bool      // keeps its content between steps: it shares its memory with nothing
	init  []float32 // its content at the start, zeros where shorter
	pins  bool      // its content is read after the step

	first, last int // tasks that use it
	offset      int64
	ptr         cu.DevicePtr
}

// at is the buffer's address, with an offset in floats.
func (b *buffer) at(floats int) kernels.Pointer {
	return kernels.Pointer(b.ptr) + kernels.Pointer(4*floats)
}

// p is the buffer's address, 0 without a buffer.
func (b *buffer) p() kernels.Pointer {
	if b == nil {
		return 0
	}
	return kernels.Pointer(b.ptr)
}

// alignment of buffers: cuBLAS' workspace and vector loads want no more.
const alignment = 256

func aligned(bytes int64) int64 { return (bytes + alignment - 1) &^ (alignment - 1) }

// place gives every buffer that is not fixed the first offset where it meets no other that is in use at the same time, the
// largest first, and returns the extent.
func place(buffers []*buffer) int64 {
	order := slices.Clone(buffers)
	slices.SortStableFunc(order, func(a, b *buffer) int {
		switch {
		case a.bytes > b.bytes:
			return -1
		case a.bytes < b.bytes:
			return 1
		}
		return 0
	})
	var extent int64
	var placed []*buffer // by offset
	for _, b := range order {
		if b.fixed || b.bytes == 0 || b.first < 0 {
			continue
		}
		b.offset = 0
		for _, p := range placed {
			if !apart(b, p) && b.offset+aligned(b.bytes) > p.offset && b.offset < p.offset+aligned(p.bytes) {
				b.offset = p.offset + aligned(p.bytes)
			}
		}
		extent = max(extent, b.offset+aligned(b.bytes))
		at, _ := slices.BinarySearchFunc(placed, b, func(x, y *buffer) int {
			switch {
			case x.offset < y.offset:
				return -1
			case x.offset > y.offset:
				return 1
			}
			return 0
		})
		placed = slices.Insert(placed, at, b)
	}
	return extent
}

// apart reports whether two buffers are never in use at the same time.
func apart(a, b *buffer) bool {
	return !a.pins && !b.pins && (a.last < b.first || b.last < a.first)
}

// fixedBytes is what the plan's buffers with a place of their own take.
func (p *plan) fixedBytes() int64 {
	var n int64
	for _, b := range p.buffers {
		if b.fixed {
			n += aligned(b.bytes)
		}
	}
	return n
}

// follow gives a plan for fewer samples the memory of the plan for a whole batch. Both have the same buffers.
func (p *plan) follow(whole *plan) error {
	if len(p.buffers) != len(whole.buffers) {
		return fmt.Errorf("the plan for %d samples has %d buffers, that for %d has %d", p.rows, len(p.buffers), whole.rows, len(whole.buffers))
	}
	for i, b := range p.buffers {
		w := whole.buffers[i]
		if b.name != w.name || b.bytes > w.bytes {
			return fmt.Errorf("%w: %s of %d samples takes %d bytes, and %s of %d samples %d", device.ErrMemory, b.name, p.rows, b.bytes, w.name, whole.rows, w.bytes)
		}
		b.ptr = w.ptr
	}
	return nil
}

// run makes the plan's calls, which are queued or captured.
func (p *plan) run() error {
	for i := range p.tasks {
		if err := p.tasks[i].run(); err != nil {
			return fmt.Errorf("%s: %w", p.tasks[i].Name, err)
		}
	}
	return nil
}

// slot is the index of a node, or of the input, in vals.
func slot(node int) int { return node + 1 }

// launch queues or captures a kernel.
func (d *Device) launch(l kernels.Launch) error {
	args := make([]unsafe.Pointer, len(l.Args))
	for i := range args {
		args[i] = unsafe.Pointer(&l.Args[i])
	}
	g, b := l.Grid, l.Block
	if g[0] == 0 || g[1] == 0 || g[2] == 0 {
		return nil
	}
	err := d.kernels[l.Kernel.Name].Launch(int(g[0]), int(g[1]), int(g[2]), int(b[0]), int(b[1]), int(b[2]), 0, d.stream, args)
	return d.ok("cuLaunchKernel", err, "kernel", l.Kernel.Name, "grid", g, "block", b)
}

// matmul queues or captures c = op(a)·op(b), all row-major, c of m×n.
func (d *Device) matmul(ta, tb bool, m, n, k int, a kernels.Pointer, lda int, b kernels.Pointer, ldb int, c kernels.Pointer, ldc int) error {
	// a row-major matrix is its transpose, column-major: cᵀ = op(b)ᵀ·op(a)ᵀ
	s := d.blas.sgemm(tb, ta, n, m, k, uint64(b), ldb, uint64(a), lda, uint64(c), ldc)
	return d.check("cublasSgemm", s, "m", n, "n", m, "k", k, "lda", ldb, "ldb", lda, "ldc", ldc)
}
