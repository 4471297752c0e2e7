//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	cudnn "gorgonia.org/cu/dnn"

	"gcnn/kernels"
	"gcnn/model"
)

// convState is how a convolution is computed.
type convState struct {
	v, h     model.Window
	groups   int
	per      int  // input channels of a group
	filters  int  // of all groups
	unfolded bool // by a matrix product of unfolded images, since cuDNN has nothing deterministic for it

	x       *buffer     // what cuDNN reads: the input, or a padded copy
	input   model.Shape // its shape
	xd, yd  *cudnn.TensorDescriptor
	wd      *cudnn.Filter
	cd      *cudnn.Convolution
	choices *algorithms
	shape   string // for errors
}

// algorithms are cuDNN's algorithms for a convolution, with their workspaces; nil directions are not computed.
type algorithms struct {
	unfolded bool
	fused    bool // bias and activation are in the forward call
	of       [3]*choice
}

// memory is an address in device memory, as gorgonia.org/cu/dnn wants it.
type memory uintptr

func (m memory) Uintptr() uintptr           { return uintptr(m) }
func (m memory) IsNativelyAccessible() bool { return false }

func at(p kernels.Pointer) memory { return memory(p) }

// convForward emits y = f(x ∗ W + b).
func (c *compiler) convForward(i int, l model.Conv2D) {
	node := &c.net.Nodes[i]
	x, in := c.vals[slot(node.Inputs[0])], node.In[0]
	v, h := l.Windows(in)
	s := &convState{v: v, h: h, groups: l.Groups, per: in[2] / l.Groups, filters: l.Filters, x: x, input: in}
	c.convs[i] = s
	s.shape = fmt.Sprintf("x %d×%v, %d filters of %d×%d, stride %d×%d, dilation %d×%d, %d groups",
		c.rows, in, l.Filters, v.Kernel, h.Kernel, v.Stride, h.Stride, v.Dilation, h.Dilation, l.Groups)
	if c.choose(i, s); len(c.errs) > 0 {
		return
	}
	var y *buffer
	if l.Activation == model.Softmax {
		y = c.buffer(node.Name+" before softmax", c.elements(i))
	} else {
		y = c.value(i)
	}
	kernel, flops := c.param(i, model.Kernel), 2*node.MACs*int64(c.rows)
	if s.unfolded {
		c.unfoldedForward(i, s, x, y, kernel, flops)
	} else {
		if s.padded() {
			s.x = c.buffer(node.Name+" padded input", c.rows*s.input.Size())
			c.padMap(i, "padding", x, s.x, in, s.input, v.Before, h.Before)
		}
		a := s.choices.of[forward]
		space := c.workspace(node.Name+" forward workspace", a)
		if s.choices.fused {
			c.fusedForward(i, s, y, space, flops)
		} else {
			c.task(node.Name+" forward", c.net.NamesOf(i), "cudnnConvolutionForward", flops, []*buffer{s.x, y, space}, func() error {
				err := c.d.dnn.ConvolutionForward(1, s.xd, at(s.x.p()), s.wd, at(kernel.w()), s.cd,
					cudnn.ConvolutionFwdAlgo(a.algo), at(space.p()), uintptr(a.space), 0, s.yd, at(y.p()))
				return c.d.ok("cudnnConvolutionForward", err, "", s.shape, "algorithm", a.algo)
			})
			if _, ok := c.fusedMode(i, a.algo); ok {
				c.because("not with its activation: refused by cuDNN")
			}
		}
	}
	c.shapes[i] = c.biasActivation(i, y, c.param(i, model.Bias), l.Activation, l.Activation.DefaultAlpha(), s.choices.fused)
}

// padded reports whether cuDNN reads a padded copy, since its own padding is the same on both sides.
func (s *convState) padded() bool { return s.v.Before != s.v.After || s.h.Before != s.h.After }

// workspace makes an algorithm's workspace.
func (c *compiler) workspace(name string, a *choice) *buffer {
	return c.buffer(name, int((a.space+3)/4))
}

