package main

import (
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

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
  gcnn summary runs/cnn-20260101-120000`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Value: "cnn", Usage: "a preset (" + presetList() + ") or a YAML `FILE`"},
			classesFlag, jsonFlag,
		},
		Action: func(c *cli.Context) error {
			var net *model.Network
			var err error
			if run, given, argErr := oneRun(c); argErr != nil {
				return argErr
			} else if given {
				var t train.Trained
				t, err = train.ReadTrained(run)
				net = t.Network
			} else {
				net, err = train.OpenModel(c.String("model"), nil, c.Int("classes"))
			}
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return writeJSON(c.App.Writer, net.Summarize())
			}
			return net.Summarize().Write(c.App.Writer, columns(c.App.Writer))
		},
	}
}

var classesFlag = &cli.IntFlag{Name: "classes", Value: 10, Usage: "outputs of a preset"}

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
