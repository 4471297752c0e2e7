// Package cudadl opens the CUDA libraries at run time, so that one binary serves machines with CUDA 12, with CUDA 13 and with
// none. It has something in it only with the build tag cuda.
//
// Every CUDA function that gorgonia.org/cu and gcnn's own cgo code call (symbols.h) is defined here as one jump through a
// pointer. The pointers start at functions that return "not initialised"; [Load] opens the NVIDIA driver, cuDNN 9 and the cuBLAS
// of the CUDA major that this cuDNN was built for, and points them there. A jump costs nothing measurable. The flags -lcuda and
// -lcudnn that gorgonia.org/cu asks the linker for are satisfied by empty archives in lib/.
//
// cuInit is the exception: the one defined here always succeeds, since gorgonia.org/cu ends the process from an init function
// when it fails. Load calls the driver's own and returns its error.
package cudadl
