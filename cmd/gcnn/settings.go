package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"gcnn/train"
)

// setting is a flag of `gcnn train` that stands for a setting: --batch-size is batch_size in a file and GCNN_BATCH_SIZE in the
// environment.
type setting struct {
	flag  string
	kind  settingKind
	usage string
	value string // the default, for people: it may come from the file or the preset
}

type settingKind uint8

const (
	textSetting settingKind = iota
	yamlSetting             // a YAML value, for settings with options
	intSetting
	floatSetting
	boolSetting
)

var settings = []setting{
	{"model", textSetting, "a preset (" + presetList() + ") or a YAML `FILE`", "cnn"},
	{"data", textSetting, dataUsage, defaultData},
	{"input", yamlSetting, "height, width and channels that pictures are read as: '[64, 64, 3]'", "the model's"},
	{"skip-bad", boolSetting, "leave out pictures that cannot be read", ""},
	{"limit", intSetting, "take the first `N` training images; of class folders, of each class its share", "all"},
	{"validation-split", floatSetting, "validate on the last `SHARE` of the training images, of class folders on that of each class, instead of the test set", "none"},
	{"normalization", textSetting, "unit: pixels in [0, 1]; standard: mean 0, deviation 1 of each channel", "unit"},
	{"weights", textSetting, "start from the weights in a safetensors or NPZ `FILE`", ""},
	{"device", textSetting, deviceUsage, "auto"},
	{"precision", textSetting, precisionUsage, train.Float32},
	{"workers", intSetting, "CPU threads; the results are the same for any `N`", "one for each core"},
	{"set-memory", intSetting, setMemoryUsage, setMemoryDefault},
	{"epochs", intSetting, "go `N` times through the training images", presetDefault},
	{"batch-size", intSetting, "`N` images a step", presetDefault},
	{"optimizer", textSetting, "the `NAME` is adam, adamw, sgd or rmsprop", presetDefault},
	{"learning-rate", floatSetting, "the learning `RATE`, that of the schedule's peak", presetDefault},
	{"momentum", floatSetting, "of sgd and rmsprop", presetDefault},
	{"nesterov", boolSetting, "Nesterov's momentum, of sgd", ""},
	{"weight-decay", floatSetting, "decoupled weight decay", presetDefault},
	{"clip-norm", floatSetting, "scale gradients to at most this `NORM`, all together", "none"},
	{"label-smoothing", floatSetting, "the `SHARE` of each label that goes to all classes", presetDefault},
	{"class-weights", yamlSetting, "weight of a class' loss, as `YAML`: 'shirt: 2'", "1"},
	{"schedule", yamlSetting, "of the learning rate, as `YAML`: constant, cosine, linear, one_cycle, 'step: {every: 3}', " +
		"'exponential: {rate: 0.9}', 'piecewise: {boundaries: [3], values: [0.1, 0.01]}'", presetDefault},
	{"warmup", floatSetting, "`EPOCHS` in which the learning rate rises", presetDefault},
	{"augment", yamlSetting, "change training images, as `YAML`: 'flip: random, shift: 2, cutout: 8, rotate: 10, brightness: 0.1, contrast: 0.1'", presetDefault},
	{"ema", yamlSetting, "average the weights, as `YAML`: 'momentum: 0.99'", "no"},
	{"early-stopping", yamlSetting, "end when val_loss stops falling, as `YAML`: 'patience: 3, restore_best_weights: true'", "no"},
	{"reduce-lr-on-plateau", yamlSetting, "reduce the learning rate when val_loss stops falling, as `YAML`: 'factor: 0.1, patience: 10'", "no"},
	{"exact", boolSetting, exactUsage, ""},
	{"shuffle", boolSetting, "a new order of the images each epoch, as by default; --shuffle=false keeps theirs", ""},
	{"seed", intSetting, "of initial weights, order, dropout and augmentation", "1"},
	{"checkpoint-minutes", floatSetting, "also checkpoint within an epoch, every so many `MINUTES`", "no"},
}

// presetDefault is the default of a setting that presets differ in.
const presetDefault = "the preset's"

