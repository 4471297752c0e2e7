//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
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

// TestKilled kills trainings 50 times at random moments, goes on each time, and wants the very bits of one that ran undisturbed. At
// each death every file is whole or absent.
func TestKilled(t *testing.T) {
	t.Parallel()
	kills := 50
	if testing.Short() {
		kills = 8
	}
	dir := t.TempDir()
	// A checkpoint every 30 ms lets each life get on.
	options := []string{"train", "--limit", "4000", "--epochs", "4", "--batch-size", "8", "--optimizer", "sgd", "--momentum", "0.9",
		"--checkpoint-minutes", "0.0005", "--quiet"}
	whole := filepath.Join(dir, "whole")
	begin := time.Now()
	if out, err := gcnnCommand(append(slices.Clone(options), "--out", whole)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	longest := time.Since(begin) / 2
	rng := rand.New(rand.NewPCG(1, 2))
	for run := 0; kills > 0; run++ {
		killed := filepath.Join(dir, fmt.Sprint("killed", run))
		deaths := 0
		for {
			args := append(slices.Clone(options), "--out", killed)
			if _, err := os.Stat(filepath.Join(killed, train.ConfigFile)); err == nil {
				args = []string{"train", "--resume", killed, "--quiet"}
			}
			after := time.Duration(rng.Int64N(int64(longest)))
			if kills == 0 {
				after = time.Hour
			}
			if !killedAfter(t, gcnnCommand(args...), after) {
				break // it came to its end
			}
			deaths++
			kills--
			checkFolder(t, killed)
		}
		t.Logf("run %d: killed %d times", run, deaths)
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
				t.Errorf("%s differs after %d kills", name, deaths)
			}
		}
	}
}

// killedAfter runs a command and reports whether it was killed before its end. Another failure fails the test.
func killedAfter(t *testing.T, cmd *exec.Cmd, after time.Duration) bool {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != -1) {
		t.Fatalf("%v: %s", err, out.String())
	}
	return err != nil
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
