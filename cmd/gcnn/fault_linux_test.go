package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gcnn/train"
)

// TestFullAndReadOnlyDisk trains on a disk that fills up at the first checkpoint, then on one that is read-only, then on one with
// room: every error is clear, and the run ends with the bits of an undisturbed one. Users who may not mount a disk have the same
// in testdata/script/faults.txtar, with limits and modes in its place.
func TestFullAndReadOnlyDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o777); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=512k") // weights and best weights fit, a checkpoint does not
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skipf("this user cannot mount a disk: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	options := []string{"train", "--limit", "640", "--epochs", "2", "--quiet"}
	whole, full := filepath.Join(dir, "whole"), filepath.Join(disk, "run")
	if out, err := gcnnCommand(append(options, "--out", whole)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fails := func(want string, args ...string) {
		t.Helper()
		cmd := gcnnCommand(args...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != exitFailure || !strings.Contains(string(out), want) {
			t.Errorf("gcnn %v: %v, %s; want exit code 1 and %q", args, err, out, want)
		}
		checkFolder(t, full)
	}
	remount := func(flags uintptr, options string) {
		t.Helper()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT|flags, options); err != nil {
			t.Fatal(err)
		}
	}
	fails("write "+filepath.Join(full, train.CheckpointFile)+": ", append(options, "--out", full)...)
	fails("no space left on device", "train", "--resume", full, "--quiet")
	entries, err := os.ReadDir(full)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), "tmp") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
	remount(syscall.MS_RDONLY, "size=512k")
	fails("read-only file system", "train", "--resume", full)
	fails("read-only file system", append(options, "--out", full, "--force")...)
	if out, err := gcnnCommand("evaluate", full).CombinedOutput(); err != nil {
		t.Errorf("evaluate from a read-only disk: %v: %s", err, out)
	}
	remount(0, "size=16m")
	if out, err := gcnnCommand("train", "--resume", full, "--quiet").CombinedOutput(); err != nil {
		t.Fatalf("with room: %v: %s", err, out)
	}
	for _, name := range []string{train.WeightsFile, train.HistoryFile} {
		want, err := os.ReadFile(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(full, name)); err != nil || !bytes.Equal(want, got) {
			t.Errorf("%s differs from that of an undisturbed run: %v", name, err)
		}
	}
}
