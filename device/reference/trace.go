package reference

import (
	"context"
	"fmt"

	"gorgonia.org/tensor"

	"gcnn/device"
	"gcnn/model"
)

// Trace is device.Trace with radii.
type Trace struct {
	Outputs     map[string]*Tensor // by layer
	OutputGrads map[string]*Tensor // by layer
	InputGrad   *Tensor
	ParamGrads  map[string]*Tensor // by parameter
	Loss        Ball               // with labels
	Updated     map[string]*Tensor // moving statistics
}

// Trace is TraceBounds without the radii, in float32.
func (p *Program) Trace(ctx context.Context, in device.TraceInput) (device.Trace, error) {
	t, err := p.trace(ctx, in, nil, p.plan.Trace)
	if err != nil {
		return device.Trace{}, err
	}
	return device.Trace{
		Outputs: valuesOf(t.Outputs), OutputGrads: valuesOf(t.OutputGrads), InputGrad: t.InputGrad.Values(),
		ParamGrads: valuesOf(t.ParamGrads), Loss: t.Loss.V, Updated: valuesOf(t.Updated),
	}, nil
}

// TraceBounds runs one forward and backward pass. Radii grow from layer to layer: a float32 implementation that runs the whole
// network from the same images and weights is within them. In a deep network they say little; LocalBounds does.
func (p *Program) TraceBounds(ctx context.Context, in device.TraceInput) (*Trace, error) {
	return p.trace(ctx, in, nil, true)
}

// LocalBounds computes what each layer should have made of the values that an implementation had around it: its output from
// seen.Outputs of its inputs, the gradients at its inputs and of its parameters from seen.OutputGrads of its own output. The
// radii are those of one layer.
func (p *Program) LocalBounds(ctx context.Context, in device.TraceInput, seen device.Trace) (*Trace, error) {
	for _, node := range p.net.Nodes {
		want := append([]int{in.X.Shape()[0]}, node.Out...)
		for what, m := range map[string]map[string]*tensor.Dense{"output": seen.Outputs, "gradient at the output": seen.OutputGrads} {
			switch t := m[node.Name]; {
			case t == nil:
				return nil, fmt.Errorf("%w: the trace has no %s of %s", device.ErrArgument, what, node.Name)
			case !model.Shape(want).Equal(model.Shape(t.Shape())):
				return nil, fmt.Errorf("%w: the trace's %s of %s is %v, want %v", device.ErrArgument, what, node.Name, t.Shape(), want)
			}
		}
	}
	return p.trace(ctx, in, &seen, true)
}

func (p *Program) trace(ctx context.Context, in device.TraceInput, seen *device.Trace, allowed bool) (*Trace, error) {
	if err := p.mu.Enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	if !allowed {
		return nil, fmt.Errorf("%w: the program was compiled without Plan.Trace", device.ErrArgument)
	}
	if err := in.Check(p.net, p.plan.Batch); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ps := p.newPass(in.Infer, in.Step)
	ps.seen = seen
	ps.forward(fromDense(in.X))
	t := &Trace{Outputs: map[string]*Tensor{}, OutputGrads: map[string]*Tensor{}, Updated: ps.updated()}
	var g gradients
	if in.Labels != nil {
		o := p.loss(true).of(ps.logits(), in.Labels)
		t.Loss = o.loss()
		g = ps.backward(o.dz, true)
	} else {
		g = ps.backward(fromDense(in.DY), false)
	}
	for i, node := range p.net.Nodes {
		t.Outputs[node.Name], t.OutputGrads[node.Name] = ps.outputs[i], g.outputs[i]
	}
	t.InputGrad, t.ParamGrads = g.input, g.params
	return t, nil
}
