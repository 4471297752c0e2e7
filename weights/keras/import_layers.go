package keras

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"

	"gcnn/model"

	"gorgonia.org/tensor"
)

// layer takes one layer of Keras.
func (r *reader) layer(l *layerText) error {
	if l.Class == "Power" && l.Module == "keras.src.ops.numpy" {
		return r.power(l)
	}
	if l.Module != "keras.layers" {
		return fmt.Errorf("%w: gcnn has none of %q", ErrUnsupported, l.Module)
	}
	var c layerConfig
	if err := json.Unmarshal(l.Config, &c); err != nil {
		return fmt.Errorf("%w: config: %w", ErrFormat, err)
	}
	if l.Class == "InputLayer" {
		return r.inputLayer(l, &c)
	}
	if r.input == nil {
		return fmt.Errorf("%w: the model has no InputLayer before it: build the model before it is written", ErrUnsupported)
	}
	if err := c.checkCommon(r.version); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	var inputs []output
	for _, name := range l.inputs {
		in, ok := r.outputs[name]
		if !ok {
			return fmt.Errorf("%w: its input %q is no layer before it", ErrFormat, name)
		}
		inputs = append(inputs, in)
	}
	if len(inputs) == 0 || len(l.args) > 0 {
		return fmt.Errorf("%w: it has %d inputs and other arguments %v", ErrUnsupported, len(inputs), l.args)
	}
	switch l.Class {
	case "Rescaling", "Normalization":
		return r.normalize(l, &c, inputs[0])
	case "Multiply":
		return r.multiply(l, inputs)
	}
	if l.Class == "Conv2D" && inputs[0].part == squares {
		return r.band(l, &c, inputs[0])
	}
	var names []string
	for i := range inputs {
		if inputs[i].part == inputRaw {
			inputs[i].part = whole
		}
		if inputs[i].part != whole {
			return fmt.Errorf("%w: its input %q is no layer's of gcnn", ErrUnsupported, l.inputs[i])
		}
		names = append(names, inputs[i].name)
	}
	made, err := c.layer(l.Class, l.Name, names)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	r.append(l.Name, l.Name, made)
	return nil
}

// append adds a layer of gcnn whose output stands for that of Keras' layer.
func (r *reader) append(keras, name string, l model.Layer) {
	r.layers = append(r.layers, l)
	r.last = output{name: name}
	r.outputs[keras] = r.last
}

// inputLayer takes the model's input: [null, height, width, channels].
func (r *reader) inputLayer(l *layerText, c *layerConfig) error {
	if r.input != nil {
		return fmt.Errorf("%w: a second input", ErrUnsupported)
	}
	if len(c.BatchShape) != 4 {
		return fmt.Errorf("%w: an input of %d dimensions, want [batch, height, width, channels]", ErrUnsupported, len(c.BatchShape))
	}
	for _, n := range c.BatchShape[1:] {
		const most = 1 << 16
		if n == nil || *n < 1 || *n > most {
			return fmt.Errorf("%w: height, width and channels of the input must be fixed", ErrUnsupported)
		}
		r.input = append(r.input, *n)
	}
	channels := r.input[2]
	r.scale, r.std = slices.Repeat([]float64{1}, channels), slices.Repeat([]float64{1}, channels)
	r.offset, r.mean = make([]float64, channels), make([]float64, channels)
	r.last = output{name: model.InputName, part: inputRaw}
	r.outputs[l.Name] = r.last
	return nil
}

