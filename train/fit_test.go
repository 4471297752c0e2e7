package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/device"
	"gcnn/device/reference"
	"gcnn/model"
)

func contains(err error, text string) bool { return strings.Contains(err.Error(), text) }

// toy is a set of n images of 4×4 of three classes: a bright row, a bright column, or nothing.
func toy(n int) *data.Set {
	s := &data.Set{Name: "toy", Height: 4, Width: 4, Channels: 1, Classes: []string{"row", "column", "none"}}
	for i := range n {
		image := make([]uint8, 16)
		for k := range image {
			image[k] = uint8((i*31 + k*17) % 60)
		}
		for k := range 4 {
			switch at := i / 3 % 4; i % 3 {
			case 0:
				image[at*4+k] = 255
			case 1:
				image[k*4+at] = 255
			}
		}
		s.Pixels = append(s.Pixels, image...)
		s.Labels = append(s.Labels, uint16(i%3))
	}
	return s
}

func toyNet(t *testing.T) *model.Network {
	t.Helper()
	net, err := model.New("toy", model.Shape{4, 4, 1},
		model.Conv2D{Filters: 2, KernelSize: model.Square(3), Padding: model.Same},
		model.BatchNormalization{},
		model.Activation{Func: model.ReLU},
		model.Flatten{},
		model.Dropout{Rate: 0.2},
		model.Dense{Units: 3, Activation: model.Softmax})
	if err != nil {
		t.Fatal(err)
	}
	return net
}

func toyRecipe() Recipe {
	r := NewRecipe()
	r.Epochs, r.BatchSize, r.LearningRate = 3, 8, 0.01
	return r
}

// toyConfig compiles the toy network on the reference device.
func toyConfig(t *testing.T, r Recipe) Config {
	t.Helper()
	net := toyNet(t)
	plan, err := r.Plan(model.Normalization{}, toy(3).Classes)
	if err != nil {
		t.Fatal(err)
	}
	program, err := reference.Open(reference.Options{}).Compile(net, plan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	if err := program.SetState(device.State{Weights: net.InitialWeights(r.Seed)}); err != nil {
		t.Fatal(err)
	}
	return Config{Network: net, Program: program, Recipe: r, Train: toy(35), Validation: toy(12)}
}

func fitted(t *testing.T, c Config) (History, device.State) {
	t.Helper()
	h, err := Fit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Program.State()
	if err != nil {
		t.Fatal(err)
	}
	return h, s
}

// differ names a tensor whose bits differ.
func differ(a, b map[string]*tensor.Dense) string {
	if !slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) {
		return "names"
	}
	for name, t := range a {
		x, y := t.Float32s(), b[name].Float32s()
		for i := range x {
			if math.Float32bits(x[i]) != math.Float32bits(y[i]) {
				return fmt.Sprintf("%s[%d]: %g and %g", name, i, x[i], y[i])
			}
		}
	}
	return ""
}

func TestFitLearns(t *testing.T) {
	t.Parallel()
	r := toyRecipe()
	const epochs = 60
	r.Epochs = epochs
	h, _ := fitted(t, toyConfig(t, r))
	if len(h.Records) != epochs {
		t.Fatalf("%d records, want %d", len(h.Records), epochs)
	}
	first, last := h.Records[0], h.Records[epochs-1]
	if last.ValLoss > 0.5*first.ValLoss || last.ValAccuracy < 0.8 {
		t.Errorf("it does not learn: %+v, then %+v", first, last)
	}
	for i, rec := range h.Records {
		if rec.Epoch != i || rec.LearningRate != float64(float32(0.01)) || rec.Seconds <= 0 {
			t.Errorf("record %d: %+v", i, rec)
		}
	}
}

