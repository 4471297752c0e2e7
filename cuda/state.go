//go:build cuda

package cuda

import (
	"fmt"

	"gorgonia.org/cu"
	"gorgonia.org/tensor"

	"gcnn/device"
	"gcnn/model"
)

func (p *program) optimizer() device.Optimizer {
	if p.spec.Training == nil {
		return nil
	}
	return p.spec.Training.Optimizer
}

// State copies what was learnt.
func (p *program) State() (device.State, error) {
	if err := p.lock(); err != nil {
		return device.State{}, err
	}
	defer p.mu.Unlock()
	weights := make([]float32, p.values)
	slots := make([][]float32, len(p.slotNames))
	err := p.d.do(func() error {
		if err := download(p.d, weights, p.weights.ptr); err != nil {
			return err
		}
		for i := range slots {
			slots[i] = make([]float32, p.trainable)
			if err := download(p.d, slots[i], p.slots[i].ptr); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return device.State{}, err
	}
	s := device.State{Step: p.step, Weights: map[string]*tensor.Dense{}, Slots: map[string]*tensor.Dense{}}
	for name, q := range p.params {
		s.Weights[name] = q.toHost(weights)
		for i, slot := range q.slots {
			s.Slots[name+"/"+slot] = q.toHost(slots[i])
		}
	}
	return s, nil
}

// SetState replaces what was learnt.
func (p *program) SetState(s device.State) error {
	if err := p.lock(); err != nil {
		return err
	}
	defer p.mu.Unlock()
	if err := s.Check(p.net, p.optimizer()); err != nil {
		return err
	}
	weights := make([]float32, p.values)
	slots := make([][]float32, len(p.slotNames))
	for i := range slots {
		slots[i] = make([]float32, p.trainable)
	}
	for name, q := range p.params {
		if err := q.toDevice(weights, s.Weights[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for i, slot := range q.slots {
			if s.Slots == nil {
				continue
			}
			if err := q.toDevice(slots[i], s.Slots[name+"/"+slot]); err != nil {
				return fmt.Errorf("%s/%s: %w", name, slot, err)
			}
		}
	}
	err := p.d.do(func() error {
		if err := upload(p.d, p.weights.ptr, weights); err != nil {
			return err
		}
		for i := range slots {
			if err := upload(p.d, p.slots[i].ptr, slots[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		p.step = s.Step
	}
	return err
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
	from, err := floatsOf(t)
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

// floatsOf is a tensor's elements in row-major order.
func floatsOf(t *tensor.Dense) ([]float32, error) {
	if t.Dtype() != tensor.Float32 {
		return nil, fmt.Errorf("%w: a tensor of float32 is wanted, got %v", device.ErrArgument, t.Dtype())
	}
	if t.RequiresIterator() || !t.DataOrder().IsRowMajor() {
		t = t.Clone().(*tensor.Dense)
		if m, ok := t.Materialize().(*tensor.Dense); ok {
			t = m
		}
	}
	v, ok := t.Data().([]float32)
	if !ok {
		return []float32{t.Data().(float32)}, nil
	}
	return v, nil
}

// rows downloads the first n samples of an activation.
func (p *program) rows(b *buffer, n int, shape model.Shape) (*tensor.Dense, error) {
	v := make([]float32, n*shape.Size())
	if err := download(p.d, v, cu.DevicePtr(b.p())); err != nil {
		return nil, err
	}
	return tensor.New(tensor.WithShape(append([]int{n}, shape...)...), tensor.WithBacking(v)), nil
}
