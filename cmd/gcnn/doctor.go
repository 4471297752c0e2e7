package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"gorgonia.org/tensor"

	"gcnn/cpu/kernel"
	"gcnn/data/fashionmnist"
	"gcnn/device"
	"gcnn/internal/atomicfile"
	"gcnn/train"
)

// errUnwell is the end of a doctor that found something.
var errUnwell = errors.New("something is wrong with this machine or this build (marked failed)")

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "check that this machine trains correctly",
		Description: `Trains a small network with every set of kernels that this processor runs,
holds each step against the float64 reference and against the portable kernels,
and wants the same bits from all vector widths and numbers of workers. Verifies
the embedded data, that a run's folder can be written, and the GPUs. Exit code 1
where a check fails.

Examples:
  gcnn doctor
  gcnn doctor --out /big/disk/runs
  gcnn doctor --json | jq '.checks[] | select(.status == "failed")'`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Value: "runs", Usage: "the `DIR` that runs' folders are to be written into"},
			jsonFlag,
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			ctx, stop := untilSignal(c.Context)
			defer stop()
			e := examination{Version: version(), System: system(), Well: true}
			if !c.Bool("json") {
				fmt.Fprintf(c.App.Writer, "gcnn %s, %s\n", e.Version, e.System)
				e.show = func(k check) { k.write(c.App.Writer, columns(c.App.Writer)) }
			}
			if err := e.examine(ctx, c.String("out")); err != nil {
				return err
			}
			if c.Bool("json") {
				if err := writeJSON(c.App.Writer, e); err != nil {
					return err
				}
			}
			if !e.Well {
				return errUnwell
			}
			return nil
		},
	}
}

func system() string {
	return fmt.Sprintf("%s/%s, %s, %s", runtime.GOOS, runtime.GOARCH, runtime.Version(), plural(runtime.GOMAXPROCS(0), "core"))
}

// The states of a check.
const (
	checkOK     = "ok"
	checkFailed = "failed"
	checkAbsent = "none" // there is nothing to check, and nothing is wrong
)

// check is one thing that was looked at.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"` // what to do
}

// write prints a check in lines of at most width columns.
func (k check) write(w io.Writer, width int) {
	const margin = 8
	lines := strings.Split(fill(strings.Fields(k.Name+": "+k.Detail), "", width-margin), "\n")
	if k.Advice != "" {
		lines = append(lines, strings.Split(fill(strings.Fields("→ "+k.Advice), "", width-margin), "\n")...)
	}
	for i, line := range lines {
		head := ""
		if i == 0 {
			head = k.Status
		}
		fmt.Fprintln(w, pad(head, margin)+line)
	}
}

// examination is what the doctor found.
type examination struct {
	Version string  `json:"version"`
	System  string  `json:"system"`
	Well    bool    `json:"ok"`
	Checks  []check `json:"checks"`
	show    func(check)
}

func (e *examination) add(k check) {
	e.Well = e.Well && k.Status != checkFailed
	e.Checks = append(e.Checks, k)
	if e.show != nil {
		e.show(k)
	}
}

// result adds a check that is well unless there is an error.
func (e *examination) result(name, detail string, err error, advice string) {
	if err != nil {
		e.add(check{name, checkFailed, err.Error(), advice})
		return
	}
	e.add(check{name, checkOK, detail, ""})
}

// examine runs all checks. An error says that the examination came to no end.
func (e *examination) examine(ctx context.Context, runs string) error {
	e.chosenKernels()
	p, err := newProbe()
	if err != nil {
		return err
	}
	if err := e.kernels(ctx, p, kernel.Available(), openKernels); err != nil {
		return err
	}
	if err := e.gpus(ctx, p); err != nil {
		return err
	}
	detail, err := embeddedData()
	e.result("embedded data", detail, err, "this binary is damaged: build or download it again")
	detail, err = writeRun(runs, p)
	e.result("a run's folder", detail, err, "make room or give write permission, or name another folder: gcnn train --out DIR")
	return context.Cause(ctx)
}

// chosenKernels checks that trainings find the kernels that they are told to take.
func (e *examination) chosenKernels() {
	d, why, err := openDevice("cpu", choice{precision: train.Float32})
	if err != nil {
		e.add(check{"kernels in use", checkFailed, err.Error(), "unset GCNN_CPU: the fastest kernels are then chosen"})
		return
	}
	defer d.Close()
	details := []string{d.Info().Model}
	for _, detail := range d.Info().Details {
		details = append(details, detail.Key+": "+detail.Value)
	}
	e.add(check{"kernels in use", checkOK, strings.Join(details, ", ") + why, ""})
}

// embeddedData reads the embedded set, which checks its sha256.
func embeddedData() (string, error) {
	training, test, err := fashionmnist.Load()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %s training and %s test images, sha256 as published", fashionmnist.Name, thousands(training.Len()), thousands(test.Len())), nil
}

// writeRun makes a run's folder in runs, or where that does not exist yet in the folder that is to hold it, writes and reads a
// checkpoint there, and takes all of it away.
func writeRun(runs string, p *probe) (detail string, err error) {
	parent := filepath.Clean(runs)
	for {
		info, err := os.Stat(parent)
		if err == nil && !info.IsDir() {
			return "", fmt.Errorf("%s is no folder", parent)
		}
		if err == nil {
			break
		}
		if up := filepath.Dir(parent); errors.Is(err, fs.ErrNotExist) && up != parent {
			parent = up
			continue
		}
		return "", err
	}
	dir, err := os.MkdirTemp(parent, ".gcnn-doctor-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	folder, err := train.CreateFolder(dir, "doctor", time.Now(), false)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	if _, err := train.CreateFolder(dir, "doctor", time.Now(), false); !errors.Is(err, train.ErrLocked) {
		return "", fmt.Errorf("%s: its file system locks no files: two trainings could write into one folder (%w)", parent, err)
	}
	path := folder.File(train.CheckpointFile)
	if err := train.WriteCheckpoint(path, train.Checkpoint{State: device.State{Weights: p.Weights}}); err != nil {
		return "", err
	}
	read, err := train.ReadCheckpoint(path)
	if err != nil {
		return "", err
	}
	if name := differing(p.Weights, read.State.Weights); name != "" {
		return "", fmt.Errorf("%s: %s was read with other bits than were written", parent, name)
	}
	if err := atomicfile.RemoveTemporary(dir); err != nil {
		return "", err
	}
	return fmt.Sprintf("a checkpoint was locked, written, flushed and read in %s", parent), nil
}

// differing names a tensor whose bits differ; "" is none.
func differing(a, b map[string]*tensor.Dense) string {
	for name, t := range a {
		if d, err := largestDifference(t, b[name]); err != nil || d.bits {
			return name
		}
	}
	return ""
}