func (s setting) name() string { return strings.ReplaceAll(s.flag, "-", "_") }

// cliFlag makes the flag.
func (s setting) cliFlag() cli.Flag {
	env := []string{"GCNN_" + strings.ToUpper(s.name())}
	switch s.kind {
	case intSetting:
		return &cli.IntFlag{Name: s.flag, Usage: s.usage, EnvVars: env, DefaultText: s.value}
	case floatSetting:
		return &cli.Float64Flag{Name: s.flag, Usage: s.usage, EnvVars: env, DefaultText: s.value}
	case boolSetting:
		return &cli.BoolFlag{Name: s.flag, Usage: s.usage, EnvVars: env}
	case textSetting, yamlSetting:
	}
	return &cli.StringFlag{Name: s.flag, Usage: s.usage, EnvVars: env, DefaultText: s.value}
}

// readSettings makes the effective settings: flags over the environment over the file of --config over the preset.
func readSettings(c *cli.Context) (train.Settings, error) {
	var text []byte
	file := c.String("config")
	name := "cnn"
	if file != "" {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return train.Settings{}, err
		}
		inFile, err := train.ModelOf(file, text)
		if err != nil {
			return train.Settings{}, err
		}
		if inFile != "" {
			name = inFile
		}
	}
	if c.IsSet("model") {
		name = c.String("model")
	}
	s := train.NewSettings(name)
	if file != "" {
		if err := s.Merge(file, text); err != nil {
			return s, err
		}
	}
	if err := override(c, &s); err != nil {
		return s, err
	}
	if err := s.Check(); err != nil {
		return s, usageError{err}
	}
	if adam := s.Optimizer == "adam" || s.Optimizer == "adamw"; adam && c.IsSet("momentum") {
		return s, usagef("--momentum belongs to sgd and rmsprop, the optimizer is %s", s.Optimizer)
	}
	if c.Bool("nesterov") && s.Optimizer != "sgd" {
		return s, usagef("--nesterov belongs to sgd, the optimizer is %s", s.Optimizer)
	}
	return s, s.Absolute(isNamed)
}

// override applies flags and environment.
func override(c *cli.Context, s *train.Settings) error {
	texts := map[string]*string{
		"data": &s.Data, "normalization": &s.Normalization, "weights": &s.Weights, "device": &s.Device, "precision": &s.Precision, "optimizer": &s.Optimizer,
	}
	for _, f := range settings {
		if !c.IsSet(f.flag) {
			continue
		}
		if f.flag == "model" {
			s.Model = train.ModelSetting{Name: c.String(f.flag)}
			continue
		}
		if text, ok := texts[f.name()]; ok {
			*text = c.String(f.flag)
			continue
		}
		value := fmt.Sprint(c.Value(f.flag))
		if f.kind == yamlSetting {
			value = inBraces(value)
		}
		if err := s.Set(f.name(), "--"+f.flag, value); err != nil {
			return usageError{err}
		}
	}
	return nil
}

// inBraces makes a mapping of 'a: 1, b: 2'.
func inBraces(value string) string {
	if strings.HasPrefix(value, "{") || !strings.Contains(value, ":") {
		return value
	}
	return "{" + value + "}"
}

// onResume are the settings that may change when a run goes on.
var onResume = []string{"device", "precision", "workers", "set-memory", "epochs", "checkpoint-minutes"}

// resumeSettings are those of a run that goes on, with the few flags that may change them.
func resumeSettings(c *cli.Context, run train.Settings) (train.Settings, error) {
	for _, f := range settings {
		if c.IsSet(f.flag) && !slices.Contains(onResume, f.flag) {
			return run, usagef("--%s cannot change a run that goes on (--resume); only --%s can", f.flag, strings.Join(onResume, ", --"))
		}
	}
	for _, other := range []string{"config", "out", "force"} {
		if c.IsSet(other) {
			return run, usagef("--%s does not go with --resume", other)
		}
	}
	if err := override(c, &run); err != nil {
		return run, err
	}
	return run, run.Check()
}