// recipes under which a training must go on bit for bit.
func resumable() map[string]Recipe {
	plain := toyRecipe()
	ema := toyRecipe()
	ema.EMA = EMA{Momentum: 0.8, Every: 2}
	plateau := toyRecipe()
	plateau.ReduceLROnPlateau = &ReduceLROnPlateau{Factor: 0.5, Patience: 1, MinDelta: 10}
	plateau.EarlyStopping = &EarlyStopping{Patience: 2, RestoreBestWeights: true}
	cosine := toyRecipe()
	cosine.Optimizer, cosine.Momentum, cosine.Warmup = "sgd", 0.9, 0.5
	cosine.SetSchedule(Cosine{})
	cosine.Augment = Augment{Flip: "random", Shift: 1}
	return map[string]Recipe{"plain": plain, "ema": ema, "plateau": plateau, "cosine": cosine}
}

// TestResume interrupts a training after each of its steps, writes the checkpoint, reads it in another program and goes on: the end is
// bit for bit that of a training that was not interrupted.
func TestResume(t *testing.T) {
	t.Parallel()
	for name, r := range resumable() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantHistory, want := fitted(t, toyConfig(t, r))
			const steps = 3 * 5 // epochs of ⌈35/8⌉
			for stop := 1; stop < steps; stop += 2 {
				path := filepath.Join(t.TempDir(), CheckpointFile)
				interrupt(t, r, stop, path)
				checkpoint, err := ReadCheckpoint(path)
				if err != nil {
					t.Fatal(err)
				}
				c := toyConfig(t, r)
				c.Start = &checkpoint
				history, got := fitted(t, c)
				if d := differ(want.Weights, got.Weights); d != "" {
					t.Errorf("stopped after step %d: weights differ: %s", stop, d)
				}
				if d := differ(want.Slots, got.Slots); d != "" || want.Step != got.Step {
					t.Errorf("stopped after step %d: the optimiser's state differs: step %d and %d, %s", stop, want.Step, got.Step, d)
				}
				for i := range wantHistory.Records {
					wantHistory.Records[i].Seconds, history.Records[i].Seconds = 0, 0
				}
				if !slices.Equal(wantHistory.Records, history.Records) {
					t.Errorf("stopped after step %d: histories differ:\n%v\n%v", stop, wantHistory, history)
				}
			}
		})
	}
}

// interrupt runs a training up to a step and leaves its checkpoint.
func interrupt(t *testing.T, r Recipe, stop int, path string) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	cause := errors.New("interrupted by the test")
	c := toyConfig(t, r)
	c.Observers = []Observer{{
		Progress: func(p Progress) {
			if p.Epoch*p.Steps+p.Step >= stop {
				cancel(cause)
			}
		},
		Checkpoint: func(c Checkpoint) error { return WriteCheckpoint(path, c) },
	}}
	if _, err := Fit(ctx, c); !errors.Is(err, cause) {
		t.Fatalf("stopped after step %d: %v, want the cause", stop, err)
	}
}

// TestSnapshots asks for a checkpoint again and again, and gets the weights of a training without.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	r := toyRecipe()
	_, want := fitted(t, toyConfig(t, r))
	for name, change := range map[string]func(*Config, chan struct{}){
		"asked": func(c *Config, asked chan struct{}) { c.Snapshots = asked },
		"timed": func(c *Config, _ chan struct{}) { c.CheckpointEvery = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan struct{}, 1)
			c := toyConfig(t, r)
			change(&c, asked)
			within := 0
			c.Observers = []Observer{{
				Progress: func(Progress) {
					select {
					case asked <- struct{}{}:
					default:
					}
					time.Sleep(5 * time.Millisecond) // the steps are so short that a request would come after the last
				},
				Checkpoint: func(c Checkpoint) error {
					if c.Step > 0 {
						within++
					}
					return nil
				},
			}}
			_, got := fitted(t, c)
			if d := differ(want.Weights, got.Weights); d != "" {
				t.Errorf("weights differ: %s", d)
			}
			if within < 2 {
				t.Errorf("%d checkpoints within epochs, want some", within)
			}
		})
	}
}

