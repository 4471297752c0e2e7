package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"gcnn/device"
	"gcnn/model"
	"gcnn/train"
)

func summaryCommand() *cli.Command {
	return &cli.Command{
		Name:      "summary",
		Usage:     "print a network's layers, parameters and FLOPs",
		ArgsUsage: "[RUN]",
		Description: `Prints Keras' table of a preset, a model file or the network of a run.

Examples:
  gcnn summary --model lenet5
  gcnn summary --model alexnet --classes 1000
  gcnn summary runs/cnn-20260101-120000
  gcnn summary --model alexnet --plan --memory --batch-size 128`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "model", Value: "cnn", Usage: "a preset (" + presetList() + ") or a YAML `FILE`"},
			classesFlag, jsonFlag,
			&cli.BoolFlag{Name: "plan", Usage: "also print the tasks that the device makes of a training step"},
			&cli.BoolFlag{Name: "memory", Usage: "also print the memory that training takes on the device"},
			&cli.IntFlag{Name: "batch-size", DefaultText: presetDefault, Usage: "images of a step"},
			&cli.BoolFlag{Name: "exact", Usage: exactUsage},
		}, deviceFlags...),
		Action: func(c *cli.Context) error {
			var net *model.Network
			var err error
			switch run, given, argErr := oneRun(c); {
			case argErr != nil:
				return argErr
			case given && c.IsSet("model"):
				return usagef("give either RUN or --model, not both")
			case given:
				if err := ownClasses(c); err != nil {
					return err
				}
				var t train.Trained
				t, err = train.ReadTrained(run)
				net = t.Network
			default:
				net, err = openModel(c, c.String("model"))
			}
			if err != nil {
				return err
			}
			return summarize(c, net)
		},
	}
}

// summarize prints the table, and what a device makes of the network where that is asked for.
func summarize(c *cli.Context, net *model.Network) error {
	w := c.App.Writer
	full := struct {
		model.Summary
		Plan   []device.Task   `json:"plan,omitempty"`
		Memory []device.Memory `json:"memory,omitempty"`
	}{Summary: net.Summarize()}
	var name string
	if c.Bool("plan") || c.Bool("memory") {
		outline, on, err := outlineTraining(c, net)
		if err != nil {
			return err
		}
		name = on
		if c.Bool("plan") {
			full.Plan = outline.Tasks
		}
		if c.Bool("memory") {
			full.Memory = outline.Memory
		}
	}
	if c.Bool("json") {
		return writeJSON(w, full)
	}
	if err := full.Write(w, columns(w)); err != nil {
		return err
	}
	if full.Plan != nil {
		fmt.Fprintf(w, "\nA training step on %s:\n", name)
		if err := writePlan(w, full.Plan); err != nil {
			return err
		}
	}
	if full.Memory != nil {
		fmt.Fprintf(w, "\nMemory on %s:\n", name)
		return writeMemory(w, full.Memory)
	}
	return nil
}

// outlineTraining asks a device what it would make of training a network with its preset's recipe.
func outlineTraining(c *cli.Context, net *model.Network) (outline device.Outline, name string, err error) {
	recipe := train.Preset(net.Name)
	if c.IsSet("batch-size") {
		recipe.BatchSize = c.Int("batch-size")
	}
	recipe.Exact = c.Bool("exact")
	plan, err := recipe.Plan(model.Normalization{}, nil)
	if err != nil {
		return outline, "", usageError{err}
	}
	d, _, err := openDevice(chosen(c))
	if err != nil {
		return outline, "", err
	}
	defer d.Close()
	outline, err = d.Outline(net, plan)
	return outline, d.Info().Name, err
}

var classesFlag = &cli.IntFlag{Name: "classes", Value: 10, Usage: "outputs of a preset", Action: func(_ *cli.Context, n int) error {
	if n < 1 {
		return usagef("--classes is at least 1, got %d", n)
	}
	return nil
}}

// openModel makes a preset with --classes, or reads a model file.
func openModel(c *cli.Context, name string) (*model.Network, error) {
	if !slices.Contains(model.Presets(), name) {
		if err := ownClasses(c); err != nil {
			return nil, err
		}
	}
	return train.OpenModel(name, nil, c.Int("classes"))
}

// ownClasses reports --classes beside what has classes of its own.
func ownClasses(c *cli.Context) error {
	if c.IsSet("classes") {
		return usagef("--classes is of a preset; a RUN, a weights file and a model file have classes of their own")
	}
	return nil
}

// oneRun is the argument RUN of a command that takes at most one.
func oneRun(c *cli.Context) (run string, given bool, err error) {
	if c.NArg() > 1 {
		return "", false, usagef("%s takes one RUN, got %d arguments", c.Command.Name, c.NArg())
	}
	return c.Args().First(), c.NArg() == 1, nil
}

const defaultColumns = 80

// columns is the width of a terminal, 80 for what is none.
func columns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return defaultColumns
}
