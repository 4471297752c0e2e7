// Package cpu is the device that computes on the processor's cores: Go, with assembly kernels (cpu/kernel) where the processor
// has the vector units for them.
//
// A network is compiled once into a plan: a list of tasks over memory that is laid out at compile time. Activations lie as
// [groups][elements][16 samples] (an element is a place in the channels-last order of one sample), so that every kernel works
// on 16 samples at once whatever the shape of the layer. Long-lived workers run the tasks of a step with a handful of
// barriers. Every sum has an order fixed by the network and the batch alone: results are the same bits for any number of
// workers.
package cpu

import (
	"fmt"
	"runtime"
	"sync"

	"gcnn/device"
	"gcnn/model"
)

// Options are the choices for opening the device.
type Options struct {
	Workers int // goroutines that compute, at most MaxWorkers; 0 is one for each usable core
}

// MaxWorkers bounds Options.Workers.
const MaxWorkers = 1024

// Device is the processor. It is made by Open.
type Device struct {
	workers int

	mu     sync.Mutex
	closed bool
}

// Open makes a device of the processor's cores. Usable cores are GOMAXPROCS, which respects a container's CPU limit.
func Open(o Options) (device.Device, error) {
	if o.Workers < 0 || o.Workers > MaxWorkers {
		return nil, fmt.Errorf("%w: workers is from 0 (one for each core) to %d, got %d", device.ErrArgument, MaxWorkers, o.Workers)
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return &Device{workers: o.Workers}, nil
}

// Info is the processor's name and what the device uses of it.
func (d *Device) Info() device.Info {
	return device.Info{Name: "cpu", Model: processor(), Details: []device.Detail{
		{Key: "workers", Value: fmt.Sprint(d.workers)},
	}}
}

// Compile makes a program for the network.
func (d *Device) Compile(net *model.Network, plan device.Plan) (device.Program, error) {
	return nil, fmt.Errorf("%w: the program compiler is being written", device.ErrUnavailable)
}

// Outline tells what Compile would make.
func (d *Device) Outline(net *model.Network, plan device.Plan) (device.Outline, error) {
	return device.Outline{}, fmt.Errorf("%w: the program compiler is being written", device.ErrUnavailable)
}

// Close frees the device.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}
