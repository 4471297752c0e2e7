package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gorgonia.org/tensor"

	"gcnn/device"
	"gcnn/weights"
)

// ErrCheckpoint is wrapped by errors about a checkpoint that is damaged or no checkpoint.
var ErrCheckpoint = errors.New("not a valid checkpoint")

// Checkpoint is all that a training needs to go on.
type Checkpoint struct {
	State    device.State
	Best     map[string]*tensor.Dense // with EarlyStopping.RestoreBestWeights
	Epoch    int                      // epochs done
	Step     int                      // steps done of the one after them
	Running  device.Metrics           // of those steps
	Seconds  float64                  // that the running epoch has taken so far
	History  History
	Rate     float64 // the base rate as ReduceLROnPlateau left it
	Stopping watch
	Plateau  watch
	Stopped  bool // by EarlyStopping

	Settings string // config.yaml of the run, "" outside of a run
}

// progress is the part of a checkpoint that is no tensor. The order of the random numbers follows from the settings' seed, the
// epoch and the step.
type progress struct {
	Optimizer  int64          `json:"optimizer_step"`
	Slots      bool           `json:"slots"` // false: the optimiser keeps none
	Epoch      int            `json:"epoch"`
	Step       int            `json:"step"`
	Running    device.Metrics `json:"running"`
	Seconds    float64        `json:"seconds"`
	Records    []Record       `json:"history"`
	Validation bool           `json:"validation"`
	Rate       float64        `json:"rate"`
	Stopping   watch          `json:"early_stopping"`
	Plateau    watch          `json:"reduce_lr_on_plateau"`
	Stopped    bool           `json:"stopped"`
}

// Groups of tensors in a checkpoint file, and the keys of its metadata.
const (
	weightGroup  = "weights/"
	slotGroup    = "optimizer/"
	averageGroup = "average/"
	bestGroup    = "best/"

	formatKey   = "format"
	progressKey = "progress"
	settingsKey = "settings"
	sumKey      = "sha256"

	checkpointFormat = "gcnn checkpoint 1"
)

// WriteCheckpoint writes a checkpoint as one safetensors file, which is whole or absent at any moment.
func WriteCheckpoint(path string, c Checkpoint) error {
	f := &weights.File{Tensors: map[string]*tensor.Dense{}, Metadata: map[string]string{formatKey: checkpointFormat, settingsKey: c.Settings}}
	for group, tensors := range map[string]map[string]*tensor.Dense{
		weightGroup: c.State.Weights, slotGroup: c.State.Slots, averageGroup: c.State.Average, bestGroup: c.Best,
	} {
		for name, t := range tensors {
			f.Tensors[group+name] = t
		}
	}
	text, err := json.Marshal(progress{
		c.State.Step, c.State.Slots != nil, c.Epoch, c.Step, c.Running, c.Seconds, c.History.Records, c.History.Validation,
		c.Rate, c.Stopping, c.Plateau, c.Stopped,
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	f.Metadata[progressKey] = string(text)
	if f.Metadata[sumKey], err = sum(f); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return weights.WriteSafetensors(path, f)
}

// ReadCheckpoint reads a checkpoint and checks its sum. Errors about its content wrap ErrCheckpoint.
func ReadCheckpoint(path string) (Checkpoint, error) {
	fail := func(format string, args ...any) (Checkpoint, error) {
		return Checkpoint{}, fmt.Errorf("%s: %w: %w", path, ErrCheckpoint, fmt.Errorf(format, args...))
	}
	f, err := weights.ReadFile(path)
	if err != nil {
		if errors.Is(err, weights.ErrFormat) {
			return Checkpoint{}, fmt.Errorf("%w: %w", err, ErrCheckpoint)
		}
		return Checkpoint{}, err
	}
	if got := f.Metadata[formatKey]; got != checkpointFormat {
		return fail("its format is %q, want %q", got, checkpointFormat)
	}
	want := f.Metadata[sumKey]
	delete(f.Metadata, sumKey)
	got, err := sum(f)
	if err != nil {
		return fail("%w", err)
	}
	if got != want {
		return fail("its content was changed: the sha256 is %s, want %s", got, want)
	}
	var p progress
	d := json.NewDecoder(strings.NewReader(f.Metadata[progressKey]))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return fail("%s: %w", progressKey, err)
	}
	c := Checkpoint{
		State: device.State{Step: p.Optimizer, Weights: map[string]*tensor.Dense{}},
		Epoch: p.Epoch, Step: p.Step, Running: p.Running, Seconds: p.Seconds, History: History{p.Records, p.Validation},
		Rate: p.Rate, Stopping: p.Stopping, Plateau: p.Plateau, Stopped: p.Stopped, Settings: f.Metadata[settingsKey],
	}
	if p.Slots {
		c.State.Slots = map[string]*tensor.Dense{}
	}
	if p.Epoch < 0 || p.Step < 0 || p.Epoch != len(p.Records) || p.Running.Count < 0 {
		return fail("epoch %d, step %d and %d records do not agree", p.Epoch, p.Step, len(p.Records))
	}
	for name, t := range f.Tensors {
		group, rest, _ := strings.Cut(name, "/")
		switch group + "/" {
		case weightGroup:
			c.State.Weights[rest] = t
		case slotGroup:
			set(&c.State.Slots, rest, t)
		case averageGroup:
			set(&c.State.Average, rest, t)
		case bestGroup:
			set(&c.Best, rest, t)
		default:
			return fail("it has an unknown tensor %s", name)
		}
	}
	return c, nil
}

func set(m *map[string]*tensor.Dense, name string, t *tensor.Dense) {
	if *m == nil {
		*m = map[string]*tensor.Dense{}
	}
	(*m)[name] = t
}

// sum is the sha256 of a file's metadata, names, shapes and elements.
func sum(f *weights.File) (string, error) {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(f.Metadata)) {
		fmt.Fprintf(h, "%s=%s\n", strconv.Quote(key), strconv.Quote(f.Metadata[key]))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Tensors)) {
		t := f.Tensors[name]
		fmt.Fprintf(h, "%s%v\n", strconv.Quote(name), t.Shape())
		if t.Dtype() != tensor.Float32 {
			return "", fmt.Errorf("tensor %s: a checkpoint holds float32 tensors, got %v", name, t.Dtype())
		}
		if err := weights.WriteElements(h, t); err != nil {
			return "", fmt.Errorf("tensor %s: %w", name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
