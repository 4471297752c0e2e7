// Package reference is the device that decides who is right: every layer, loss and optimiser in float64, written for clarity,
// with a derived bound of what a float32 implementation may differ by.
//
// It is a device like any other, so that whatever takes devices can take it, and is slow. Beyond that, TraceBounds, LocalBounds
// and StepBounds return Balls: values with their radii.
package reference

import (
	"fmt"
	"sync"

	"gcnn/data"
	"gcnn/device"
	"gcnn/model"
)

// Options are the choices for opening the device.
type Options struct {
	// Float64State keeps weights, moving statistics and slots in float64 from step to step. Otherwise they are rounded to
	// float32 after each step, as every device stores them, so that State and SetState carry them whole.
	Float64State bool
}

// Device is the reference. It is made by Open.
type Device struct {
	options Options

	mu     sync.Mutex
	closed bool
}

// Open makes the device. It cannot fail and needs nothing.
func Open(o Options) *Device { return &Device{options: o} }

// Info says what it is.
func (d *Device) Info() device.Info {
	return device.Info{Name: "reference", Model: "float64, one goroutine"}
}

// Compile makes a *Program.
func (d *Device) Compile(net *model.Network, plan device.Plan) (device.Program, error) {
	p, err := d.Program(net, plan)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Program is Compile with the program's own type.
func (d *Device) Program(net *model.Network, plan device.Plan) (*Program, error) {
	if err := d.open(); err != nil {
		return nil, err
	}
	if err := plan.Check(net); err != nil {
		return nil, err
	}
	p := &Program{device: d, net: net, plan: plan, weights: map[string]*Tensor{}}
	for _, param := range net.Params() {
		p.weights[param.Name] = newTensor(param.Shape...)
	}
	p.slots, p.average = p.zeroSlots(), p.averageOfWeights()
	return p, nil
}

// Outline has a task for each layer and direction.
func (d *Device) Outline(net *model.Network, plan device.Plan, sets ...*data.Set) (device.Outline, error) {
	if err := d.open(); err != nil {
		return device.Outline{}, err
	}
	if err := plan.Check(net); err != nil {
		return device.Outline{}, err
	}
	const ball = 16 // bytes
	var o device.Outline
	var parameters, activations int64
	for _, node := range net.Nodes {
		flops := 2 * node.MACs * int64(plan.Batch)
		o.Tasks = append(o.Tasks, device.Task{Name: node.Name + " forward", Layers: []string{node.Name}, Kernel: "float64", FLOPs: flops})
		if plan.Training != nil || plan.Trace {
			o.Tasks = append(o.Tasks, device.Task{Name: node.Name + " backward", Layers: []string{node.Name}, Kernel: "float64", FLOPs: 2 * flops})
		}
		activations += int64(node.Out.Size()) * int64(plan.Batch) * ball
	}
	for _, param := range net.Params() {
		parameters += int64(param.Size()) * ball
	}
	o.Memory = []device.Memory{{Use: "weights", Bytes: parameters}, {Use: "activations", Bytes: activations}}
	if plan.Training != nil {
		slots := int64(len(plan.Training.Optimizer.Slots()))
		if plan.Training.EMA.Momentum > 0 {
			slots++
		}
		o.Memory = append(o.Memory, device.Memory{Use: "optimizer", Bytes: slots * parameters})
	}
	for _, set := range sets {
		o.Sets = append(o.Sets, (&resident{set: set}).Placement())
	}
	return o, nil
}

// Close makes later calls fail.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

func (d *Device) open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("the reference device is %w", device.ErrClosed)
	}
	return nil
}
