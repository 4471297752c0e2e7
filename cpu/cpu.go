// Package cpu is the device that computes on the processor's cores: Go, with assembly kernels (cpu/kernel) where the processor
// has the vector units for them.
//
// A network is compiled once into a plan: a list of tasks over memory that is laid out at compile time. Activations lie as
// [groups][elements][16 samples] (an element is a place in the channels-last order of one sample), so that every kernel works
// on 16 samples at once whatever the shape of the layer; feature maps of fewer have channels in the lanes instead. Long-lived workers
// run the tasks of a step with a handful of barriers. Every sum has an order fixed by the network and the batch alone: results are the same bits for any number of
// workers.
package cpu

import (
	"fmt"
	"math"
	"os"
	"sync"

	"gcnn/cpu/kernel"
	"gcnn/data"
	"gcnn/device"
	"gcnn/model"
)

// Options are the choices for opening the device.
type Options struct {
	Workers int // goroutines that compute, at most MaxWorkers; 0 is one for each usable core, of which a container's quota leaves fewer
	// SetMemory is the most bytes of memory that copies of sets may take together; 0: a quarter of the machine's. A set beyond it
	// is used where it is, with the same results.
	SetMemory int64
	Kernels   kernel.Path // "" is what the environment variable GCNN_CPU names, or else the fastest that this processor runs
}

// MaxWorkers bounds Options.Workers.
const MaxWorkers = 1024

// Device is the processor. It is made by Open.
type Device struct {
	workers   int
	because   string // of how many workers there are
	kernels   *kernel.Kernels
	setMemory int64
	options   []func(*program) // of tests: change a program before its plans are made

	mu       sync.Mutex
	closed   bool
	programs int
}

// Open makes a device of the processor's cores.
func Open(o Options) (device.Device, error) {
	if o.Workers < 0 || o.Workers > MaxWorkers {
		return nil, fmt.Errorf("%w: workers is from 0 (one for each core) to %d, got %d", device.ErrArgument, MaxWorkers, o.Workers)
	}
	if o.SetMemory < 0 {
		return nil, fmt.Errorf("%w: the memory of sets is at least 0, got %d", device.ErrArgument, o.SetMemory)
	}
	if o.SetMemory == 0 {
		if o.SetMemory = int64(usableMemory() / 4); o.SetMemory == 0 { // unknown
			o.SetMemory = math.MaxInt64
		}
	}
	because := ""
	if o.Workers == 0 {
		n, quota, limited := defaultWorkers()
		if o.Workers = min(n, MaxWorkers); limited {
			because = fmt.Sprintf(", for a CPU quota of %.3g", quota)
		}
	}
	path, from := string(o.Kernels), "kernels"
	if path == "" {
		path, from = os.Getenv("GCNN_CPU"), "GCNN_CPU"
	}
	k, err := kernel.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", from, device.ErrUnavailable, err)
	}
	return &Device{workers: o.Workers, because: because, kernels: k, setMemory: o.SetMemory}, nil
}

// Info is the processor's name and what the device uses of it.
func (d *Device) Info() device.Info {
	return device.Info{Name: "cpu", Model: processor(), Details: []device.Detail{
		{Key: "kernels", Value: fmt.Sprintf("%s of %v", d.kernels.Path(), kernel.Available())},
		{Key: "workers", Value: fmt.Sprint(d.workers) + d.because},
	}}
}

// Compile makes a program for the network. Its memory is taken here, but for that of a trace, and of forward passes of other
// numbers of images than Plan.Batch, which is taken at the first of their kind.
func (d *Device) Compile(net *model.Network, plan device.Plan) (device.Program, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, fmt.Errorf("the device is %w", device.ErrClosed)
	}
	p, err := newProgram(d.kernels, d.workers, net, plan, false, d.options...)
	if err != nil {
		return nil, err
	}
	d.programs++
	p.setMemory = d.setMemory
	p.shut = func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.programs--
	}
	return p, nil
}

// Outline tells what Compile would make, and where sets would lie.
func (d *Device) Outline(net *model.Network, plan device.Plan, sets ...*data.Set) (device.Outline, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return device.Outline{}, fmt.Errorf("the device is %w", device.ErrClosed)
	}
	p, err := newProgram(d.kernels, d.workers, net, plan, true, d.options...)
	if err != nil {
		return device.Outline{}, err
	}
	o := p.outline().Outline
	var taken int64
	for _, set := range sets {
		place := placement(set, d.setMemory-taken)
		if !place.Streamed {
			taken += place.Bytes
		}
		o.Sets = append(o.Sets, place)
	}
	return o, nil
}

// Close frees the device. It is an error while programs are open.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.programs > 0 {
		return fmt.Errorf("%w: %d programs of the device are still open", device.ErrArgument, d.programs)
	}
	d.closed = true
	return nil
}
