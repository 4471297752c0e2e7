package device

import (
	"fmt"
	"math"
	"strconv"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/model"
)

// Decimal is the float64 nearest to the shortest decimal that rounds to v: 0.9 for float32(0.9). It is what a hyper-parameter
// given in decimal stands for.
func Decimal(v float32) float64 {
	d, err := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	if err != nil {
		return float64(v)
	}
	return d
}

// NonFiniteError says at which step the loss was NaN or infinite. The weights are those after that step.
type NonFiniteError struct {
	Step int // of the Train call, from 1
	Loss float64
}

// Error names the step.
func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("the loss of step %d is %v", e.Step, e.Loss)
}

// Check reports what a plan lacks for a network. Errors wrap ErrArgument.
func (p Plan) Check(net *model.Network) error {
	if p.Batch < 1 || p.Batch > 1<<20 {
		return fmt.Errorf("%w: batch is from 1 to %d, got %d", ErrArgument, 1<<20, p.Batch)
	}
	if err := p.Normalization.Check(net.Input[2]); err != nil {
		return fmt.Errorf("%w: %w", ErrArgument, err)
	}
	t := p.Training
	if t == nil {
		return nil
	}
	if t.Optimizer == nil {
		return fmt.Errorf("%w: training needs an optimizer", ErrArgument)
	}
	if err := t.Optimizer.check(); err != nil {
		return err
	}
	if !(t.WeightDecay >= 0 && t.WeightDecay < 1) || !(t.ClipNorm >= 0) || !(t.LabelSmoothing >= 0 && t.LabelSmoothing < 1) {
		return fmt.Errorf("%w: weight decay and label smoothing lie in [0, 1) and clip norm is 0 or above, got %g, %g and %g",
			ErrArgument, t.WeightDecay, t.LabelSmoothing, t.ClipNorm)
	}
	if !(t.EMA.Momentum >= 0 && t.EMA.Momentum < 1) || t.EMA.Every < 0 {
		return fmt.Errorf("%w: the momentum of the averaged weights lies in [0, 1) and they are updated every 0 or more steps, got %g and %d",
			ErrArgument, t.EMA.Momentum, t.EMA.Every)
	}
	if p.Trace {
		return nil // a traced network need not be a classifier
	}
	classes, err := net.Classes()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrArgument, err)
	}
	if t.ClassWeights != nil && len(t.ClassWeights) != classes {
		return fmt.Errorf("%w: %d class weights for %d classes", ErrArgument, len(t.ClassWeights), classes)
	}
	for c, w := range t.ClassWeights {
		if !(w >= 0) || math.IsInf(float64(w), 0) {
			return fmt.Errorf("%w: the weight of class %d is 0 or above, got %g", ErrArgument, c, w)
		}
	}
	return t.Augment.Check()
}

// Check reports what is out of range; it wraps [ErrArgument].
func (a Augment) Check() error {
	if a.Flip > AlternatingFlip {
		return fmt.Errorf("%w: augment: an unknown flip, %d", ErrArgument, a.Flip)
	}
	for _, o := range []struct {
		what string
		got  float32
		most float64
	}{
		{"shift", float32(a.Shift), math.Inf(1)}, {"cutout", float32(a.Cutout), math.Inf(1)}, {"rotate", a.Rotate, 180},
		{"brightness", a.Brightness, 1}, {"contrast", a.Contrast, 1},
	} {
		if !(o.got >= 0 && float64(o.got) <= o.most) {
			return fmt.Errorf("%w: augment: %s is from 0 to %g, got %g", ErrArgument, o.what, o.most, o.got)
		}
	}
	return nil
}

// CheckSet reports why a set, which has at least one image, does not fit a network. labelled asks for labels within the network's classes.
func CheckSet(net *model.Network, set *data.Set, labelled bool) error {
	if set == nil {
		return fmt.Errorf("%w: no set of images", ErrArgument)
	}
	if got := (model.Shape{set.Height, set.Width, set.Channels}); !got.Equal(net.Input) {
		return fmt.Errorf("%w: the network's input is %v, the set's images are %v", ErrArgument, net.Input, got)
	}
	if err := set.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrArgument, err)
	}
	if set.Len() == 0 {
		return fmt.Errorf("%w: %s has no images", ErrArgument, set.Name)
	}
	if !labelled {
		return nil
	}
	if len(set.Labels) != set.Len() {
		return fmt.Errorf("%w: the set has %d images and %d labels", ErrArgument, set.Len(), len(set.Labels))
	}
	classes, err := net.Classes()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrArgument, err)
	}
	for i, l := range set.Labels {
		if int(l) >= classes {
			return fmt.Errorf("%w: the label of image %d is %d, the network has %d classes", ErrArgument, i, l, classes)
		}
	}
	return nil
}

