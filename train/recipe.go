// Package train trains a network: the recipe, the loop over epochs with its schedules and callbacks, the history, checkpoints and
// the folder of a run.
package train

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gcnn/data"
	"gcnn/device"
	"gcnn/model"
)

const (
	maxRate   = 1e6
	maxEpochs = 1_000_000
)

// Recipe is how a network is trained. Field names in YAML are those of the command's flags. NewRecipe and Preset give recipes that
// work; the zero value is none.
type Recipe struct {
	Epochs       int     `yaml:"epochs,omitempty"`
	BatchSize    int     `yaml:"batch_size,omitempty"`
	Optimizer    string  `yaml:"optimizer,omitempty"` // adam, adamw, sgd or rmsprop
	LearningRate float64 `yaml:"learning_rate,omitempty"`

	Momentum float64 `yaml:"momentum,omitempty"` // of sgd and rmsprop
	Nesterov bool    `yaml:"nesterov,omitempty"` // of sgd
	Beta1    float64 `yaml:"beta_1,omitempty"`   // of adam and adamw
	Beta2    float64 `yaml:"beta_2,omitempty"`   // of adam and adamw
	Rho      float64 `yaml:"rho,omitempty"`      // of rmsprop
	Epsilon  float64 `yaml:"epsilon,omitempty"`  // of adam, adamw and rmsprop

	Schedule    scheduleSetting `yaml:"schedule,omitempty"`     // default constant
	Warmup      float64         `yaml:"warmup,omitempty"`       // epochs in which the rate rises to the schedule's first
	WarmupStart float64         `yaml:"warmup_start,omitempty"` // the share of it to begin with

	WeightDecay    float64            `yaml:"weight_decay,omitempty"` // decoupled
	ClipNorm       float64            `yaml:"clip_norm,omitempty"`    // of all gradients together; 0: none
	LabelSmoothing float64            `yaml:"label_smoothing,omitempty"`
	ClassWeights   map[string]float64 `yaml:"class_weights,omitempty"` // by class name or index; other classes weigh 1
	Normalization  string             `yaml:"normalization,omitempty"` // unit: [0, 1]; standard: mean 0 and deviation 1 of each channel
	Augment        Augment            `yaml:"augment,omitempty"`

	EMA               EMA                `yaml:"ema,omitempty"`
	EarlyStopping     *EarlyStopping     `yaml:"early_stopping,omitempty"`
	ReduceLROnPlateau *ReduceLROnPlateau `yaml:"reduce_lr_on_plateau,omitempty"`

	Exact bool `yaml:"exact,omitempty"` // device.Plan.Exact

	Shuffle bool   `yaml:"shuffle,omitempty"` // a new order each epoch
	Seed    uint64 `yaml:"seed,omitempty"`    // of initial weights, order, dropout and augmentation
}

// The normalisations of Recipe: bytes become [0, 1], or each channel of the training set gets mean 0 and deviation 1.
const (
	Unit     = "unit"
	Standard = "standard"
)

// Augment says how training images are changed, as device.Augment does.
type Augment struct {
	Flip       string  `yaml:"flip,omitempty"` // none, random or alternating
	Shift      int     `yaml:"shift,omitempty"`
	Cutout     int     `yaml:"cutout,omitempty"`
	Rotate     float64 `yaml:"rotate,omitempty"`
	Brightness float64 `yaml:"brightness,omitempty"`
	Contrast   float64 `yaml:"contrast,omitempty"`
}

// EMA keeps an exponential moving average of the trainable weights, average = Momentum·average + (1−Momentum)·w after every
// Every-th step, counted over the whole training, from the initial weights on (Keras' use_ema). It is what is evaluated and what a training ends with.
type EMA struct {
	Momentum float64 `yaml:"momentum,omitempty"` // 0: none
	Every    int     `yaml:"every,omitempty"`    // steps, default 1
}

// NewRecipe is the recipe for a network without one of its own: Adam with Keras' defaults, batches of 32, ten epochs.
func NewRecipe() Recipe {
	return Recipe{
		Epochs: 10, BatchSize: 32, Optimizer: "adam", LearningRate: 1e-3,
		Beta1: 0.9, Beta2: 0.999, Rho: 0.9, Epsilon: 1e-7, Schedule: scheduleSetting{Constant{}}, Shuffle: true, Seed: 1,
		EMA: EMA{Every: 1}, Normalization: Unit,
	}
}

