//go:build cuda

package cuda

import (
	"fmt"

	"gorgonia.org/cu"
	"gorgonia.org/tensor"

	"gcnn/device"
	"gcnn/model"
)

// learnt is an array of the device that holds a value of each parameter, or of each trainable one.
type learnt struct {
	on   *buffer
	size int
	name func(parameter string) string // of a tensor in the map
	in   *map[string]*tensor.Dense     // of a state
	all  bool                          // of parameters that are not trained too
}

// learnt are the arrays that a state is made of: the weights, the slots, and the average.
func (p *program) learnt(s *device.State) []learnt {
	own := func(parameter string) string { return parameter }
	list := []learnt{{on: p.weights, size: p.values, name: own, in: &s.Weights, all: true}}
	for i, slot := range p.slotNames {
		list = append(list, learnt{on: p.slots[i], size: p.trainable, in: &s.Slots, name: func(parameter string) string { return parameter + "/" + slot }})
	}
	if p.average != nil {
		list = append(list, learnt{on: p.average, size: p.trainable, name: own, in: &s.Average})
	}
	return list
}

// State copies what was learnt.
func (p *program) State() (device.State, error) {
	if err := p.mu.Enter(); err != nil {
		return device.State{}, err
	}
	defer p.mu.Unlock()
	s := device.State{Step: p.step, Slots: map[string]*tensor.Dense{}}
	passing := make([]float32, p.values) // one array after the other
	for _, a := range p.learnt(&s) {
		values := passing[:a.size]
		if err := p.d.do(func() error { return download(p.d, values, a.on.ptr) }); err != nil {
			return device.State{}, err
		}
		if *a.in == nil {
			*a.in = map[string]*tensor.Dense{}
		}
		for name, q := range p.params {
			if a.all || q.Trainable {
				(*a.in)[a.name(name)] = q.toHost(values)
			}
		}
	}
	return s, nil
}

// View has a copy to lend: what was learnt lies in the device's memory.
func (p *program) View(read func(device.State) error) error {
	s, err := p.State()
	if err != nil {
		return err
	}
	return read(s)
}

// SetState replaces what was learnt.
func (p *program) SetState(s device.State) error {
	if err := p.mu.Enter(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := s.Check(p.net, p.spec.Training); err != nil {
		return err
	}
	if s.Average == nil { // it begins at the weights
		s.Average = s.Weights
	}
	passing := make([]float32, p.values)
	for _, a := range p.learnt(&s) {
		values := passing[:a.size]
		clear(values)
		for name, q := range p.params {
			if *a.in == nil || !a.all && !q.Trainable {
				continue
			}
			if err := q.toDevice(values, (*a.in)[a.name(name)]); err != nil {
				return fmt.Errorf("%s: %w", a.name(name), err)
			}
		}
		if err := p.d.do(func() error { return upload(p.d, a.on.ptr, values) }); err != nil {
			return err
		}
	}
	p.step = s.Step
	return nil
}

// turned reports whether a parameter is a convolution's kernel, with its sizes: places of the window times channels of a group,
// and filters. Keras has [kh, kw, channels, filters], the device [filters, kh, kw, channels]. A depthwise kernel of Keras,
// [kh, kw, channels, multiplier], is one of a channel a group and channels·multiplier filters.
func (q *param) turned() (inner, filters int, ok bool) {
	if q.Role != model.Kernel || len(q.Shape) != 4 {
		return 0, 0, false
	}
	filters = q.Shape[3]
	if q.depthwise {
		filters *= q.Shape[2]
	}
	return q.Size() / filters, filters, true
}

// toHost is the parameter's part of an array of the device, in Keras' layout.
func (q *param) toHost(all []float32) *tensor.Dense {
	from, to := all[q.offset:q.offset+q.Size()], make([]float32, q.Size())
	if inner, filters, ok := q.turned(); ok {
		for f := range filters {
			for k := range inner {
				to[k*filters+f] = from[f*inner+k]
			}
		}
	} else {
		copy(to, from)
	}
	return tensor.New(tensor.WithShape(q.Shape...), tensor.WithBacking(to))
}

// toDevice writes a tensor of Keras' layout to the parameter's part of an array of the device.
func (q *param) toDevice(all []float32, t *tensor.Dense) error {
	from, err := device.Floats(t)
	if err != nil {
		return err
	}
	to := all[q.offset : q.offset+q.Size()]
	if inner, filters, ok := q.turned(); ok {
		for f := range filters {
			for k := range inner {
				to[f*inner+k] = from[k*filters+f]
			}
		}
		return nil
	}
	copy(to, from)
	return nil
}

// rows downloads the first n samples of an activation.
func (p *program) rows(b *buffer, n int, shape model.Shape) (*tensor.Dense, error) {
	v := make([]float32, n*shape.Size())
	if err := download(p.d, v, cu.DevicePtr(b.p())); err != nil {
		return nil, err
	}
	return device.Rows(v, n, shape), nil
}
