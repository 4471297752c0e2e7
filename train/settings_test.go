package train

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gcnn/internal/strictyaml"
	"gcnn/model"
)

// full has every setting away from its default.
const full = `model:
  name: mine
  input: [8, 8, 3]
  layers:
    - flatten
    - dense: {units: 3, activation: softmax}
data: /data
input: [8, 8, 3]
skip_bad: true
limit: 100
validation_split: 0.25
normalization: standard
weights: /w.npz
device: cuda:1
precision: tf32
set_memory: 300
workers: 3
checkpoint_minutes: 2.5
epochs: 7
batch_size: 64
optimizer: rmsprop
learning_rate: 0.02
momentum: 0.5
nesterov: true
beta_1: 0.8
beta_2: 0.99
rho: 0.95
epsilon: 1e-05
schedule: {step: {every: 3, factor: 0.5}}
warmup: 1.5
warmup_start: 0.25
weight_decay: 0.01
clip_norm: 2
label_smoothing: 0.1
class_weights: {cat: 2, "1": 0.5}
augment: {flip: alternating, shift: 2, cutout: 3, rotate: 10, brightness: 0.1, contrast: 0.2}
ema: {momentum: 0.9, every: 4}
early_stopping: {monitor: val_accuracy, patience: 2, min_delta: 0.01, start_from_epoch: 1, restore_best_weights: true}
reduce_lr_on_plateau: {monitor: loss, factor: 0.5, patience: 3, min_delta: 0, cooldown: 1, min_lr: 1e-05}
exact: true
shuffle: false
seed: 18446744073709551615
`

func TestSettingsRoundTrip(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"full": full, "default": "model: cnn\n", "adam": "optimizer: adamw\n", "sgd": "optimizer: sgd\nnesterov: true\nmomentum: 0.9\n"} {
		s := NewSettings("cnn")
		if err := s.Merge(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
		written, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again := NewSettings("cnn")
		if err := again.Merge("again", written); err != nil {
			t.Fatalf("%v in\n%s", err, written)
		}
		twice, err := again.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if string(written) != string(twice) {
			t.Errorf("%s: a round trip changes\n%s\nto\n%s", name, written, twice)
		}
		// What another optimiser would use is not written.
		for _, r := range []*Recipe{&s.Recipe, &again.Recipe} {
			r.Momentum, r.Nesterov, r.Beta1, r.Beta2, r.Rho, r.Epsilon, r.WarmupStart = 0, false, 0, 0, 0, 0, 0
		}
		if diff := cmp.Diff(s, again, cmp.AllowUnexported(scheduleSetting{})); diff != "" {
			t.Errorf("%s: a round trip changes it: %s\n%s", name, diff, written)
		}
	}
	for _, tag := range strictyaml.Tags(reflect.TypeFor[Settings]()) {
		if !strings.Contains("\n"+full, "\n"+tag.Name+":") {
			t.Errorf("this test misses the setting %s", tag.Name)
		}
		if tag.Required {
			t.Errorf("the setting %s has no default", tag.Name)
		}
	}
}

func TestSettingsErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"epochs: 1.5":                   "c.yaml:1: epochs: expected a whole number, got 1.5",
		"epoch: 1":                      `c.yaml:1: unknown field "epoch"`,
		"a: 1\nepochs: 2":               `c.yaml:1: unknown field "a"`,
		"seed: -1":                      "c.yaml:1: seed: expected a whole number from 0 to 18446744073709551615, got -1",
		"learning_rate: fast":           `c.yaml:1: learning_rate: expected a number, got "fast"`,
		"learning_rate: .nan":           "c.yaml:1: learning_rate: expected a",
		"schedule: {cosine: {a: 1}}":    `c.yaml:1: unknown field "a"; there are alpha, epochs`,
		"schedule: {step: {}}":          "c.yaml:1: the field every is missing",
		"schedule: {step: {every: -1}}": "c.yaml:1: schedule step: every is above 0",
		"schedule: [cosine]":            "c.yaml:1: a schedule is a mapping",
		"augment: {flip: 1}":            "c.yaml:1: flip: expected text, got 1",
		"model: {layers: [flatten]}":    "c.yaml:1: the field input is missing",
		"model: [cnn]":                  "c.yaml:1: model: expected the name of a preset or a file, or a network, got a list",
		"shuffle: yes":                  `c.yaml:1: shuffle: expected true or false, got "yes"`,
		"- a":                           "c.yaml:1: expected a mapping, got a list",
		"model:\n  input: [8, 8, 1]\n  layers:\n    - flatten\n    - dense: {units: 0}": "c.yaml:5: invalid network: dense: units is at least 1, got 0",
	} {
		s := NewSettings("cnn")
		if err := s.Merge("c.yaml", []byte(text)); err == nil || !contains(err, want) {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
}

func TestMakeNetwork(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "net.yaml")
	if err := os.WriteFile(file, []byte("input: [8, 8, 3]\nlayers:\n  - flatten\n  - dense: {units: 3, activation: softmax}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewSettings(file)
	if _, err := s.MakeNetwork(model.Shape{8, 8, 3}, 3); err != nil {
		t.Fatal(err)
	}
	if s.Model.Network == nil || s.Model.Name != "" || s.Model.Network.Name != "net" {
		t.Errorf("the settings do not hold the file's network: %+v", s.Model)
	}
	preset := NewSettings("lenet5")
	net, err := preset.MakeNetwork(model.Shape{32, 32, 3}, 7)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(net.Input, []int{32, 32, 3}) || !slices.Equal(net.Output(), []int{7}) || preset.Model.Name != "lenet5" {
		t.Errorf("the preset became %v to %v: %+v", net.Input, net.Output(), preset.Model)
	}
	for _, c := range []struct {
		input   model.Shape
		classes int
		want    string
	}{
		{model.Shape{28, 28, 1}, 3, "its input is 8×8×3, the images of fashion-mnist are 28×28×1"},
		{model.Shape{8, 8, 3}, 10, "it has 3 outputs, fashion-mnist has 10 classes"},
	} {
		s := NewSettings(file)
		if _, err := s.MakeNetwork(c.input, c.classes); err == nil || !contains(err, c.want) {
			t.Errorf("got %v, want an error with %q", err, c.want)
		}
	}
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("model: cnn\nschedule: one_cycle\n"))
	f.Add([]byte("schedule: {piecewise: {boundaries: [1, 2], values: [1, 0.1, 0.01]}}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := NewSettings("cnn")
		if err := s.Merge("f.yaml", text); err != nil || s.Check() != nil {
			return
		}
		written, err := s.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again := NewSettings("cnn")
		if err := again.Merge("again", written); err != nil {
			t.Fatalf("%v in\n%s", err, written)
		}
	})
}

// TestSchemaFile keeps docs/config.schema.json equal to what `gcnn config schema` prints.
func TestSchemaFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "docs", "config.schema.json")
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is out of date: go run ./cmd/gcnn config schema > docs/config.schema.json", path)
	}
}
