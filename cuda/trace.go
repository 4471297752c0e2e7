//go:build cuda

package cuda

import (
	"context"
	"errors"

	"gorgonia.org/cu"

	"gcnn/device"
	"gcnn/device/backend"
	"gcnn/model"
)

// Trace runs one forward and backward pass, call by call, and copies everything out.
func (p *program) Trace(ctx context.Context, in device.TraceInput) (device.Trace, error) {
	if err := p.mu.Enter(); err != nil {
		return device.Trace{}, err
	}
	defer p.mu.Unlock()
	x, dy, err := backend.TraceInput(ctx, p.net, p.spec, in)
	if err != nil {
		return device.Trace{}, err
	}
	var t device.Trace
	err = p.d.do(func() error {
		q, err := p.tracePlan(tracePart{purpose{mode: tracing, labels: in.Labels != nil, infer: in.Infer}, in.X.Shape()[0]})
		if err != nil {
			return err
		}
		if err := p.traceOn(q, x, dy, in); err != nil {
			return err
		}
		t, err = p.copyTrace(q, in)
		return err
	})
	return t, err
}

// tracePlan is the plan of a kind of trace, made when it is first wanted.
func (p *program) tracePlan(key tracePart) (*plan, error) {
	if q := p.traces[key]; q != nil {
		return q, nil
	}
	q, err := p.compile(key.purpose, key.rows, nil)
	if err != nil {
		return nil, err
	}
	free, err := p.d.available()
	if err != nil {
		return nil, errors.Join(err, q.destroy(p.d))
	}
	var need int64
	for _, b := range q.buffers { // nothing shares its memory
		need += aligned(b.bytes)
	}
	if need > free {
		return nil, errors.Join(p.tooLarge("a trace", need, free), q.destroy(p.d))
	}
	for _, b := range q.buffers {
		if b.bytes == 0 {
			continue
		}
		a, err := p.d.allocate(b.name, b.bytes)
		if err != nil {
			return nil, errors.Join(err, q.destroy(p.d))
		}
		q.own = append(q.own, a)
		b.ptr = a.ptr
	}
	if err := q.start(p); err != nil {
		return nil, errors.Join(err, q.destroy(p.d))
	}
	p.traces[key] = q
	return q, nil
}

// traceOn uploads a trace's input and makes the plan's calls.
func (p *program) traceOn(q *plan, x, dy []float32, in device.TraceInput) error {
	d := p.d
	if err := p.control.reset(d, in.Step); err != nil {
		return err
	}
	if err := upload(d, q.vals[slot(model.Input)].ptr, x); err != nil {
		return err
	}
	if dy != nil {
		if err := upload(d, q.given.ptr, dy); err != nil {
			return err
		}
	}
	targets := make([]int32, len(in.Labels))
	for i, l := range in.Labels {
		targets[i] = int32(l)
	}
	if err := upload(d, q.targets.ptr, targets); err != nil {
		return err
	}
	for _, f := range q.prologue {
		if err := f(); err != nil {
			return err
		}
	}
	return errors.Join(q.run(), d.synchronize())
}

func (p *program) copyTrace(q *plan, in device.TraceInput) (t device.Trace, err error) {
	t = device.NewTrace()
	n := q.rows
	if t.InputGrad, err = p.rows(q.grads.At(model.Input), n, p.net.Input); err != nil {
		return t, err
	}
	grads := make([]float32, p.trainable)
	if err := download(p.d, grads, p.grads.ptr); err != nil {
		return t, err
	}
	for i, node := range p.net.Nodes {
		if t.Outputs[node.Name], err = p.rows(q.vals[slot(i)], n, node.Out); err != nil {
			return t, err
		}
		if t.OutputGrads[node.Name], err = p.rows(q.grads.At(i), n, node.Out); err != nil {
			return t, err
		}
		for _, q := range node.Params {
			if q.Trainable {
				t.ParamGrads[q.Name] = p.params[q.Name].toHost(grads)
			}
		}
	}
	for _, a := range q.averages {
		v := make([]float32, p.params[a.param].Size())
		if err := download(p.d, v, cu.DevicePtr(a.value.p())); err != nil {
			return t, err
		}
		t.Updated[a.param] = device.Copy(v, len(v))
	}
	if in.Labels != nil {
		losses := make([]float32, n)
		if err := download(p.d, losses, q.losses.ptr); err != nil {
			return t, err
		}
		for _, l := range losses {
			t.Loss += float64(l)
		}
		t.Loss /= float64(n)
	}
	return t, nil
}
