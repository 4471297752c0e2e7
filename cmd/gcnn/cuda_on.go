//go:build cuda

package main

import (
	"gcnn/cuda"
	"gcnn/device"
	"gcnn/train"
)

var cudaBackend = backend{
	name: "cuda",
	open: func(c choice) (device.Device, error) {
		o := cuda.Options{Index: c.index, SetMemory: c.setBytes()}
		if c.precision == train.TF32 {
			o.Precision = cuda.TF32
		}
		return cuda.Open(o)
	},
	count:    cuda.Count,
	describe: cuda.Describe,
}
