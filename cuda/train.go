//go:build cuda

package cuda

import (
	"context"
	"math"
	"time"

	"gcnn/device"
	"gcnn/device/backend"
)

// progressInterval is the least time between two reports.
const progressInterval = 50 * time.Millisecond

// Train runs the epoch's steps.
func (p *program) Train(ctx context.Context, set device.Resident, epoch device.Epoch) (device.Metrics, error) {
	if err := p.mu.Enter(); err != nil {
		return epoch.Start, err
	}
	defer p.mu.Unlock()
	r, err := p.labelled(set)
	if err != nil {
		return epoch.Start, err
	}
	if err := backend.CheckTrain(ctx, p.net, p.spec, r.n, epoch); err != nil {
		return epoch.Start, err
	}
	steps := len(epoch.Rates)
	if steps == 0 {
		return epoch.Start, nil
	}
	if err := p.d.do(func() error { return p.begin(r, &epoch) }); err != nil {
		return epoch.Start, err
	}
	sum := func(m device.Metrics) device.Metrics {
		return device.Metrics{LossSum: epoch.Start.LossSum + m.LossSum, Correct: epoch.Start.Correct + m.Correct, Count: epoch.Start.Count + m.Count}
	}
	last := time.Now()
	done, err := p.pass(ctx, p.train, &feed{source: r.source, ring: r.ring, set: r.set, order: epoch.Order, n: len(epoch.Order)}, func(c count) bool {
		if epoch.Progress != nil && c.steps < steps && time.Since(last) >= progressInterval {
			last = time.Now()
			epoch.Progress(device.Progress{Step: c.steps, Steps: steps, Metrics: sum(c.metrics)})
		}
		return finite(c.metrics.LossSum)
	})
	p.step += int64(done.steps)
	m := sum(done.metrics)
	if err == nil && !finite(done.metrics.LossSum) {
		err = &device.NonFiniteError{Step: done.steps, Loss: done.metrics.LossSum}
	}
	if epoch.Progress != nil {
		epoch.Progress(device.Progress{Step: done.steps, Steps: steps, Metrics: m})
	}
	return m, err
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
