package train

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gcnn/internal/strictyaml"
)

// Schedule is how the learning rate changes over a training. The set is closed. Lengths are in epochs and may have fractions;
// they are rounded to whole steps. Formulas are those of Keras' schedules of the same names, or PyTorch's where Keras has none,
// in float64.
//
//sumtype:decl
type Schedule interface {
	// Kind is the schedule's name in settings: "cosine".
	Kind() string
	// rate is the learning rate of a step, counted from 0, for a base rate.
	rate(base float64, step int64, span Span) float64
	check() error
}

// Span is the length of a training.
type Span struct {
	StepsPerEpoch int
	Epochs        int
}

// steps is a length of so many epochs.
func (s Span) steps(epochs float64) float64 { return math.Round(epochs * float64(s.StepsPerEpoch)) }

// done is the share of so many epochs (0: of all) that lies before a step, at most 1.
func (s Span) done(step int64, epochs float64) float64 {
	if epochs == 0 {
		epochs = float64(s.Epochs)
	}
	return min(1, float64(step)/max(1, s.steps(epochs)))
}

// Constant keeps the base rate.
type Constant struct{}

// Piecewise has its own rates: Values[i] up to and including the step at Boundaries[i], the last value from then on
// (Keras' PiecewiseConstantDecay).
type Piecewise struct {
	Boundaries []float64 `yaml:"boundaries"` // epochs
	Values     []float64 `yaml:"values"`     // one more than boundaries
}

// Step multiplies the rate by Factor every so many epochs (PyTorch's StepLR).
type Step struct {
	Every  float64 `yaml:"every"` // epochs
	Factor float64 `yaml:"factor,omitempty"`
}

// Exponential is base·Rate^(t/Every), t in epochs; with Staircase t/Every is rounded down (Keras' ExponentialDecay).
type Exponential struct {
	Rate      float64 `yaml:"rate,omitempty"`
	Every     float64 `yaml:"every,omitempty"` // epochs
	Staircase bool    `yaml:"staircase,omitempty"`
}

// Cosine falls from the base rate to Alpha times it along half a cosine and stays there (Keras' CosineDecay).
type Cosine struct {
	Alpha  float64 `yaml:"alpha,omitempty"`
	Epochs float64 `yaml:"epochs,omitempty"` // 0: what the training has, after the warm-up
}

// Linear falls in a straight line from the base rate to End times it and stays there (Keras' PolynomialDecay of power 1).
type Linear struct {
	End    float64 `yaml:"end,omitempty"`
	Epochs float64 `yaml:"epochs,omitempty"` // 0: what the training has, after the warm-up
}

// OneCycle rises from base/DivFactor to the base rate in the Warmup share of the training and falls to
// base/DivFactor/FinalDivFactor at its last step (Smith and Topin 2018, as PyTorch's OneCycleLR).
type OneCycle struct {
	Warmup         float64 `yaml:"warmup,omitempty"`
	DivFactor      float64 `yaml:"div_factor,omitempty"`
	FinalDivFactor float64 `yaml:"final_div_factor,omitempty"`
	Linear         bool    `yaml:"linear,omitempty"` // straight lines instead of half cosines
}

// warmup rises in a straight line from Start times a schedule's first rate to it, and then follows the schedule.
type warmup struct {
	Epochs, Start float64
	Then          Schedule
}

// scheduleKinds are the schedules with their defaults.
var scheduleKinds = []Schedule{
	Constant{}, Piecewise{}, Step{Factor: 0.1}, Exponential{Rate: 0.96, Every: 1}, Cosine{}, Linear{},
	OneCycle{Warmup: 0.3, DivFactor: 25, FinalDivFactor: 1e4},
}

// Kind is "constant".
func (Constant) Kind() string { return "constant" }

// Kind is "piecewise".
func (Piecewise) Kind() string { return "piecewise" }

// Kind is "step".
func (Step) Kind() string { return "step" }

// Kind is "exponential".
func (Exponential) Kind() string { return "exponential" }

// Kind is "cosine".
func (Cosine) Kind() string { return "cosine" }

// Kind is "linear".
func (Linear) Kind() string { return "linear" }

// Kind is "one_cycle".
func (OneCycle) Kind() string { return "one_cycle" }

// Kind is that of the schedule after it.
func (w warmup) Kind() string { return w.Then.Kind() }

func (Constant) rate(base float64, _ int64, _ Span) float64 { return base }

func (s Piecewise) rate(_ float64, step int64, span Span) float64 {
	i := slices.IndexFunc(s.Boundaries, func(b float64) bool { return float64(step) <= span.steps(b) })
	if i < 0 {
		i = len(s.Boundaries)
	}
	return s.Values[i]
}

func (s Step) rate(base float64, step int64, span Span) float64 {
	return base * math.Pow(s.Factor, math.Floor(float64(step)/max(1, span.steps(s.Every))))
}

func (s Exponential) rate(base float64, step int64, span Span) float64 {
	p := float64(step) / max(1, span.steps(s.Every))
	if s.Staircase {
		p = math.Floor(p)
	}
	return base * math.Pow(s.Rate, p)
}

func (s Cosine) rate(base float64, step int64, span Span) float64 {
	return base * ((1-s.Alpha)*0.5*(1+math.Cos(math.Pi*span.done(step, s.Epochs))) + s.Alpha)
}

func (s Linear) rate(base float64, step int64, span Span) float64 {
	return (base-base*s.End)*(1-span.done(step, s.Epochs)) + base*s.End
}

