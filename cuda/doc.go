// Package cuda is the device that computes on an NVIDIA GPU. It has something in it only with the build tag cuda; see
// docs/cuda.md for how it is built and what is proven of it.
//
// A network is compiled once into a plan: a list of calls of cuDNN (convolution, batch normalisation), cuBLAS (dense layers) and
// package kernels (everything else) over memory that is laid out at compile time. Tensors lie channels last, as Keras has them,
// so that Flatten and dense kernels need no copy; convolution kernels alone lie as cuDNN's NHWC filters want them and are turned
// at the boundary. A training step is captured into a CUDA graph and replayed: where it is in the epoch, its learning rate and
// what it has summed are in device memory, and the host only reads a counter in pinned memory.
//
// One goroutine, locked to its OS thread, owns the device (thread.go); everybody else sends it closures. All work goes through
// one stream.
package cuda
