//go:build cuda

package cuda

import (
	"errors"
	"fmt"

	cudnn "gorgonia.org/cu/dnn"

	"gcnn/kernels"
	"gcnn/model"
)

// What cudnnConvolutionBiasActivationForward takes, by its documentation: ReLU that makes 0 of NaN, or with the second algorithm
// no activation. It has no query for what else it refuses.

// precomputedGEMM is CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM.
const precomputedGEMM = 1

// fusedMode is the activation of a convolution's fused call; false where there is none, or nothing to fuse.
func (c *compiler) fusedMode(i int, algo int) (cudnn.ActivationMode, bool) {
	l := c.net.Nodes[i].Layer.(model.Conv2D)
	switch {
	case l.Activation == model.ReLU:
		return cudnn.ReLU, true
	case elementwise(l.Activation) == kernels.Linear && c.param(i, model.Bias) != nil && algo == precomputedGEMM:
		return cudnn.Identity, true
	}
	return 0, false
}

// fuses decides whether a convolution's bias and activation go into its call: where the call can say them and cuDNN takes it.
func (c *compiler) fuses(i int, s *convState, like *algorithms) (bool, error) {
	algo := s.choices.of[forward].algo
	mode, ok := c.fusedMode(i, algo)
	if !ok || c.d.options.unfused {
		return false, nil
	}
	if like != nil {
		return like.fused, nil
	}
	key := fmt.Sprint(s.input, s.filters, s.groups, s.v, s.h, algo, mode)
	if takes, ok := c.d.fusions[key]; ok {
		return takes, nil
	}
	takes, err := c.tryFused(s, mode)
	if err == nil {
		c.d.fusions[key] = takes
	}
	return takes, err
}

// tryFused makes the fused call for one sample of whatever memory holds.
func (c *compiler) tryFused(s *convState, mode cudnn.ActivationMode) (takes bool, err error) {
	try := &compiler{d: c.d, plan: &plan{}} // for its descriptors
	defer func() { err = errors.Join(err, try.plan.destroy(c.d)) }()
	xd, yd := try.tensor(1, s.input[0], s.input[1], s.input[2]), try.tensor(1, s.v.Out, s.h.Out, s.filters)
	bd, act := try.vector(s.filters), try.activation(mode, cudnn.NotPropagateNan, 0)
	if len(try.errs) > 0 {
		return false, errors.Join(try.errs...)
	}
	algo := s.choices.of[forward].algo
	bytes, st := space(c.d.dnn, forward, first(xd), first(s.wd), first(s.cd), first(yd), algo)
	if st.code != 0 {
		return false, nil //nolint:nilerr // it is an answer
	}
	sizes := []int64{4 * int64(s.input.Size()), 4 * int64(s.filters*s.width()), 4 * int64(s.filters), 4 * int64(s.v.Out*s.h.Out*s.filters), bytes}
	var total int64
	offsets := make([]int64, len(sizes))
	for k, n := range sizes {
		offsets[k], total = total, total+aligned(n)
	}
	scratch, err := c.d.allocate("a trial of the convolution with its activation", total)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.d.free(&scratch)) }()
	place := func(k int) memory { return memory(int64(scratch.ptr) + offsets[k]) }
	err = c.d.dnn.ConvolutionBiasActivationForward(1, xd, place(0), s.wd, place(1), s.cd, cudnn.ConvolutionFwdAlgo(algo), place(4), uintptr(bytes),
		0, yd, place(3), bd, place(2), act, yd, place(3))
	if code := statusOf(err).code; code/1000 == 2 || code/1000 == 3 { // CUDNN_STATUS_BAD_PARAM, CUDNN_STATUS_NOT_SUPPORTED and their kinds
		return false, nil
	}
	if err := c.d.ok("cudnnConvolutionBiasActivationForward", err, "", s.shape, "algorithm", algo); err != nil {
		return false, err
	}
	return true, c.d.synchronize()
}

// fusedForward emits y = f(x ∗ W + b) as one call.
func (c *compiler) fusedForward(i int, s *convState, y, space *buffer, flops int64) {
	a, kernel, bias := s.choices.of[forward], c.param(i, model.Kernel), c.param(i, model.Bias)
	mode, _ := c.fusedMode(i, a.algo)
	bd, act := c.vector(s.filters), c.activation(mode, cudnn.NotPropagateNan, 0)
	var zeros *buffer
	if bias == nil {
		zeros = c.constant(c.net.NameOf(i)+" zeros for a bias", s.filters, nil)
	}
	c.task(c.net.NameOf(i)+" forward", c.net.NamesOf(i), "cudnnConvolutionBiasActivationForward", flops, []*buffer{s.x, y, space, zeros}, func() error {
		b := zeros.p()
		if bias != nil {
			b = bias.w()
		}
		// y in the place of what is added and multiplied by 0: a null pointer is refused
		err := c.d.dnn.ConvolutionBiasActivationForward(1, s.xd, at(s.x.p()), s.wd, at(kernel.w()), s.cd, cudnn.ConvolutionFwdAlgo(a.algo), at(space.p()), uintptr(a.space),
			0, s.yd, at(y.p()), bd, at(b), act, s.yd, at(y.p()))
		return c.d.ok("cudnnConvolutionBiasActivationForward", err, "", s.shape, "algorithm", a.algo)
	})
}
