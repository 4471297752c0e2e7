package train

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorgonia.org/tensor"

	"gcnn/device"
)

func vector(values ...float32) *tensor.Dense {
	return tensor.New(tensor.WithShape(len(values)), tensor.WithBacking(values))
}

func TestCheckpointRoundTrip(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), CheckpointFile)
	want := Checkpoint{
		State: device.State{
			Step: 12345678901, Weights: map[string]*tensor.Dense{"dense/kernel": vector(1, -2, 3e-45)},
			Slots:   map[string]*tensor.Dense{"dense/kernel/momentum": vector(4, 5, 6)},
			Average: map[string]*tensor.Dense{"dense/kernel": vector(7, 8, 9)},
		},
		Best:  map[string]*tensor.Dense{"dense/kernel": vector(10, 11, 12)},
		Epoch: 1, Step: 3, Running: device.Metrics{LossSum: 0.1 + 0.2, Correct: 7, Count: 24}, Seconds: 1.5,
		History: History{[]Record{{Epoch: 0, Accuracy: 1.0 / 3, Loss: 2.2, ValAccuracy: 0.5, ValLoss: 1e-300, LearningRate: 0.01, Seconds: 2}}, true},
		Rate:    0.1, Stopping: watch{Seen: true, Best: 0.25, BestAt: 1, Wait: 2}, Plateau: watch{Cooldown: 3}, Stopped: true, Settings: "model: cnn\n",
	}
	if err := WriteCheckpoint(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadCheckpoint(path)
	if err != nil {
		t.Fatal(err)
	}
	dense := cmp.Comparer(func(a, b *tensor.Dense) bool {
		return differ(map[string]*tensor.Dense{"": a}, map[string]*tensor.Dense{"": b}) == ""
	})
	if diff := cmp.Diff(want, got, dense); diff != "" {
		t.Errorf("a round trip changes it: %s", diff)
	}
}

// TestTamperedCheckpoint changes or drops each byte in turn: every such file is refused.
func TestTamperedCheckpoint(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), CheckpointFile)
	c := Checkpoint{State: device.State{Weights: map[string]*tensor.Dense{"k": vector(1, 2, 3, 4)}}, History: History{Validation: true}}
	if err := WriteCheckpoint(path, c); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, at int, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadCheckpoint(path)
		if errors.Is(err, ErrCheckpoint) {
			return
		}
		// A blank of the header means nothing, wherever it is.
		if err != nil || differ(got.State.Weights, c.State.Weights) != "" || got.Step != c.Step || got.Epoch != c.Epoch {
			t.Errorf("byte %d %s: %v", at, what, err)
		}
	}
	for i := range whole {
		changed := append([]byte{}, whole...)
		changed[i] ^= 1
		refused("changed", i, changed)
		if i%7 == 0 {
			refused("is the last", i, whole[:i])
		}
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	run := filepath.Join(dir, "run")
	f, err := CreateFolder(run, "cnn", now, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CreateFolder(run, "cnn", now, true); !errors.Is(err, ErrLocked) {
		t.Errorf("a second run in the folder: %v, want ErrLocked", err)
	}
	for _, name := range []string{ConfigFile, HistoryFile, "mine.txt", ".config.yaml.gcnn-tmp-X"} {
		if err := os.WriteFile(f.File(name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateFolder(run, "cnn", now, false); !errors.Is(err, ErrFolderExists) {
		t.Errorf("an old run: %v, want ErrFolderExists", err)
	}
	if f, err = OpenFolder(run); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f, err = CreateFolder(run, "cnn", now, true); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries, err := os.ReadDir(run)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{lockFile, "mine.txt"}, names); diff != "" {
		t.Errorf("with force there is left: %s", diff)
	}
	if _, err := OpenFolder(filepath.Join(dir, "none")); err == nil || !contains(err, "it holds no run") {
		t.Errorf("a folder that is not there: %v", err)
	}
}
