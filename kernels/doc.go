// Package kernels holds gcnn's own GPU kernels: their sources (*.cu), their PTX (ptx/, committed and embedded, so that neither
// users nor running programs need a CUDA compiler), and for each entry point a Go struct of its parameters (table.go,
// generated from the sources). It uses no cgo and knows no driver: a [Launch] is plain data for whoever calls cuLaunchKernel.
//
// Conventions of all kernels:
//
//   - Arrays are float32, channels last. Convolution kernels lie as cuDNN's NHWC filters want them, [filters, kh, kw, channels];
//     no kernel here looks into them. NHWC was chosen over NCHW since Flatten and the counters of random draws are then plain
//     element indices; what cuDNN refuses in this layout is a matrix product of what [Unfold] makes.
//   - An array has fewer than 2³¹ elements. Pointers are aligned to their element; optional ones may be 0.
//   - Results are the same bits on every GPU and in the simulator: each floating-point operation is correctly rounded, none is
//     contracted, approximated or flushed to zero, and sums are split by the size of the problem alone.
//   - exp, tanh, log and erf are those of math.cuh, which states their largest errors.
//
// The PTX is of ISA 7.8 for compute_75: every driver of CUDA 12 and 13 takes it for GPUs from Turing on.
package kernels

//go:generate ./build.sh
//go:generate go run ./gen -out table.go
