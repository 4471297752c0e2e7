package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"gcnn/data"
)

func predictCommand() *cli.Command {
	return &cli.Command{
		Name:      "predict",
		Usage:     "classify pictures",
		ArgsUsage: "RUN IMAGE…",
		Description: `RUN is a run's folder or a weights file of gcnn. Pictures are PNG, JPEG or GIF
of any size, converted to what the network reads. Fashion-MNIST is light on
dark: give --invert for things photographed before a white wall. With --weights
all arguments are pictures. --json prints one object a line, as pictures are
classified.

Examples:
  gcnn predict runs/cnn-20260101-120000 shirt.jpg boot.png
  gcnn predict --top 3 --invert runs/mine *.png
  gcnn predict --json runs/mine photos/*.jpg | jq .label`,
		Flags: append(append(append([]cli.Flag{}, trainedFlags...), deviceFlags...),
			&cli.IntFlag{Name: "top", Value: 1, Usage: "print the `N` most probable classes"},
			&cli.BoolFlag{Name: "invert", Usage: "turn light into dark, for pictures that are dark on light"},
			&cli.IntFlag{Name: "batch-size", Value: 64, Usage: "pictures at a time"},
			jsonFlag),
		Action: func(c *cli.Context) error {
			files := c.Args().Slice()
			run := ""
			if c.String("weights") == "" && len(files) > 0 {
				run, files = files[0], files[1:]
			}
			if len(files) == 0 {
				return usagef("predict takes RUN and one IMAGE or more")
			}
			if c.Int("top") < 1 {
				return usagef("--top is at least 1, got %d", c.Int("top"))
			}
			ctx, stop := untilSignal(c.Context)
			defer stop()
			return predict(ctx, c, run, files)
		},
	}
}

// prediction is a picture with its most probable classes.
type prediction struct {
	File        string       `json:"file"`
	Label       string       `json:"label"`
	Probability float32      `json:"probability"`
	Top         []likelihood `json:"top"`
}

type likelihood struct {
	Label       string  `json:"label"`
	Probability float32 `json:"probability"`
}

func predict(ctx context.Context, c *cli.Context, run string, files []string) error {
	trained, err := openTrained(c, run)
	if err != nil {
		return err
	}
	s, err := openSession(c, trained, min(len(files), c.Int("batch-size")))
	if err != nil {
		return err
	}
	defer s.close()
	widest := 0
	for _, f := range files {
		widest = max(widest, len([]rune(f)))
	}
	out := bufio.NewWriter(c.App.Writer)
	defer out.Flush()
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	failed := false
	for len(files) > 0 {
		n := min(len(files), c.Int("batch-size"))
		batch, names, errs := s.readImages(files[:n], c.Bool("invert"))
		files = files[n:]
		for _, err := range errs {
			failed = true
			fmt.Fprintf(c.App.ErrWriter, "gcnn: %v\n", err)
		}
		if len(names) == 0 {
			continue
		}
		list, err := s.classify(ctx, batch, names, c.Int("top"))
		if err != nil {
			return err
		}
		for _, p := range list {
			if c.Bool("json") {
				if err := enc.Encode(p); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(out, "%s  %s\n", pad(p.File, min(widest, 40)), p.text())
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	if failed {
		return errSome
	}
	return nil
}

func (p prediction) text() string {
	var parts []string
	for _, l := range p.Top {
		parts = append(parts, fmt.Sprintf("%s %.1f %%", l.Label, 100*l.Probability))
	}
	return strings.Join(parts, ", ")
}

// readImages decodes files on all cores and makes a set of those that could be read.
func (s *session) readImages(files []string, invert bool) (set *data.Set, names []string, errs []error) {
	input := s.trained.Network.Input
	pixels, failures := make([][]uint8, len(files)), make([]error, len(files))
	var wg sync.WaitGroup
	free := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, file := range files {
		free <- struct{}{}
		wg.Go(func() {
			pixels[i], failures[i] = data.ReadImage(file, input[0], input[1], input[2])
			<-free
		})
	}
	wg.Wait()
	set = &data.Set{Name: "pictures", Height: input[0], Width: input[1], Channels: input[2]}
	for i, file := range files {
		if failures[i] != nil {
			errs = append(errs, failures[i])
			continue
		}
		if invert {
			for k, v := range pixels[i] {
				pixels[i][k] = 255 - v
			}
		}
		set.Pixels = append(set.Pixels, pixels[i]...)
		names = append(names, file)
	}
	return set, names, errs
}

// classify predicts the classes of the pictures of a set.
func (s *session) classify(ctx context.Context, set *data.Set, names []string, top int) ([]prediction, error) {
	probabilities, err := s.program.Predict(ctx, set)
	if err != nil {
		return nil, err
	}
	list, err := rows(probabilities)
	if err != nil {
		return nil, err
	}
	var predictions []prediction
	for i, p := range list {
		order := ranked(p)
		r := prediction{File: names[i], Label: s.className(order[0]), Probability: p[order[0]]}
		for _, class := range order[:min(top, len(order))] {
			r.Top = append(r.Top, likelihood{s.className(class), p[class]})
		}
		predictions = append(predictions, r)
	}
	return predictions, nil
}
