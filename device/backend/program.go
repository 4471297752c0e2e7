// Package backend is what each backend would write again: how the methods of a program begin, and how gradients find their way
// while a network is compiled.
package backend

import (
	"context"
	"fmt"
	"sync"

	"gcnn/data"
	"gcnn/device"
	"gcnn/model"
)

// Mutex is held while a method of a program runs. Its zero value is that of a program in use.
type Mutex struct {
	sync.Mutex
	Closed bool // guarded by the mutex
}

// Enter takes the program for one call. Whoever has no error unlocks it.
func (m *Mutex) Enter() error {
	m.Lock()
	if m.Closed {
		m.Unlock()
		return fmt.Errorf("the program is %w", device.ErrClosed)
	}
	return nil
}

// Close waits for the running call and lets free, the first time, free what the program has.
func (m *Mutex) Close(free func() error) error {
	m.Lock()
	defer m.Unlock()
	if m.Closed {
		return nil
	}
	m.Closed = true
	return free()
}

// CheckTrain reports why a program with a plan cannot train an epoch on so many images.
func CheckTrain(ctx context.Context, net *model.Network, plan device.Plan, images int, epoch device.Epoch) error {
	if plan.Training == nil {
		return fmt.Errorf("the program was %w", device.ErrNoTraining)
	}
	if err := epoch.Check(plan.Batch, images); err != nil {
		return err
	}
	if _, err := net.Classes(); err != nil {
		return fmt.Errorf("%w: a traced network that is no classifier has no loss to train on: %w", device.ErrArgument, err)
	}
	return context.Cause(ctx)
}

// Unlabelled is a set of images to predict, without its labels.
func Unlabelled(net *model.Network, images *data.Set) (*data.Set, error) {
	if err := device.CheckSet(net, images, false); err != nil {
		return nil, err
	}
	unlabelled := *images
	unlabelled.Labels = nil
	return &unlabelled, nil
}

// TraceInput checks the input of a trace, and returns the elements of X, and of DY where there is one.
func TraceInput(ctx context.Context, net *model.Network, plan device.Plan, in device.TraceInput) (x, dy []float32, err error) {
	if !plan.Trace {
		return nil, nil, fmt.Errorf("%w: the program was compiled without Plan.Trace", device.ErrArgument)
	}
	if err := in.Check(net, plan.Batch); err != nil {
		return nil, nil, err
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	if x, err = device.Floats(in.X); err == nil && in.DY != nil {
		dy, err = device.Floats(in.DY)
	}
	return x, dy, err
}
