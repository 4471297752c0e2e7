package kernel

//go:generate go run ./asm .
//go:generate go run ./neon .

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Lanes is the number of samples of a vector.
const Lanes = 16

// Path is a set of kernels for one kind of processor.
type Path string

// The paths. Portable is there on every processor.
const (
	Portable Path = "portable"
	AVX2     Path = "avx2"   // amd64 with AVX2 and FMA
	AVX512   Path = "avx512" // amd64 with AVX-512 F, BW, DQ and VL
	NEON     Path = "neon"   // arm64
)

// ErrPath is wrapped when a path is unknown or this processor cannot run it.
var ErrPath = errors.New("kernels unavailable")

// ErrSpec is wrapped when a kernel's geometry does not fit together.
var ErrSpec = errors.New("invalid kernel geometry")

// Kernels are the kernels of one path. They have no state and may be shared.
type Kernels struct {
	path Path
	impl implementation
}

// Available lists the paths that this processor runs, the fastest first. The last is Portable.
func Available() []Path { return append(nativePaths(), Portable) }

// Open returns the kernels of a path by name; "" is the first of Available. Errors wrap ErrPath.
func Open(name string) (*Kernels, error) {
	have := Available()
	p := have[0]
	if name != "" {
		p = Path(name)
	}
	if !slices.Contains([]Path{Portable, AVX2, AVX512, NEON}, p) {
		return nil, fmt.Errorf("%w: %q is not one of portable, avx2, avx512 and neon", ErrPath, name)
	}
	if !slices.Contains(have, p) {
		names := make([]string, len(have))
		for i, h := range have {
			names[i] = string(h)
		}
		return nil, fmt.Errorf("%w: this processor cannot run %q, only %s", ErrPath, name, strings.Join(names, ", "))
	}
	return &Kernels{path: p, impl: implementationOf(p)}, nil
}

// Path is the path of these kernels.
func (k *Kernels) Path() Path { return k.path }

// vectors returns the first n vectors of s as floats; it panics where s is shorter.
func vectors(s []float32, n int) []float32 { return s[: n*Lanes : n*Lanes] }

// vec is the vector at float offset i.
func vec(s []float32, i int) *[Lanes]float32 { return (*[Lanes]float32)(s[i : i+Lanes]) }

// Run is a row of taps: N consecutive vectors of x meet N consecutive rows of w.
type Run struct {
	X int32 // vectors from a position's base to the run's first; at least 0
	W int32 // the run's first row of w
	N int32 // length, at least 1
}

// checkRuns checks a tap list and returns its largest extent in vectors of x and in rows of w.
func checkRuns(taps []Run) (x, w int, err error) {
	for i, r := range taps {
		if r.X < 0 || r.W < 0 || r.N < 1 {
			return 0, 0, fmt.Errorf("%w: run %d is %+v; offsets are at least 0, lengths at least 1", ErrSpec, i, r)
		}
		x, w = max(x, int(r.X)+int(r.N)), max(w, int(r.W)+int(r.N))
	}
	if len(taps) == 0 {
		return 0, 0, fmt.Errorf("%w: no taps", ErrSpec)
	}
	return x, w, nil
}

// Grid is a rectangle of positions on two activations; strides are in vectors. The number of rows is an argument of each call.
type Grid struct {
	Cols       int // positions of a row, at least 1
	XRow, XCol int // from one position of x to the next
	YRow, YCol int // from one position of y (or dy) to the next
}

func (g Grid) check() error {
	if g.Cols < 1 || g.XRow < 0 || g.XCol < 0 || g.YRow < 0 || g.YCol < 0 {
		return fmt.Errorf("%w: %+v; columns are at least 1, strides at least 0", ErrSpec, g)
	}
	return nil
}

// x and y are the extents in vectors of so many rows whose positions are n vectors wide.
func (g Grid) x(rows, n int) int { return (rows-1)*g.XRow + (g.Cols-1)*g.XCol + n }
func (g Grid) y(rows, n int) int { return (rows-1)*g.YRow + (g.Cols-1)*g.YCol + n }