// Preset is the recipe that belongs to a network of model.Preset: the lesson's or the paper's.
func Preset(name string) Recipe {
	r := NewRecipe()
	switch name {
	case "lenet5":
		r.Optimizer, r.LearningRate, r.BatchSize = "sgd", 0.01, 128
	case "alexnet": // Krizhevsky et al. 2012, section 5
		r.Optimizer, r.LearningRate, r.BatchSize, r.Epochs = "sgd", 0.01, 128, 90
		r.Momentum, r.WeightDecay = 0.9, 5e-4
		r.Schedule = scheduleSetting{Step{Every: 30, Factor: 0.1}}
	case "resnet9":
		r.Optimizer, r.LearningRate, r.BatchSize, r.Epochs = "sgd", 0.1, 128, 15
		r.Momentum, r.Nesterov, r.WeightDecay = 0.9, true, 5e-4
		r.Schedule = scheduleSetting{OneCycle{Warmup: 0.3, DivFactor: 25, FinalDivFactor: 1e4}}
	case "fast": // chosen on the last 10,000 training images
		r.Optimizer, r.LearningRate, r.BatchSize, r.Epochs = "adamw", 0.012, 256, 5
		r.Beta2, r.WeightDecay, r.LabelSmoothing = 0.98, 0.01, 0.1
		r.Augment.Flip, r.Normalization = flips[device.AlternatingFlip], Standard
		r.Schedule = scheduleSetting{OneCycle{Warmup: 0.25, DivFactor: 25, FinalDivFactor: 1e4, Linear: true}}
	}
	return r
}

// SetSchedule sets the schedule of the learning rate.
func (r *Recipe) SetSchedule(s Schedule) { r.Schedule.of = s }

// Check reports what is wrong with a recipe.
func (r Recipe) Check() error {
	if r.Epochs < 1 || r.Epochs > maxEpochs {
		return fmt.Errorf("epochs is from 1 to %d, got %d", maxEpochs, r.Epochs)
	}
	if r.BatchSize < 1 {
		return fmt.Errorf("batch_size is at least 1, got %d", r.BatchSize)
	}
	if !(r.LearningRate >= 0 && r.LearningRate <= maxRate) {
		return fmt.Errorf("learning_rate lies in [0, %g], got %g", float64(maxRate), r.LearningRate)
	}
	if _, err := r.optimizer(); err != nil {
		return err
	}
	if r.Schedule.of == nil {
		return fmt.Errorf("schedule is missing")
	}
	if err := r.Schedule.of.check(); err != nil {
		return fmt.Errorf("schedule %s: %w", r.Schedule.of.Kind(), err)
	}
	if !(r.Warmup >= 0 && r.Warmup <= float64(r.Epochs)) || !(r.WarmupStart >= 0 && r.WarmupStart <= 1) {
		return fmt.Errorf("warmup lies in [0, %d] epochs and warmup_start in [0, 1], got %g and %g", r.Epochs, r.Warmup, r.WarmupStart)
	}
	if _, ok := r.Schedule.of.(OneCycle); ok && r.Warmup > 0 {
		return fmt.Errorf("the schedule one_cycle has its own warm-up: leave warmup at 0, got %g", r.Warmup)
	}
	if r.ReduceLROnPlateau != nil {
		if _, ok := r.Schedule.of.(Constant); !ok {
			return fmt.Errorf("reduce_lr_on_plateau takes a constant schedule (as in Keras), got %s", r.Schedule.of.Kind())
		}
		if r.Warmup > 0 {
			return fmt.Errorf("reduce_lr_on_plateau takes no warmup, got %g epochs", r.Warmup)
		}
		if err := r.ReduceLROnPlateau.check(); err != nil {
			return fmt.Errorf("reduce_lr_on_plateau: %w", err)
		}
	}
	if r.EarlyStopping != nil {
		if err := r.EarlyStopping.check(); err != nil {
			return fmt.Errorf("early_stopping: %w", err)
		}
	}
	if r.Normalization != Unit && r.Normalization != Standard {
		return fmt.Errorf("normalization is %s or %s, got %q", Unit, Standard, r.Normalization)
	}
	if !(r.EMA.Momentum >= 0 && r.EMA.Momentum < 1) || r.EMA.Every < 1 {
		return fmt.Errorf("ema: momentum lies in [0, 1) and every is at least 1, got %g and %d", r.EMA.Momentum, r.EMA.Every)
	}
	_, err := r.Augment.Device()
	return err
}

