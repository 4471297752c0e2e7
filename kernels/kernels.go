package kernels

import (
	"embed"
	"path"
	"strings"
)

//go:embed ptx/*.ptx
var ptx embed.FS

// Pointer is an address in device memory, or 0.
type Pointer uint64

// Kernel is an entry point of a module.
type Kernel struct {
	Name   string // as in the PTX
	Module string // of the module that holds it
	Params []Param
}

// Param is a parameter of a kernel.
type Param struct {
	Name string // as in the source
	Type string // C type, as in the source: "const float *"
	Size int    // bytes
}

// Module is a file of PTX.
type Module struct {
	Name string // of the source, without .cu
	PTX  string
}

// Modules are all modules, in the order of their names.
func Modules() []Module {
	entries, err := ptx.ReadDir("ptx")
	if err != nil {
		panic(err) // embedded: cannot happen
	}
	var modules []Module
	for _, e := range entries {
		text, err := ptx.ReadFile(path.Join("ptx", e.Name()))
		if err != nil {
			panic(err)
		}
		modules = append(modules, Module{Name: strings.TrimSuffix(e.Name(), ".ptx"), PTX: string(text)})
	}
	return modules
}

// Launch is a kernel with its geometry and arguments. Every argument has a cell of eight bytes, its value in the low ones, as
// cuLaunchKernel's kernelParams may point to them. No kernel uses dynamic shared memory.
type Launch struct {
	Kernel      *Kernel
	Grid, Block [3]uint32
	Args        []uint64
}

// The activation functions of [ActivationForward], [ActivationBackward] and [BiasActivationBackward]. The numbers are those of
// package model; softmax, which is 4 there, is a kernel of its own.
const (
	Linear      = 0
	ReLU        = 1
	Tanh        = 2
	Sigmoid     = 3
	LeakyReLU   = 5
	ELU         = 6
	GELU        = 7
	SiLU        = 8
	Softplus    = 9
	ReLU6       = 10
	HardSigmoid = 11
	HardSiLU    = 12
)

// NeedsInput tells whether a function's derivative needs what it was applied to, beside its result.
func NeedsInput(function int) bool {
	return function == GELU || function == SiLU || function == HardSiLU
}

// Sizes in bytes of what the host shares with kernels.
const (
	AugmentBytes  = 16 // a record of [GatherBytes]: int16 flip, down, right, cut_top, cut_left, cut_side, 0, 0
	ChangeBytes   = 32 // a record of [GatherChanged]: float32 contrast, brightness, sin, cos, then the int16 of an augment record
	TotalsBytes   = 24 // of [EndStep]: float64 loss, uint64 correct, uint64 count
	ProgressBytes = 40 // of [EndStep]: uint64 begin, the totals, uint64 end
	CursorBytes   = 32 // uint64 step of this pass, uint64 steps of the training, uint64 1 once the pass has stopped, uint64 1 where a weight is no number
)
