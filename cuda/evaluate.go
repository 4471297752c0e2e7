//go:build cuda

package cuda

import (
	"context"
	"fmt"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/device"
)

// Evaluate computes the loss, the accuracy and the probabilities of a labelled set.
func (p *program) Evaluate(ctx context.Context, set device.Resident) (device.Evaluation, error) {
	if err := p.lock(); err != nil {
		return device.Evaluation{}, err
	}
	defer p.mu.Unlock()
	r, err := p.labelled(set)
	if err != nil {
		return device.Evaluation{}, err
	}
	out := make([]float32, r.n*p.net.Output().Size())
	m, err := p.infers(ctx, r, r.n, out)
	if err != nil {
		return device.Evaluation{}, err
	}
	return device.Evaluation{Metrics: m, Probabilities: p.result(r.n, out)}, nil
}

// stagedBytes is about what Predict copies to the device at a time.
const stagedBytes = 8 << 20

// Predict computes the network's output for images of the host, which pass over the device some batches at a time.
func (p *program) Predict(ctx context.Context, images *data.Set) (*tensor.Dense, error) {
	if err := p.lock(); err != nil {
		return nil, err
	}
	defer p.mu.Unlock()
	if images == nil {
		return nil, fmt.Errorf("%w: no images", device.ErrArgument)
	}
	if err := device.CheckSet(p.net, images, false); err != nil {
		return nil, err
	}
	kind, size := 0, images.ImageSize()
	if images.Floats != nil {
		kind, size = 1, 4*size
	}
	n, width := images.Len(), p.net.Output().Size()
	capacity := max(1, stagedBytes/(size*p.spec.Batch)) * p.spec.Batch
	out := make([]float32, n*width)
	for from := 0; from < n; from += capacity {
		to := min(from+capacity, n)
		err := p.d.do(func() (err error) {
			if p.staging[kind] == nil {
				if p.staging[kind], err = p.reserve(capacity, kind == 1, false, "a prediction"); err != nil {
					return err
				}
			}
			return p.staging[kind].fill(images, from, to)
		})
		if err != nil {
			return nil, err
		}
		if _, err := p.infers(ctx, p.staging[kind], to-from, out[from*width:to*width]); err != nil {
			return nil, err
		}
	}
	return p.result(n, out), nil
}

func (p *program) result(n int, out []float32) *tensor.Dense {
	return tensor.New(tensor.WithShape(append([]int{n}, p.net.Output()...)...), tensor.WithBacking(out))
}

// infers passes the first n images of a set through the network.
func (p *program) infers(ctx context.Context, r *resident, n int, out []float32) (device.Metrics, error) {
	if ctx.Err() != nil {
		return device.Metrics{}, context.Cause(ctx)
	}
	err := p.d.do(func() (err error) {
		if r.result.ptr == 0 {
			if r.result, err = p.d.allocate(fmt.Sprintf("outputs of %d images", r.n), 4*int64(r.n)*int64(p.net.Output().Size())); err != nil {
				return err
			}
		}
		return p.control.reset(p.d, p.step)
	})
	if err != nil {
		return device.Metrics{}, err
	}
	done, err := p.pass(ctx, p.infer, r, n, func(count) bool { return true })
	if err != nil {
		return device.Metrics{}, err
	}
	return done.metrics, p.d.do(func() error { return download(p.d, out, r.result.ptr) })
}
