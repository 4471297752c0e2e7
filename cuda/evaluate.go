//go:build cuda

package cuda

import (
	"context"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/device"
	"gcnn/device/backend"
)

// Evaluate computes the loss, the accuracy and the probabilities of a labelled set.
func (p *program) Evaluate(ctx context.Context, set device.Resident) (device.Evaluation, error) {
	if err := p.mu.Enter(); err != nil {
		return device.Evaluation{}, err
	}
	defer p.mu.Unlock()
	r, err := p.labelled(set)
	if err != nil {
		return device.Evaluation{}, err
	}
	m, out, err := p.infers(ctx, &feed{source: r.source, ring: r.ring, set: r.set, n: r.n})
	if err != nil {
		return device.Evaluation{}, err
	}
	return device.Evaluation{Metrics: m, Probabilities: out}, nil
}

// Predict computes the network's output for images of the host, which pass over the device piece by piece.
func (p *program) Predict(ctx context.Context, images *data.Set) (*tensor.Dense, error) {
	if err := p.mu.Enter(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	unlabelled, err := backend.Unlabelled(p.net, images)
	if err != nil {
		return nil, err
	}
	var r *ring
	if err := p.d.do(func() (err error) {
		r, err = p.ringOf(images)
		return err
	}); err != nil {
		return nil, err
	}
	_, out, err := p.infers(ctx, &feed{source: &r.source, ring: r, set: unlabelled, n: images.Len()})
	return out, err
}

// infers passes samples through the network. The metrics mean something where they are labelled.
func (p *program) infers(ctx context.Context, f *feed) (device.Metrics, *tensor.Dense, error) {
	if ctx.Err() != nil {
		return device.Metrics{}, nil, context.Cause(ctx)
	}
	if err := p.d.do(func() error { return p.control.reset(p.d, p.step) }); err != nil {
		return device.Metrics{}, nil, err
	}
	f.out = make([]float32, f.n*p.net.Output().Size())
	done, err := p.pass(ctx, p.infer, f, func(count) bool { return true })
	if err != nil {
		return device.Metrics{}, nil, err
	}
	return done.metrics, device.Rows(f.out, f.n, p.net.Output()), nil
}