// normalize takes Rescaling and Normalization of the input.
func (r *reader) normalize(l *layerText, c *layerConfig, in output) error {
	if in.part != inputRaw {
		return fmt.Errorf("%w: gcnn has it at the input alone", ErrUnsupported)
	}
	var err error
	each := func(what string, v any, to []float64) {
		if err != nil {
			return
		}
		var list []float64
		if list, err = numbersOf(what, v); err != nil {
			return
		}
		if len(list) != 1 && len(list) != len(to) {
			err = fmt.Errorf("%s has %d numbers for %d channels", what, len(list), len(to))
			return
		}
		for i := range to {
			to[i] = list[min(i, len(list)-1)]
		}
	}
	out := output{name: model.InputName}
	if l.Class == "Rescaling" {
		each("scale", c.Scale, r.scale)
		if c.Offset != nil {
			each("offset", c.Offset, r.offset)
		}
		out.part = inputRaw // Normalization may follow
	} else {
		if err := c.lastAxis(4); err != nil || c.Invert {
			return fmt.Errorf("%w: it has another axis or is inverted: %w", ErrUnsupported, err)
		}
		mean, variance := c.Mean, c.Variance
		if mean == nil { // adapted to data: Keras keeps them as weights
			mean, variance = r.numbers(l.Name+"/mean"), r.numbers(l.Name+"/variance")
			delete(r.weights, l.Name+"/mean")
			delete(r.weights, l.Name+"/variance")
			delete(r.weights, l.Name+"/count")
		}
		each("mean", mean, r.mean)
		each("variance", variance, r.std)
		for i, v := range r.std {
			const epsilon = 1e-7 // keras.config.epsilon()
			r.std[i] = max(math.Sqrt(v), epsilon)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if r.normed && l.Class == "Rescaling" {
		return fmt.Errorf("%w: the input is rescaled twice", ErrUnsupported)
	}
	r.normed, r.last, r.outputs[l.Name] = true, out, out
	return nil
}

// numbers are a weight's, as a JSON list would have them.
func (r *reader) numbers(path string) any {
	t := r.weights[path]
	if t == nil {
		return nil
	}
	var list []any
	switch v := t.Data().(type) {
	case []float32:
		for _, f := range v {
			list = append(list, float64(f))
		}
	case float32:
		list = append(list, float64(v))
	}
	return list
}

// layer makes a layer of gcnn of one of Keras'.
func (c *layerConfig) layer(class, name string, inputs []string) (model.Layer, error) {
	if class != "Add" && class != "Concatenate" && len(inputs) != 1 {
		return nil, fmt.Errorf("it has %d inputs", len(inputs))
	}
	f, err := activationOf(c.Activation)
	if err != nil {
		return nil, err
	}
	noBias, frozen := model.NoBias(!truth(c.UseBias)), model.Frozen(!truth(c.Trainable))
	switch class {
	case "Conv2D", "DepthwiseConv2D":
		l := model.Conv2D{
			Name: name, Inputs: inputs, Filters: c.Filters, Groups: c.Groups, Activation: f, NoBias: noBias, Frozen: frozen, Init: c.KernelInitializer.of(),
		}
		if class == "DepthwiseConv2D" {
			l.Filters, l.Groups, l.DepthMultiplier, l.Init = 0, 0, max(c.Multiplier, 1), c.DepthwiseInitializer.of()
		}
		return l, c.window(&l)
	case "SeparableConv2D":
		var w model.Conv2D
		err := c.window(&w)
		return model.SeparableConv2D{
			Name: name, Inputs: inputs, Filters: c.Filters, KernelSize: w.KernelSize, Strides: w.Strides, Padding: w.Padding,
			DilationRate: w.DilationRate, DepthMultiplier: max(c.Multiplier, 1), Activation: f, NoBias: noBias, Frozen: frozen,
			DepthwiseInit: c.DepthwiseInitializer.of(), PointwiseInit: c.PointwiseInitializer.of(),
		}, err
	case "MaxPooling2D", "AveragePooling2D":
		var l model.Conv2D
		err := c.window(&l)
		size, err2 := sizeOf("pool_size", c.PoolSize)
		if err == nil {
			err = err2
		}
		if class == "MaxPooling2D" {
			return model.MaxPool2D{Name: name, Inputs: inputs, PoolSize: size, Strides: l.Strides, Padding: l.Padding}, err
		}
		return model.AveragePool2D{Name: name, Inputs: inputs, PoolSize: size, Strides: l.Strides, Padding: l.Padding}, err
	case "GlobalMaxPooling2D", "GlobalAveragePooling2D":
		if c.KeepDims {
			return nil, fmt.Errorf("keepdims")
		}
		if class == "GlobalMaxPooling2D" {
			return model.GlobalMaxPool2D{Name: name, Inputs: inputs}, nil
		}
		return model.GlobalAveragePool2D{Name: name, Inputs: inputs}, nil
	case "Flatten":
		return model.Flatten{Name: name, Inputs: inputs}, nil
	case "Dense":
		return model.Dense{Name: name, Inputs: inputs, Units: c.Units, Activation: f, NoBias: noBias, Frozen: frozen, Init: c.KernelInitializer.of()}, nil
	case "Dropout":
		return model.Dropout{Name: name, Inputs: inputs, Rate: c.Rate}, nil
	case "ZeroPadding2D":
		m, err := marginsOf(c.Padding)
		return model.ZeroPadding2D{Name: name, Inputs: inputs, Padding: m}, err
	case "Add":
		return model.Add{Name: name, Inputs: inputs}, nil
	case "Concatenate":
		return model.Concatenate{Name: name, Inputs: inputs}, c.lastAxis(4)
	case "BatchNormalization":
		return c.batchNorm(name, inputs, frozen)
	}
	return c.activation(class, name, inputs, f)
}

// batchNorm takes options that Keras writes in full.
func (c *layerConfig) batchNorm(name string, inputs []string, frozen model.Frozen) (model.Layer, error) {
	l := model.BatchNormalization{Name: name, Inputs: inputs, Frozen: frozen, NoCenter: model.NoCenter(!truth(c.Center))}
	if scale, ok := c.Scale.(bool); ok {
		l.NoScale = model.NoScale(!scale)
	}
	if c.Momentum != nil {
		l.Momentum = *c.Momentum
	}
	if c.Epsilon != nil {
		l.Epsilon = *c.Epsilon
	}
	return l, c.lastAxis(4)
}

// activation takes an activation as a layer.
func (c *layerConfig) activation(class, name string, inputs []string, f model.ActivationFunc) (model.Layer, error) {
	l := model.Activation{Name: name, Inputs: inputs, Func: f}
	switch class {
	case "Activation":
	case "ReLU":
		l.Func = model.ReLU
		if c.MaxValue != nil {
			l.Func = model.ReLU6
		}
		if c.MaxValue != nil && *c.MaxValue != 6 || c.Limit != 0 || (c.Slope != nil && *c.Slope != 0) {
			return nil, fmt.Errorf("max_value other than 6, threshold or negative_slope")
		}
	case "LeakyReLU":
		l.Func, l.Alpha = model.LeakyReLU, 0.3
		if c.Slope != nil {
			l.Alpha = *c.Slope
		}
	case "ELU":
		l.Func = model.ELU
		if c.Alpha != nil {
			l.Alpha = *c.Alpha
		}
	case "Softmax":
		l.Func = model.Softmax
		if err := c.lastAxis(4); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("gcnn has no such layer")
	}
	if (class == "LeakyReLU" || class == "ELU") && l.Alpha <= 0 && c.Slope != nil {
		return nil, fmt.Errorf("a slope of %g, want more than 0", l.Alpha)
	}
	return l, nil
}

// window reads how a kernel slides.
func (c *layerConfig) window(l *model.Conv2D) (err error) {
	for _, s := range []struct {
		what string
		from []int
		to   *model.Size
	}{{"kernel_size", c.KernelSize, &l.KernelSize}, {"strides", c.Strides, &l.Strides}, {"dilation_rate", c.DilationRate, &l.DilationRate}} {
		if *s.to, err = sizeOf(s.what, s.from); err != nil {
			return err
		}
	}
	l.Padding, err = paddingOf(c.Padding)
	return err
}

// multiply takes x·x, and x·(bias + alpha/size·Σx²)^−beta: see writer.lrn.
func (r *reader) multiply(l *layerText, in []output) error {
	if len(in) == 2 && in[0].part == whole && in[0] == in[1] {
		r.last = output{part: squares, of: in[0].name}
		r.outputs[l.Name] = r.last
		return nil
	}
	if len(in) != 2 || in[0].part != whole || in[1].part != powers || in[1].of != in[0].name {
		return fmt.Errorf("%w: gcnn multiplies within LocalResponseNormalization alone", ErrUnsupported)
	}
	lrn, err := r.bandOptions(in[1].conv)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	lrn.Name, lrn.Inputs, lrn.Beta = l.Name, []string{in[0].name}, in[1].beta
	r.append(l.Name, l.Name, lrn)
	return nil
}

// band takes the convolution of the squares.
func (r *reader) band(l *layerText, c *layerConfig, in output) error {
	var w model.Conv2D
	if err := c.window(&w); err != nil || w.KernelSize != model.Square(1) || c.Groups > 1 {
		return fmt.Errorf("%w: a convolution of squares that is no LocalResponseNormalization", ErrUnsupported)
	}
	if f, err := activationOf(c.Activation); err != nil || f != model.Linear || (w.Strides != model.Size{} && w.Strides != model.Square(1)) {
		return fmt.Errorf("%w: a convolution of squares that is no LocalResponseNormalization", ErrUnsupported)
	}
	r.last = output{part: scaled, of: in.of, conv: l.Name}
	r.outputs[l.Name] = r.last
	return nil
}

// power takes keras.ops.power of the convolution.
func (r *reader) power(l *layerText) error {
	if len(l.inputs) == 1 && len(l.args) == 1 {
		in := r.outputs[l.inputs[0]]
		if e, ok := l.args[0].(float64); ok && in.part == scaled && e < 0 {
			r.last = output{part: powers, of: in.of, conv: in.conv, beta: float32(-e)}
			r.outputs[l.Name] = r.last
			return nil
		}
	}
	return fmt.Errorf("%w: gcnn has powers within LocalResponseNormalization alone", ErrUnsupported)
}

// bandOptions reads size, alpha and bias off the convolution's weights, which must be a band.
func (r *reader) bandOptions(conv string) (l model.LocalResponseNormalization, err error) {
	kernel, bias := r.weights[conv+"/kernel"], r.weights[conv+"/bias"]
	if kernel == nil || bias == nil || kernel.Dims() != 4 || bias.Dims() != 1 {
		return l, fmt.Errorf("the weights of %s are missing", conv)
	}
	n := bias.Shape()[0]
	band, b := numbers(kernel), numbers(bias)
	if len(band) != n*n || len(b) != n {
		return l, fmt.Errorf("the weights of %s are %v and %v", conv, kernel.Shape(), bias.Shape())
	}
	const largest = 15
	reach := 0
	for reach+1 < n && reach <= largest/2 && band[reach+1] != 0 {
		reach++
	}
	value := band[0]
	for from := range n {
		for to := range n {
			want := float32(0)
			if from-to <= reach && to-from <= reach {
				want = value
			}
			if band[from*n+to] != want || b[to] != b[0] {
				return l, fmt.Errorf("the weights of %s are no band of one number", conv)
			}
		}
	}
	delete(r.weights, conv+"/kernel")
	delete(r.weights, conv+"/bias")
	l.Size, l.Bias = 2*reach+1, b[0]
	l.Alpha = timesSize(value, l.Size)
	return l, nil
}

// timesSize is the number with the fewest digits that gives value when it is divided by size.
func timesSize(value float32, size int) float32 {
	exact := float64(value) * float64(size)
	for digits := range 9 {
		text := strconv.FormatFloat(exact, 'e', digits, 64)
		if v, err := strconv.ParseFloat(text, 32); err == nil && float32(v)/float32(size) == value {
			return float32(v)
		}
	}
	return float32(exact)
}

// numbers are the elements of a float32 tensor.
func numbers(t *tensor.Dense) []float32 {
	switch v := t.Data().(type) {
	case []float32:
		return v
	case float32:
		return []float32{v}
	}
	return nil
}
