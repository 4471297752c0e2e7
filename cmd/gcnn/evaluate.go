package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"gcnn/data"
	"gcnn/report"

	"gcnn/internal/atomicfile"
)

func evaluateCommand() *cli.Command {
	return &cli.Command{
		Name:      "evaluate",
		Usage:     "loss, accuracy and the errors of each class",
		ArgsUsage: "[RUN]",
		Description: `RUN is a run's folder or a weights file of gcnn. It is evaluated on the test
set of the data that it was trained on, or of --data.

Examples:
  gcnn evaluate runs/cnn-20260101-120000
  gcnn evaluate --model lenet5 --weights keras.npz
  gcnn evaluate runs/mine --data ~/mnist --json
  gcnn evaluate runs/mine --confusion confusion.png --mistakes mistakes.png`,
		Flags: append(append(append([]cli.Flag{}, trainedFlags...), deviceFlags...),
			&cli.StringFlag{Name: "data", DefaultText: "that of the training, or " + defaultData, Usage: dataUsage},
			&cli.BoolFlag{Name: "skip-bad", Usage: "leave out pictures that cannot be read"},
			&cli.StringFlag{Name: "split", Value: "test", Usage: "test or train: the images to evaluate on"},
			&cli.IntFlag{Name: "batch-size", Value: 256, Usage: "images at a time"},
			&cli.StringFlag{Name: "confusion", Usage: "draw the confusion matrix into a PNG `FILE`"},
			&cli.StringFlag{Name: "mistakes", Usage: "draw the first images that are predicted wrong into a PNG `FILE`"},
			jsonFlag),
		Action: func(c *cli.Context) error {
			run, _, err := oneRun(c)
			if err != nil {
				return err
			}
			ctx, stop := untilSignal(c.Context)
			defer stop()
			return evaluate(ctx, c, run)
		},
	}
}

const defaultData = "fashion-mnist"

func evaluate(ctx context.Context, c *cli.Context, run string) error {
	trained, err := openTrained(c, run)
	if err != nil {
		return err
	}
	name := c.String("data")
	if name == "" {
		name = trained.Data
	}
	if name == "" {
		name = defaultData
	}
	set, err := openSplit(name, c.String("split"), pictures(trained.Network.Input, c.Bool("skip-bad"), c.App.ErrWriter))
	if err != nil {
		return err
	}
	outputs, err := trained.Network.Classes()
	if err != nil {
		return err
	}
	if set, err = withClassesOf(set, trained.Classes, outputs); err != nil {
		return err
	}
	s, err := openSession(c, trained, c.Int("batch-size"))
	if err != nil {
		return err
	}
	defer s.close()
	resident, err := s.program.Load(set)
	if err != nil {
		return err
	}
	defer resident.Close()
	result, err := s.program.Evaluate(ctx, resident)
	if err != nil {
		return err
	}
	predicted, err := winners(result.Probabilities)
	if err != nil {
		return err
	}
	scores := score(set, predicted)
	scores.Loss, scores.Accuracy = result.Loss(), result.Accuracy()
	if err := drawErrors(c, set, predicted, scores); err != nil {
		return err
	}
	if c.Bool("json") {
		return writeJSON(c.App.Writer, scores)
	}
	scores.write(c.App.Writer, columns(c.App.Writer))
	return nil
}

// drawErrors writes the pictures that were asked for.
func drawErrors(c *cli.Context, set *data.Set, predicted []int, s scores) error {
	pictures := []struct {
		flag string
		draw func(io.Writer) error
	}{
		{"confusion", func(w io.Writer) error {
			return report.Confusion(w, fmt.Sprintf("%s: accuracy %.4f", set.Name, s.Accuracy), s.Confusion, set.Classes)
		}},
		{"mistakes", func(w io.Writer) error { return report.Mistakes(w, set, predicted, predictionRows, predictionRows) }},
	}
	for _, p := range pictures {
		if file := c.String(p.flag); file != "" {
			if err := atomicfile.Write(file, 0o666, p.draw); err != nil {
				return err
			}
		}
	}
	return nil
}