// choose asks cuDNN for the algorithms of a convolution.
func (c *compiler) choose(i int, s *convState) {
	var like *algorithms
	if c.like != nil {
		like = c.like.algorithms[i]
	}
	s.choices = &algorithms{unfolded: s.v.Dilation > 1 || s.h.Dilation > 1} // cuDNN dilates in NCHW alone
	c.plan.algorithms[i] = s.choices
	if like != nil {
		s.choices.unfolded = like.unfolded
	}
	if s.unfolded = s.choices.unfolded; s.unfolded {
		return
	}
	top, left := s.v.Before, s.h.Before
	if s.padded() {
		s.input = model.Shape{s.v.In + s.v.Before + s.v.After, s.h.In + s.h.Before + s.h.After, s.input[2]}
		top, left = 0, 0
	}
	mark := len(c.plan.descriptors)
	s.xd = c.tensor(c.rows, s.input[0], s.input[1], s.input[2])
	s.yd = c.tensor(c.rows, s.v.Out, s.h.Out, s.filters)
	s.wd = c.filter(s.filters, s.per, s.v.Kernel, s.h.Kernel)
	s.cd = c.convolution(s.groups, [2]int{top, left}, [2]int{s.v.Stride, s.h.Stride})
	if len(c.errs) > 0 {
		return
	}
	node := &c.net.Nodes[i]
	wanted := []direction{forward}
	if c.purpose.mode != inference {
		if c.param(i, model.Kernel).trains() {
			wanted = append(wanted, backwardFilter)
		}
		if c.grads.Wanted(node.Inputs[0]) {
			wanted = append(wanted, backwardData)
		}
	}
	for _, d := range wanted {
		var before *choice
		if like != nil {
			before = like.of[d]
		}
		a, err := c.algorithm(d, s, before)
		if errors.Is(err, errNoAlgorithm) && like == nil {
			s.unfolded, s.choices.unfolded, s.input = true, true, node.In[0]
			for _, g := range c.plan.descriptors[mark:] {
				c.fail(c.d.check("destroying a descriptor", g.destroy()))
			}
			c.plan.descriptors = c.plan.descriptors[:mark]
			return
		}
		if err != nil {
			c.fail(fmt.Errorf("%s: %w", node.Name, err))
			return
		}
		s.choices.of[d] = a
	}
	var err error
	if s.choices.fused, err = c.fuses(i, s, like); err != nil {
		c.fail(fmt.Errorf("%s: %w", node.Name, err))
	}
}

var errNoAlgorithm = errors.New("cuDNN has no deterministic algorithm within the workspace")

// Winograd's and Fourier's algorithms do other operations than the convolution's own: their results are not within the bound
// that holds for any order of summation.
var transforms = [3][]int{forward: {4, 5, 6, 7}, backwardData: {2, 3, 4, 5}, backwardFilter: {2, 4, 5, 6}}

// algorithm is the best deterministic algorithm of a direction whose workspace is within the limit: that of the plan for a
// whole batch, where this one follows it.
func (c *compiler) algorithm(d direction, s *convState, like *choice) (*choice, error) {
	var a, b, out unsafe.Pointer
	x, y, w := first(s.xd), first(s.yd), first(s.wd)
	switch d {
	case forward:
		a, b, out = x, w, y
	case backwardData:
		a, b, out = w, y, x
	case backwardFilter:
		a, b, out = x, y, w
	}
	list, st := choices(c.d.dnn, d, a, b, first(s.cd), out)
	if st.code/1000 == 3 { // CUDNN_STATUS_NOT_SUPPORTED and its kinds
		return nil, fmt.Errorf("%w: %s (%s)", errNoAlgorithm, st.name(), s.shape)
	}
	if err := c.d.check("cudnnGetConvolutionAlgorithm_v7", st, "", s.shape); err != nil {
		return nil, err
	}
	limit := c.d.options.Workspace
	if like != nil {
		limit = like.space
		slices.SortStableFunc(list, func(p, q choice) int { // the same one first
			switch {
			case p.algo == like.algo && q.algo != like.algo:
				return -1
			case q.algo == like.algo && p.algo != like.algo:
				return 1
			}
			return 0
		})
	}
	for _, p := range list {
		if !p.supported || !p.deterministic {
			continue
		}
		if (c.spec.Exact || c.d.options.Precision == Float32) && slices.Contains(transforms[d], p.algo) {
			continue
		}
		n, st := space(c.d.dnn, d, a, b, first(s.cd), out, p.algo)
		if st.code != 0 || n > limit {
			continue
		}
		p.space = n
		return &p, nil
	}
	return nil, fmt.Errorf("%w of %d bytes (%s)", errNoAlgorithm, limit, s.shape)
}

