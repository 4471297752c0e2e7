package model

import "fmt"

// Conv2D is a two-dimensional convolution (cross-correlation, as in Keras) with bias and activation.
//
// Input {h, w, c}; output {h', w', Filters}. Parameters: kernel {kh, kw, c/Groups, Filters} (HWIO; filters of one group are
// neighbours), bias {Filters}.
//
// With DepthMultiplier m it is Keras' DepthwiseConv2D: m filters for each channel, Groups = c and Filters = c·m. Its kernel is
// {kh, kw, c, m}, which is the same memory as {kh, kw, 1, c·m}.
type Conv2D struct {
	Name         string         `yaml:"name,omitempty"`
	Inputs       []string       `yaml:"inputs,omitempty"`
	Filters      int            `yaml:"filters,omitempty"`
	KernelSize   Size           `yaml:"kernel_size"`
	Strides      Size           `yaml:"strides,omitempty"`       // default 1×1
	Padding      Padding        `yaml:"padding,omitempty"`       // default Valid
	DilationRate Size           `yaml:"dilation_rate,omitempty"` // default 1×1
	Groups       int            `yaml:"groups,omitempty"`        // default 1
	Activation   ActivationFunc `yaml:"activation,omitempty"`    // default Linear
	NoBias       NoBias         `yaml:"use_bias,omitempty"`
	Init         Initializer    `yaml:"kernel_initializer,omitempty"` // default GlorotUniform
	Frozen       Frozen         `yaml:"trainable,omitempty"`

	DepthMultiplier int `yaml:"depth_multiplier,omitempty"` // above 0: depthwise
}

// Kind is "conv2d", or "depthwise_conv2d" with a DepthMultiplier.
func (c Conv2D) Kind() string {
	if c.DepthMultiplier != 0 {
		return "depthwise_conv2d"
	}
	return "conv2d"
}

func (c Conv2D) identity() (string, []string) { return c.Name, c.Inputs }

// Windows is how the kernel slides over an input of shape in: vertically and horizontally. The layer must come from a Network.
func (c Conv2D) Windows(in Shape) (v, h Window) {
	v, _ = NewWindow(in[0], c.KernelSize.H, c.Strides.H, c.DilationRate.H, c.Padding)
	h, _ = NewWindow(in[1], c.KernelSize.W, c.Strides.W, c.DilationRate.W, c.Padding)
	return v, h
}

func (c Conv2D) resolve(inputs []Shape) (resolved, error) {
	in, err := oneMap(inputs)
	if err != nil {
		return resolved{}, err
	}
	c.Strides, c.DilationRate = c.Strides.or(Square(1)), c.DilationRate.or(Square(1))
	if c.DepthMultiplier != 0 {
		if c.DepthMultiplier < 0 || (c.Filters != 0 && c.Filters != in[2]*c.DepthMultiplier) || (c.Groups != 0 && c.Groups != in[2]) {
			return resolved{}, fmt.Errorf("a depthwise layer has a depth_multiplier of 1 or more and neither filters nor groups, got %d, %d and %d",
				c.DepthMultiplier, c.Filters, c.Groups)
		}
		c.Groups, c.Filters = in[2], in[2]*c.DepthMultiplier
	}
	if c.Groups == 0 {
		c.Groups = 1
	}
	for _, s := range []struct {
		size Size
		what string
	}{{c.KernelSize, "kernel_size"}, {c.Strides, "strides"}, {c.DilationRate, "dilation_rate"}} {
		if err := s.size.check(s.what); err != nil {
			return resolved{}, err
		}
	}
	if c.Filters < 1 {
		return resolved{}, fmt.Errorf("filters is at least 1, got %d", c.Filters)
	}
	if c.Groups < 1 || in[2]%c.Groups != 0 || c.Filters%c.Groups != 0 {
		return resolved{}, fmt.Errorf("groups must divide the %d channels of its input of %v and its %d filters, got %d",
			in[2], in, c.Filters, c.Groups)
	}
	if c.Strides != Square(1) && c.DilationRate != Square(1) {
		return resolved{}, fmt.Errorf("strides above 1 and dilation_rate above 1 exclude each other (as in Keras), got %v and %v",
			c.Strides, c.DilationRate)
	}
	v, okV := NewWindow(in[0], c.KernelSize.H, c.Strides.H, c.DilationRate.H, c.Padding)
	h, okH := NewWindow(in[1], c.KernelSize.W, c.Strides.W, c.DilationRate.W, c.Padding)
	if !okV || !okH {
		dilated := ""
		if c.DilationRate != Square(1) {
			dilated = fmt.Sprintf(", dilation %v", c.DilationRate)
		}
		return resolved{}, fmt.Errorf("a %v kernel, padding %v%s, does not fit an input of %v", c.KernelSize, c.Padding, dilated, in)
	}
	out := Shape{v.Out, h.Out, c.Filters}
	area := c.KernelSize.H * c.KernelSize.W
	perGroup := in[2] / c.Groups
	params := []Param{{
		Name: "kernel", Role: Kernel, Shape: []int{c.KernelSize.H, c.KernelSize.W, perGroup, c.Filters},
		Trainable: !bool(c.Frozen), Init: c.Init, FanIn: area * perGroup, FanOut: area * c.Filters,
	}}
	if c.DepthMultiplier != 0 {
		// Keras computes the fans of {kh, kw, c, m} as those of any kernel.
		params[0].Shape = []int{c.KernelSize.H, c.KernelSize.W, in[2], c.DepthMultiplier}
		params[0].FanIn, params[0].FanOut = area*in[2], area*c.DepthMultiplier
	}
	if !c.NoBias {
		params = append(params, Param{Name: "bias", Role: Bias, Shape: []int{c.Filters}, Trainable: !bool(c.Frozen), Init: Zeros})
	}
	return resolved{layer: c, out: out, params: params, macs: int64(out.Size()) * int64(area*perGroup)}, c.Activation.check(out)
}