func (r Recipe) optimizer() (device.Optimizer, error) {
	switch r.Optimizer {
	case "adam", "adamw":
		return device.Adam{Beta1: float32(r.Beta1), Beta2: float32(r.Beta2), Epsilon: float32(r.Epsilon)}, nil
	case "sgd":
		return device.SGD{Momentum: float32(r.Momentum), Nesterov: r.Nesterov}, nil
	case "rmsprop":
		return device.RMSprop{Rho: float32(r.Rho), Momentum: float32(r.Momentum), Epsilon: float32(r.Epsilon)}, nil
	}
	return nil, fmt.Errorf("optimizer %q is unknown; there are adam, adamw, sgd and rmsprop", r.Optimizer)
}

// flips are the ways to flip by their names in settings.
var flips = []string{device.NoFlip: "none", device.RandomFlip: "random", device.AlternatingFlip: "alternating"}

// Device is the augmentation as devices know it.
func (a Augment) Device() (device.Augment, error) {
	flip := device.NoFlip
	if a.Flip != "" {
		i := slices.Index(flips, a.Flip)
		if i < 0 {
			return device.Augment{}, fmt.Errorf("augment: flip is one of %s, got %q", strings.Join(flips, ", "), a.Flip)
		}
		flip = device.Flip(i)
	}
	made := device.Augment{
		Flip: flip, Shift: a.Shift, Cutout: a.Cutout, Rotate: float32(a.Rotate),
		Brightness: float32(a.Brightness), Contrast: float32(a.Contrast),
	}
	return made, made.Check()
}

// Plan is what a device compiles a network for. classes are the class names of the set, for ClassWeights.
func (r Recipe) Plan(norm model.Normalization, classes []string) (device.Plan, error) {
	if err := r.Check(); err != nil {
		return device.Plan{}, err
	}
	opt, err := r.optimizer()
	if err != nil {
		return device.Plan{}, err
	}
	augment, err := r.Augment.Device()
	if err != nil {
		return device.Plan{}, err
	}
	weights, err := classWeights(r.ClassWeights, classes)
	if err != nil {
		return device.Plan{}, err
	}
	return device.Plan{
		Batch: r.BatchSize, Normalization: norm, Exact: r.Exact,
		Training: &device.Training{
			Optimizer: opt, WeightDecay: float32(r.WeightDecay), ClipNorm: float32(r.ClipNorm),
			LabelSmoothing: float32(r.LabelSmoothing), ClassWeights: weights, Augment: augment, Seed: r.Seed,
			EMA: device.EMA{Momentum: float32(r.EMA.Momentum), Every: r.EMA.Every},
		},
	}, nil
}

func classWeights(given map[string]float64, classes []string) ([]float32, error) {
	if len(given) == 0 {
		return nil, nil
	}
	weights := make([]float32, len(classes))
	for i := range weights {
		weights[i] = 1
	}
	for name, w := range given {
		i := slices.Index(classes, name)
		if i < 0 {
			k, err := strconv.Atoi(name)
			if err != nil || k < 0 || k >= len(classes) {
				return nil, fmt.Errorf("class_weights: there is no class %q; there are %s", name, strings.Join(classes, ", "))
			}
			i = k
		}
		if !(w >= 0) || math.IsInf(w, 0) {
			return nil, fmt.Errorf("class_weights: the weight of %s is finite and at least 0, got %g", name, w)
		}
		weights[i] = float32(w)
	}
	return weights, nil
}

// Rate is the learning rate of a step, counted from 0 over the whole training, before ReduceLROnPlateau.
func (r Recipe) Rate(step int64, span Span) float64 {
	s := r.Schedule.of
	if r.Warmup > 0 {
		s = warmup{r.Warmup, r.WarmupStart, r.Schedule.of}
	}
	return s.rate(r.LearningRate, step, span)
}

// ConstantRate reports whether the learning rate stays the same for the whole training.
func (r Recipe) ConstantRate() bool {
	return r.Schedule.of == Schedule(Constant{}) && r.Warmup == 0 && r.ReduceLROnPlateau == nil
}

// MakeNormalization computes how a set's bytes become floats.
func (r Recipe) MakeNormalization(train *data.Set) (model.Normalization, error) {
	if r.Normalization != Standard {
		return model.Normalization{}, nil
	}
	mean, std, err := train.ChannelStats()
	if err != nil {
		return model.Normalization{}, err
	}
	scale := 1.0 // floats are taken as they are
	if train.Pixels != nil {
		scale = 255
	}
	z := model.Normalization{Mean: make([]float32, len(mean)), Std: make([]float32, len(std))}
	for c := range mean {
		if std[c] == 0 {
			return model.Normalization{}, fmt.Errorf("normalization standard: channel %d of %s is the same everywhere", c, train.Name)
		}
		z.Mean[c], z.Std[c] = float32(mean[c]/scale), float32(std[c]/scale)
	}
	return z, nil
}