// TestEMA recomputes the average from the weights after each step, of which an epoch has one.
func TestEMA(t *testing.T) {
	t.Parallel()
	r := toyRecipe()
	r.BatchSize = 64
	_, raw := fitted(t, toyConfig(t, r))
	r.EMA = EMA{Momentum: 0.75, Every: 1}
	c := toyConfig(t, r)
	var average, bound []float64 // three roundings a step, of numbers no larger than those averaged
	for _, w := range c.Network.InitialWeights(r.Seed)["dense/kernel"].Float32s() {
		average, bound = append(average, float64(w)), append(bound, 0)
	}
	c.Observers = []Observer{{Checkpoint: func(c Checkpoint) error {
		for i, w := range c.State.Weights["dense/kernel"].Float32s() {
			bound[i] += 3 * 0x1p-24 * max(math.Abs(average[i]), math.Abs(float64(w)))
			average[i] = 0.75*average[i] + 0.25*float64(w)
		}
		return nil
	}}}
	_, got := fitted(t, c)
	for i, v := range got.Weights["dense/kernel"].Float32s() {
		if math.Abs(float64(v)-average[i]) > bound[i] {
			t.Fatalf("dense/kernel[%d] is %g, want %g ± %g", i, v, average[i], bound[i])
		}
	}
	if d := differ(map[string]*tensor.Dense{"m": raw.Weights["batch_normalization/moving_mean"]},
		map[string]*tensor.Dense{"m": got.Weights["batch_normalization/moving_mean"]}); d != "" {
		t.Errorf("moving statistics are not averaged: %s", d)
	}
	if differ(raw.Weights, got.Weights) == "" {
		t.Error("the average is the last weights")
	}
}

func TestRestoreBestWeights(t *testing.T) {
	t.Parallel()
	r := toyRecipe()
	r.Epochs, r.LearningRate = 8, 3 // so large that it gets worse again
	r.EarlyStopping = &EarlyStopping{Patience: 3, RestoreBestWeights: true}
	c := toyConfig(t, r)
	var best device.State
	bestEpoch := -1
	c.Observers = []Observer{{EpochEnd: func(e EpochEnd) error {
		if e.Best {
			bestEpoch, best = e.Epoch, e.State.Clone()
		}
		return nil
	}}}
	h, got := fitted(t, c)
	if bestEpoch < 0 || bestEpoch == len(h.Records)-1 {
		t.Fatalf("the best epoch is %d of %d: the test needs one before the last", bestEpoch, len(h.Records))
	}
	if d := differ(best.Weights, got.Weights); d != "" {
		t.Errorf("the best weights are not restored: %s", d)
	}
}

func TestFitErrors(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"diverging", func(c *Config) { c.Recipe.LearningRate = 1e6; c.Recipe.Optimizer = "sgd" }, ", step "},
		{"observer", func(c *Config) { c.Observers = []Observer{{EpochEnd: func(EpochEnd) error { return boom }}} }, "boom"},
		{"checkpoint", func(c *Config) { c.Observers = []Observer{{Checkpoint: func(Checkpoint) error { return boom }}} }, "boom"},
		{"no validation", func(c *Config) { c.Validation = nil; c.Recipe.EarlyStopping = &EarlyStopping{} }, "there is no validation set"},
		{"other images", func(c *Config) { s := *c.Train; s.Height, s.Width = 2, 8; c.Train = &s }, "the network's input is 4×4×1"},
		{"no images", func(c *Config) { c.Train = c.Train.Slice(0, 0) }, "there are no images to train on"},
		{"another checkpoint", func(c *Config) { c.Start = &Checkpoint{Epoch: 3} }, "belongs to another training"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := toyRecipe()
			r.Optimizer = "sgd"
			config := toyConfig(t, r)
			c.change(&config)
			if _, err := Fit(t.Context(), config); err == nil || !contains(err, c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestFitWithoutValidation(t *testing.T) {
	t.Parallel()
	c := toyConfig(t, toyRecipe())
	c.Validation = nil
	h, _ := fitted(t, c)
	var b strings.Builder
	if err := h.Write(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "epoch,accuracy,loss,learning_rate\n0,") {
		t.Errorf("history.csv is\n%s", b.String())
	}
}
