package train

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"gcnn/internal/strictyaml"
	"gcnn/model"
)

// Settings are all that a run of `gcnn train` depends on: what config.yaml holds. Field names in YAML are those of the flags.
type Settings struct {
	Model             ModelSetting `yaml:"model,omitempty"`
	Data              string       `yaml:"data,omitempty"`             // the name of an embedded set, or a folder or file
	Input             model.Shape  `yaml:"input,omitempty"`            // height, width and channels that pictures are read as; default the model's
	SkipBad           bool         `yaml:"skip_bad,omitempty"`         // leave out pictures that cannot be read
	Limit             int          `yaml:"limit,omitempty"`            // the first so many training images (data.Set.Limit); 0: all
	ValidationSplit   float64      `yaml:"validation_split,omitempty"` // the last share of them (data.Set.Split) instead of the test set; 0: none
	Weights           string       `yaml:"weights,omitempty"`          // a file to start from
	Device            string       `yaml:"device,omitempty"`
	Precision         string       `yaml:"precision,omitempty"`  // of products on a GPU: float32 or tf32
	Workers           int          `yaml:"workers,omitempty"`    // 0: one for each core
	SetMemory         int          `yaml:"set_memory,omitempty"` // the most MiB of the device's memory for sets; larger ones are streamed; 0: what is free
	CheckpointMinutes float64      `yaml:"checkpoint_minutes,omitempty"`
	Recipe            `yaml:",inline"`
}

// The precisions of Settings.
const (
	Float32 = "float32"
	TF32    = "tf32" // products of 10-bit mantissas, added up in float32
)

// ModelSetting is a network in settings: a preset's name, a file, or the network itself.
type ModelSetting struct {
	Name    string         // a preset or a file; empty where Network is given
	Network *model.Network // written out in the settings
}

// DecodeYAML reads a name or a network.
func (m *ModelSetting) DecodeYAML(node strictyaml.Node) error {
	*m = ModelSetting{}
	if node.IsMapping() {
		m.Network = &model.Network{Name: "model"}
		return node.Decode(m.Network)
	}
	if !node.IsString() {
		return node.Errorf("model: expected the name of a preset or a file, or a network, got %v", node)
	}
	return node.Decode(&m.Name)
}

// NewSettings are the settings for a model by its name: its recipe and the defaults of everything else.
func NewSettings(name string) Settings {
	return Settings{Model: ModelSetting{Name: name}, Data: "fashion-mnist", Device: "auto", Precision: Float32, Recipe: Preset(name)}
}

// ModelOf reads the model of a settings file before its other fields, which depend on it. "" is none.
func ModelOf(file string, text []byte) (string, error) {
	node, err := strictyaml.Parse(file, text)
	if err != nil {
		return "", err
	}
	fields, err := node.Fields()
	if err != nil {
		return "", err
	}
	for _, f := range fields {
		if f.Key == "model" && f.Value.IsString() {
			var name string
			return name, f.Value.Decode(&name)
		}
	}
	return "", nil
}

// Merge reads settings from YAML over those that are there. Errors give file and line.
func (s *Settings) Merge(file string, text []byte) error {
	node, err := strictyaml.Parse(file, text)
	if err != nil {
		return err
	}
	return node.Decode(s)
}

// Set gives one setting, by its name in YAML, a value as YAML.
func (s *Settings) Set(name, source, value string) error {
	if strings.TrimSpace(value) == "" {
		return fmt.Errorf("%s: expected a value, got nothing", source)
	}
	node, err := strictyaml.Parse(source, []byte(value))
	if err != nil {
		return inline(err, source, value)
	}
	v := reflect.ValueOf(s).Elem()
	for _, t := range strictyaml.Tags(v.Type()) {
		if t.Name == name {
			return inline(node.Decode(v.FieldByIndex(t.Index).Addr().Interface()), source, value)
		}
	}
	return fmt.Errorf("there is no setting %q", name)
}

// inline drops the line number of a value that is no file.
func inline(err error, source, value string) error {
	var placed *strictyaml.Error
	if errors.As(err, &placed) {
		return fmt.Errorf("%s %s: %w", source, value, placed.Err)
	}
	return err
}

// Check reports what is wrong with the settings.
func (s Settings) Check() error {
	if s.Limit < 0 {
		return fmt.Errorf("limit is at least 1, got %d", s.Limit)
	}
	if !(s.ValidationSplit >= 0 && s.ValidationSplit < 1) {
		return fmt.Errorf("validation_split lies in [0, 1), got %g", s.ValidationSplit)
	}
	if s.Workers < 0 {
		return fmt.Errorf("workers is at least 1, got %d", s.Workers)
	}
	if !(s.CheckpointMinutes >= 0) {
		return fmt.Errorf("checkpoint_minutes is at least 0, got %g", s.CheckpointMinutes)
	}
	if s.SetMemory < 0 {
		return fmt.Errorf("set_memory is at least 0 MiB, got %d", s.SetMemory)
	}
	if s.Precision != Float32 && s.Precision != TF32 {
		return fmt.Errorf("precision is %s or %s, got %q", Float32, TF32, s.Precision)
	}
	return s.Recipe.Check()
}