// filter makes cuDNN's descriptor of a kernel, [filters, height, width, channels of a group].
func (c *compiler) filter(filters, channels, h, w int) *cudnn.Filter {
	f, err := cudnn.NewFilter(cudnn.Float, cudnn.NHWC, []int{filters, channels, h, w})
	if err != nil {
		c.fail(c.d.ok("cudnnSetFilter4dDescriptor", err, "filters", filters, "channels", channels, "height", h, "width", w))
		return nil
	}
	c.plan.descriptors = append(c.plan.descriptors, filterDescriptor{f})
	return f
}

// convolution makes cuDNN's descriptor of a convolution.
func (c *compiler) convolution(groups int, pad, stride [2]int) *cudnn.Convolution {
	precision := cudnn.FmaMath
	if c.d.options.Precision == TF32 {
		precision = cudnn.DefaultMath
	}
	d, err := cudnn.NewConvolution(precision, groups, pad[:], stride[:], []int{1, 1}, cudnn.CrossCorrelation, cudnn.Float)
	if err != nil {
		c.fail(c.d.ok("cudnnSetConvolutionNdDescriptor", err, "groups", groups, "padding", pad, "stride", stride))
		return nil
	}
	c.plan.descriptors = append(c.plan.descriptors, convolutionDescriptor{d})
	return d
}

// convBackward emits the gradients of bias, kernel and input.
func (c *compiler) convBackward(i int, l model.Conv2D) {
	node := &c.net.Nodes[i]
	s, kernel := c.convs[i], c.param(i, model.Kernel)
	wantsInput := c.grads.Wanted(node.Inputs[0])
	dz := c.biasGradient(i, c.shapes[i], c.grads.At(i), c.param(i, model.Bias), kernel.trains() || wantsInput)
	flops := 2 * node.MACs * int64(c.rows)
	if s.unfolded {
		c.unfoldedBackward(i, s, c.vals[slot(node.Inputs[0])], dz, kernel, flops)
		return
	}
	if kernel.trains() {
		a := s.choices.of[backwardFilter]
		space := c.workspace(node.Name+" kernel gradient workspace", a)
		c.task(node.Name+" kernel gradient", c.net.NamesOf(i), "cudnnConvolutionBackwardFilter", flops, []*buffer{s.x, dz, space}, func() error {
			err := c.d.dnn.ConvolutionBackwardFilter(1, s.xd, at(s.x.p()), s.yd, at(dz.p()), s.cd,
				cudnn.ConvolutionBwdFilterAlgo(a.algo), at(space.p()), uintptr(a.space), 0, s.wd, at(kernel.g()))
			return c.d.ok("cudnnConvolutionBackwardFilter", err, "", s.shape, "algorithm", a.algo)
		})
	}
	c.grads.Into(node.Inputs[0], func(dx *buffer) {
		to := dx
		if s.padded() {
			to = c.buffer(node.Name+" padded input gradient", c.rows*s.input.Size())
		}
		a := s.choices.of[backwardData]
		space := c.workspace(node.Name+" input gradient workspace", a)
		c.task(node.Name+" input gradient", c.net.NamesOf(i), "cudnnConvolutionBackwardData", flops, []*buffer{to, dz, space}, func() error {
			err := c.d.dnn.ConvolutionBackwardData(1, s.wd, at(kernel.w()), s.yd, at(dz.p()), s.cd,
				cudnn.ConvolutionBwdDataAlgo(a.algo), at(space.p()), uintptr(a.space), 0, s.xd, at(to.p()))
			return c.d.ok("cudnnConvolutionBackwardData", err, "", s.shape, "algorithm", a.algo)
		})
		if to != dx {
			c.cropMap(i, "cropping of the input gradient", to, dx, node.In[0], s.input, s.v.Before, s.h.Before)
		}
	})
}

// floats is an offset in bytes of so many floats.
func floats(n int) kernels.Pointer { return kernels.Pointer(4 * n) }