func (s OneCycle) rate(base float64, step int64, span Span) float64 {
	total := span.steps(float64(span.Epochs))
	peak := s.Warmup*total - 1
	from, to, done := base/s.DivFactor, base, float64(step)/peak
	if float64(step) > peak {
		from, to, done = base, base/s.DivFactor/s.FinalDivFactor, min(1, (float64(step)-peak)/(total-1-peak))
	}
	if s.Linear {
		return from + (to-from)*done
	}
	return to + (from-to)/2*(1+math.Cos(math.Pi*done))
}

func (w warmup) rate(base float64, step int64, span Span) float64 {
	steps := span.steps(w.Epochs)
	rest := float64(span.Epochs) - w.Epochs
	switch then := w.Then.(type) {
	case Cosine:
		if then.Epochs == 0 {
			then.Epochs = rest
		}
		w.Then = then
	case Linear:
		if then.Epochs == 0 {
			then.Epochs = rest
		}
		w.Then = then
	case Constant, Piecewise, Step, Exponential, OneCycle, warmup:
	}
	if float64(step) >= steps {
		return w.Then.rate(base, step-int64(steps), span)
	}
	target := w.Then.rate(base, 0, span)
	return target*w.Start + (target-target*w.Start)*float64(step)/steps
}

func (Constant) check() error { return nil }

func (s Piecewise) check() error {
	if len(s.Values) != len(s.Boundaries)+1 || !slices.IsSorted(s.Boundaries) {
		return fmt.Errorf("boundaries rise and there is one value more, got %v and %v", s.Boundaries, s.Values)
	}
	for _, v := range s.Values {
		if !(v >= 0 && v <= maxRate) {
			return fmt.Errorf("a learning rate lies in [0, %g], got %g", float64(maxRate), v)
		}
	}
	return nil
}

func (s Step) check() error {
	return positive(bound{"every", s.Every, maxEpochs}, bound{"factor", s.Factor, 1})
}

func (s Exponential) check() error {
	return positive(bound{"rate", s.Rate, 1}, bound{"every", s.Every, maxEpochs})
}

func (s Cosine) check() error {
	if !(s.Alpha >= 0 && s.Alpha <= 1) || !(s.Epochs >= 0 && s.Epochs <= maxEpochs) {
		return fmt.Errorf("alpha lies in [0, 1] and epochs in [0, %d], got %g and %g", maxEpochs, s.Alpha, s.Epochs)
	}
	return nil
}

func (s Linear) check() error {
	if !(s.End >= 0 && s.End <= 1) || !(s.Epochs >= 0 && s.Epochs <= maxEpochs) {
		return fmt.Errorf("end lies in [0, 1] and epochs in [0, %d], got %g and %g", maxEpochs, s.End, s.Epochs)
	}
	return nil
}

func (s OneCycle) check() error {
	if !(s.Warmup > 0 && s.Warmup < 1) || !(s.DivFactor >= 1 && s.FinalDivFactor >= 1) {
		return fmt.Errorf("warmup lies between 0 and 1, div_factor and final_div_factor are at least 1, got %g, %g and %g",
			s.Warmup, s.DivFactor, s.FinalDivFactor)
	}
	return nil
}

func (w warmup) check() error { return w.Then.check() }

type bound struct {
	name     string
	value    float64
	greatest float64
}

// positive checks that values lie in (0, greatest].
func positive(bounds ...bound) error {
	for _, b := range bounds {
		if !(b.value > 0 && b.value <= b.greatest) {
			return fmt.Errorf("%s is above 0 and at most %g, got %g", b.name, b.greatest, b.value)
		}
	}
	return nil
}

// scheduleSetting is a schedule as settings write it: its name, or a mapping of its name to its options.
type scheduleSetting struct{ of Schedule }

// DecodeYAML reads a schedule.
func (s *scheduleSetting) DecodeYAML(node strictyaml.Node) error {
	name, options, err := node.OneOf("a schedule")
	if err != nil {
		return err
	}
	name = strings.ReplaceAll(name, "-", "_")
	i := slices.IndexFunc(scheduleKinds, func(k Schedule) bool { return k.Kind() == name })
	if i < 0 {
		var all []string
		for _, k := range scheduleKinds {
			all = append(all, k.Kind())
		}
		return node.Errorf("schedule %q is unknown; there are %s", name, strings.Join(all, ", "))
	}
	switch k := scheduleKinds[i].(type) {
	case Constant:
		err = options.Decode(&k)
		s.of = k
	case Piecewise:
		err = options.Decode(&k)
		s.of = k
	case Step:
		err = options.Decode(&k)
		s.of = k
	case Exponential:
		err = options.Decode(&k)
		s.of = k
	case Cosine:
		err = options.Decode(&k)
		s.of = k
	case Linear:
		err = options.Decode(&k)
		s.of = k
	case OneCycle:
		err = options.Decode(&k)
		s.of = k
	case warmup:
		err = node.Errorf("a warm-up is no schedule of its own") // not in scheduleKinds
	}
	if err != nil {
		return err
	}
	if err := s.of.check(); err != nil {
		return node.Errorf("schedule %s: %w", name, err)
	}
	return nil
}

// MarshalYAML writes a schedule.
func (s scheduleSetting) MarshalYAML() (any, error) {
	if s.of == nil {
		return Constant{}.Kind(), nil
	}
	if s.of == Schedule(Constant{}) {
		return s.of.Kind(), nil
	}
	return map[string]any{s.of.Kind(): s.of}, nil
}