// MakeNetwork makes the network for images of a shape and so many classes, and replaces a file's name in the settings by what the
// file holds: later changes to the file do not change the run.
func (s *Settings) MakeNetwork(input model.Shape, classes int) (*model.Network, error) {
	net, err := s.Model.network(input, classes)
	if err != nil {
		return nil, err
	}
	if !net.Input.Equal(input) {
		return nil, fmt.Errorf("model %s: its input is %v, the images of %s are %v", net.Name, net.Input, s.Data, input)
	}
	if n, err := net.Classes(); err != nil {
		return nil, err
	} else if n != classes {
		return nil, fmt.Errorf("model %s: it has %d outputs, %s has %d classes", net.Name, n, s.Data, classes)
	}
	if !slices.Contains(model.Presets(), s.Model.Name) {
		s.Model = ModelSetting{Network: net}
	}
	return net, nil
}

func (m ModelSetting) network(input model.Shape, classes int) (*model.Network, error) {
	if m.Network != nil {
		return m.Network, nil
	}
	return OpenModel(m.Name, input, classes)
}

// PictureShape is the shape that pictures are read as: what the settings say, else the model's own input.
func (s Settings) PictureShape() (model.Shape, error) {
	if s.Input != nil {
		if len(s.Input) != 3 {
			return nil, fmt.Errorf("input is height, width and channels, got %v", []int(s.Input))
		}
		return s.Input, nil
	}
	net, err := s.Model.network(nil, anyClasses)
	if err != nil {
		return nil, err
	}
	return net.Input, nil
}

// anyClasses stands for the number of classes where it does not matter.
const anyClasses = 10

// OpenModel makes a network of a preset's name or reads it from a YAML file. A nil input is the preset's own.
func OpenModel(name string, input model.Shape, classes int) (*model.Network, error) {
	if slices.Contains(model.Presets(), name) {
		return model.Preset(name, input, classes)
	}
	net, err := model.LoadFile(name)
	if errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(name, `./\`) {
		_, err = model.Preset(name, input, classes)
	}
	return net, err
}

// Absolute makes paths in the settings independent of the folder in which they are read.
func (s *Settings) Absolute(isName func(data string) bool) error {
	for _, path := range []*string{&s.Weights, &s.Data} {
		if *path == "" || (path == &s.Data && isName(*path)) {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	return nil
}

// Marshal writes the settings as Merge reads them: all that have an effect, defaults too.
func (s Settings) Marshal() ([]byte, error) {
	var b bytes.Buffer
	v := reflect.ValueOf(s)
	for _, t := range strictyaml.Tags(v.Type()) {
		field := v.FieldByIndex(t.Index)
		if t.Name == "model" {
			if err := s.Model.write(&b); err != nil {
				return nil, err
			}
			continue
		}
		if idle(s.Recipe, t.Name, field) {
			continue
		}
		text, err := yaml.MarshalWithOptions(field.Interface(), yaml.Flow(true))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
		fmt.Fprintf(&b, "%s: %s\n", t.Name, strings.TrimSpace(string(text)))
	}
	return b.Bytes(), nil
}

// idle reports whether a setting has no effect: what belongs to another optimiser, and options that are off.
func idle(r Recipe, name string, field reflect.Value) bool {
	adam := r.Optimizer == "adam" || r.Optimizer == "adamw"
	switch name {
	case "momentum":
		return adam
	case "nesterov":
		return r.Optimizer != "sgd"
	case "beta_1", "beta_2":
		return !adam
	case "rho":
		return r.Optimizer != "rmsprop"
	case "epsilon":
		return r.Optimizer == "sgd"
	case "warmup_start":
		return r.Warmup == 0
	case "ema":
		return r.EMA.Momentum == 0
	case "weight_decay", "warmup", "learning_rate", "shuffle", "seed", "clip_norm", "label_smoothing":
		return false
	}
	return field.IsZero()
}

func (m ModelSetting) write(b *bytes.Buffer) error {
	if m.Network == nil {
		text, err := yaml.Marshal(m.Name)
		fmt.Fprintf(b, "model: %s", text)
		return err
	}
	text, err := model.Marshal(m.Network)
	b.WriteString("model:\n")
	for line := range strings.Lines(string(text)) {
		b.WriteString("  " + line)
	}
	return err
}

// ReadSettings reads a settings file over the defaults of its model.
func ReadSettings(path string) (Settings, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Settings{}, err
	}
	name, err := ModelOf(path, text)
	if err != nil {
		return Settings{}, err
	}
	s := NewSettings(name)
	return s, s.Merge(path, text)
}

// DataName is the set's name for people: the name of an embedded set, or the last part of a path.
func (s Settings) DataName() string { return filepath.Base(s.Data) }