// Check reports what is wrong with an epoch for a set of so many images.
func (e Epoch) Check(batch, images int) error {
	if want := (len(e.Order) + batch - 1) / batch; len(e.Rates) != want {
		return fmt.Errorf("%w: %d samples in batches of %d need %d learning rates, got %d", ErrArgument, len(e.Order), batch, want, len(e.Rates))
	}
	for i, k := range e.Order {
		if k < 0 || int(k) >= images {
			return fmt.Errorf("%w: order[%d] is %d, the set has %d images", ErrArgument, i, k, images)
		}
	}
	for i, r := range e.Rates {
		if !(r >= 0) || math.IsInf(float64(r), 0) {
			return fmt.Errorf("%w: the learning rate of step %d is finite and at least 0, got %g", ErrArgument, i+1, r)
		}
	}
	return nil
}

// Check reports what does not fit a network compiled for so many samples.
func (in TraceInput) Check(net *model.Network, batch int) error {
	if in.X == nil || in.X.Dims() != 4 || in.X.Shape()[0] < 1 || in.X.Shape()[0] > batch || !net.Input.Equal(model.Shape(in.X.Shape()[1:])) {
		return fmt.Errorf("%w: x is [1 to %d, %v], got %v", ErrArgument, batch, net.Input, shapeOf(in.X))
	}
	n := in.X.Shape()[0]
	if (in.DY == nil) == (in.Labels == nil) {
		return fmt.Errorf("%w: a trace takes either dy or labels", ErrArgument)
	}
	if in.DY != nil {
		if out := append(model.Shape{n}, net.Output()...); !out.Equal(model.Shape(shapeOf(in.DY))) {
			return fmt.Errorf("%w: dy is %v, got %v", ErrArgument, out, shapeOf(in.DY))
		}
		return nil
	}
	classes, err := net.Classes()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrArgument, err)
	}
	if len(in.Labels) != n {
		return fmt.Errorf("%w: %d images and %d labels", ErrArgument, n, len(in.Labels))
	}
	for i, l := range in.Labels {
		if int(l) >= classes {
			return fmt.Errorf("%w: label %d is %d, the network has %d classes", ErrArgument, i, l, classes)
		}
	}
	return nil
}

func shapeOf(t *tensor.Dense) []int {
	if t == nil {
		return nil
	}
	return t.Shape()
}

// Check reports which tensor of a state is missing, unknown or of another shape for a network and how it learns (nil: not).
func (s State) Check(net *model.Network, t *Training) error {
	want := map[string][]int{}
	slots, average := map[string][]int{}, map[string][]int{}
	for _, p := range net.Params() {
		want[p.Name] = p.Shape
		if t == nil || !p.Trainable {
			continue
		}
		for _, slot := range t.Optimizer.Slots() {
			slots[p.Name+"/"+slot] = p.Shape
		}
		if t.EMA.Momentum > 0 {
			average[p.Name] = p.Shape
		}
	}
	if err := checkTensors("weight", want, s.Weights); err != nil {
		return err
	}
	if s.Step < 0 {
		return fmt.Errorf("%w: the step is at least 0, got %d", ErrArgument, s.Step)
	}
	if s.Slots != nil && t != nil {
		if err := checkTensors("optimizer slot", slots, s.Slots); err != nil {
			return err
		}
	}
	if s.Average != nil && t != nil {
		return checkTensors("averaged weight", average, s.Average)
	}
	return nil
}

func checkTensors(what string, want map[string][]int, got map[string]*tensor.Dense) error {
	for name, shape := range want {
		t, ok := got[name]
		if !ok {
			return fmt.Errorf("%w: %s %s is missing", ErrArgument, what, name)
		}
		if !model.Shape(shape).Equal(model.Shape(t.Shape())) {
			return fmt.Errorf("%w: %s %s is %v, got %v", ErrArgument, what, name, model.Shape(shape), model.Shape(t.Shape()))
		}
		if t.Dtype() != tensor.Float32 {
			return fmt.Errorf("%w: %s %s is float32, got %v", ErrArgument, what, name, t.Dtype())
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			return fmt.Errorf("%w: the network has no %s %s", ErrArgument, what, name)
		}
	}
	return nil
}
