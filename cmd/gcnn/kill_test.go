//go:build unix

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gcnn/train"
)

// TestKilled kills a training 50 times at random moments, goes on each time, and wants the very bits of one that ran undisturbed. At
// each death every file is whole or absent.
func TestKilled(t *testing.T) {
	t.Parallel()
	kills := 50
	if testing.Short() {
		kills = 8
	}
	dir := t.TempDir()
	// SGD with momentum, dropout-free; a checkpoint every 12 ms so that each life gets on.
	options := []string{"train", "--limit", "4000", "--epochs", "4", "--batch-size", "8", "--optimizer", "sgd", "--momentum", "0.9",
		"--checkpoint-minutes", "0.0002", "--quiet"}
	whole, killed := filepath.Join(dir, "whole"), filepath.Join(dir, "killed")
	if out, err := gcnnCommand(append(slices.Clone(options), "--out", whole)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	lives := 0
	for ; lives < kills; lives++ {
		args := append(slices.Clone(options), "--out", killed)
		if _, err := os.Stat(filepath.Join(killed, train.ConfigFile)); err == nil {
			args = []string{"train", "--resume", killed, "--quiet"}
		}
		cmd := gcnnCommand(args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(rng.IntN(700))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		var exit *exec.ExitError
		if err == nil {
			break // it came to its end before the kill
		}
		if !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("life %d: %v: %s", lives, err, out.String())
		}
		checkFolder(t, killed)
	}
	if lives < 5 {
		t.Fatalf("it was killed %d times only", lives)
	}
	t.Logf("killed %d times", lives)
	if out, err := gcnnCommand("train", "--resume", killed, "--quiet").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{train.WeightsFile, train.BestFile, train.HistoryFile} {
		want, err := os.ReadFile(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(killed, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, got) {
			t.Errorf("%s differs after %d kills", name, lives)
		}
	}
}

// gcnnCommand runs this test binary as gcnn: TestMain sees the name.
func gcnnCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Args[0] = "gcnn"
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return cmd
}

// checkFolder reads every file that is there.
func checkFolder(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{train.WeightsFile, train.BestFile} {
		if _, err := train.ReadTrained(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after a kill: %v", err)
		}
	}
	if _, err := train.ReadCheckpoint(filepath.Join(dir, train.CheckpointFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a kill: %v", err)
	}
	if _, err := train.ReadSettings(filepath.Join(dir, train.ConfigFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a kill: %v", err)
	}
}
