package cpu

import (
	"context"

	"gorgonia.org/tensor"

	"gcnn/cpu/kernel"
	"gcnn/data"
	"gcnn/device"
	"gcnn/device/backend"
	"gcnn/model"
)

// Trace runs one forward and backward pass of an unfused plan and copies everything out.
func (p *program) Trace(ctx context.Context, in device.TraceInput) (device.Trace, error) {
	if err := p.mu.Enter(); err != nil {
		return device.Trace{}, err
	}
	defer p.mu.Unlock()
	x, dy, err := backend.TraceInput(ctx, p.net, p.spec, in)
	if err != nil {
		return device.Trace{}, err
	}
	pl, err := p.tracePlan(purpose{mode: tracing, labels: in.Labels != nil, infer: in.Infer, unfused: true, across: p.across})
	if err != nil {
		return device.Trace{}, err
	}
	n := in.X.Shape()[0]
	set := &data.Set{Height: p.net.Input[0], Width: p.net.Input[1], Channels: p.net.Input[2], Floats: x, Labels: in.Labels}
	for _, f := range pl.prologue {
		f()
	}
	for _, q := range p.params {
		q.renewAll(p.k) // training renews the copies that it needs itself
	}
	pl.round++
	p.crew.run(func(w *worker) {
		w.step.start(set, nil, in.Step, 0)
		w.step.dy = dy
		pl.run(w, pl.round, false, nil)
		w.step.dy = nil
	})
	return p.copyTrace(pl, n, in), nil
}

// tracePlan is the plan of a kind of trace, made when it is first wanted.
func (p *program) tracePlan(kind purpose) (*plan, error) {
	if pl := p.traces[kind]; pl != nil {
		return pl, nil
	}
	pl, err := p.compile(kind)
	if err != nil {
		return nil, err
	}
	pl.allocate(p.crew)
	p.traces[kind] = pl
	return pl, nil
}

func (p *program) copyTrace(pl *plan, n int, in device.TraceInput) device.Trace {
	t := device.NewTrace()
	t.InputGrad = p.copyOut(pl, pl.grads.At(model.Input), n, p.net.Input)
	for i, node := range p.net.Nodes {
		t.Outputs[node.Name] = p.copyOut(pl, pl.vals[slot(i)], n, node.Out)
		t.OutputGrads[node.Name] = p.copyOut(pl, pl.grads.At(i), n, node.Out)
		bn, normalises := node.Layer.(model.BatchNormalization)
		for _, param := range node.Params {
			q := p.params[param.Name]
			if param.Trainable {
				t.ParamGrads[param.Name] = device.Copy(q.grad, q.Shape...)
			}
			if normalises && !in.Infer && !bool(bn.Frozen) && (param.Role == model.MovingMean || param.Role == model.MovingVariance) {
				t.Updated[param.Name] = device.Copy(q.moved, q.Shape...)
			}
		}
	}
	if in.Labels != nil {
		for g := range (n + kernel.Lanes - 1) / kernel.Lanes {
			for _, l := range pl.losses[g].Loss {
				t.Loss += l
			}
		}
		t.Loss /= float64(n)
	}
	return t
}

// copyOut makes a tensor of the first n samples of an activation.
func (p *program) copyOut(pl *plan, b *buffer, n int, shape model.Shape) *tensor.Dense {
	size := shape.Size()
	rows := make([]float32, n*size)
	if b.single {
		pitch := shape[len(shape)-1]
		if b != pl.packed {
			pitch = kernel.Padded(pitch)
		}
		for s := range n {
			unpad(rows[s*size:], b.copy(s), shape, pitch)
		}
		return device.Rows(rows, n, shape)
	}
	for g := 0; g*kernel.Lanes < n; g++ {
		p.toRows(rows[g*kernel.Lanes*size:], b.copy(g), size, min(kernel.Lanes, n-g*kernel.Lanes))
	}
	return device.Rows(rows, n, shape)
}
