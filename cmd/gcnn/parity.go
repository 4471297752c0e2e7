package main

import (
	"errors"
	"strings"

	"github.com/urfave/cli/v2"

	"gcnn/data/catalog"
	"gcnn/device"
	"gcnn/device/parity"
	"gcnn/model"
	"gcnn/train"
)

// errBeyond is the end of a comparison that found an error beyond its bound.
var errBeyond = errors.New("there are errors beyond their bound (marked with an exclamation mark)")

func parityCommand() *cli.Command {
	return &cli.Command{
		Name:  "parity",
		Usage: "compare devices with the float64 reference",
		Description: `The same weights and images go to each device and to the reference: the
largest errors of each layer's output and gradients, absolute and as a share of
what float32 may differ by, then the drift of the weights over training steps.
Exit code 1 where an error is beyond its bound.

Examples:
  gcnn parity
  gcnn parity --model lenet5 --devices cpu,cuda --batch-size 32 --steps 5`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Value: "cnn", Usage: "a preset (" + presetList() + ") or a YAML `FILE`"},
			&cli.StringFlag{Name: "devices", Value: "cpu", Usage: "one `DEVICE` or more, with commas: " + deviceUsage},
			&cli.StringFlag{Name: "data", Value: defaultData, Usage: dataUsage},
			&cli.IntFlag{Name: "batch-size", Aliases: []string{"batch"}, Value: 8, Usage: "images of a step"},
			&cli.IntFlag{Name: "steps", Value: 3, Usage: "training steps"},
			&cli.IntFlag{Name: "workers", DefaultText: "one for each core", Usage: "CPU threads"},
			&cli.BoolFlag{Name: "exact", Usage: exactUsage},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "of initial weights, dropout and augmentation"},
			jsonFlag,
		},
		Action: compareDevices,
	}
}

func compareDevices(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	ctx, stop := untilSignal(c.Context)
	defer stop()
	s := train.NewSettings(c.String("model"))
	s.Data, s.BatchSize, s.Seed = c.String("data"), c.Int("batch-size"), c.Uint64("seed")
	s.Exact = c.Bool("exact")
	shape, err := s.PictureShape()
	if err != nil {
		return err
	}
	set, _, err := catalog.Open(s.Data, pictures(shape, false, c.App.ErrWriter))
	if err != nil {
		return err
	}
	net, err := s.MakeNetwork(model.Shape{set.Height, set.Width, set.Channels}, len(set.Classes))
	if err != nil {
		return err
	}
	plan, err := s.Plan(model.Normalization{}, set.Classes)
	if err != nil {
		return usageError{err}
	}
	weights, err := train.InitialWeights(net, s.Seed, set, plan.Normalization)
	if err != nil {
		return err
	}
	var devices []device.Device
	for name := range strings.SplitSeq(c.String("devices"), ",") {
		d, _, err := openDevice(strings.TrimSpace(name), choice{workers: c.Int("workers"), precision: train.Float32})
		if err != nil {
			return err
		}
		defer d.Close()
		devices = append(devices, d)
	}
	report, err := parity.Compare(ctx, parity.Case{
		Net: net, Weights: weights, Set: set, Normalization: plan.Normalization, Training: *plan.Training, Exact: plan.Exact,
		Rate: float32(s.LearningRate), Batch: s.BatchSize, Steps: c.Int("steps"),
	}, devices...)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = writeJSON(c.App.Writer, report)
	} else {
		err = report.WriteTable(c.App.Writer)
	}
	if err == nil && !report.Within {
		err = errBeyond
	}
	return err
}
