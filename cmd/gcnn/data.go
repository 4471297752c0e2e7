package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"gcnn/data"
	"gcnn/internal/atomicfile"
	"gcnn/report"
	"gcnn/train"
)

func dataCommand() *cli.Command {
	dataFlag := &cli.StringFlag{Name: "data", Value: defaultData, Usage: dataUsage}
	return &cli.Command{
		Name:  "data",
		Usage: "check and look at data sets",
		Subcommands: []*cli.Command{
			{
				Name:  "verify",
				Usage: "read a set and check all of it",
				Description: `The embedded set is checked against the sha256 of its official files.

Examples:
  gcnn data verify
  gcnn data verify --data ~/mnist`,
				Flags: []cli.Flag{dataFlag},
				Action: func(c *cli.Context) error {
					if err := noArguments(c); err != nil {
						return err
					}
					return verifyData(c.App.Writer, c.String("data"))
				},
			},
			{
				Name:  "show",
				Usage: "draw the first images with their class names",
				Description: `Examples:
  gcnn data show --out grid.png
  gcnn data show --split test --rows 4 --columns 12 --out grid.png`,
				Flags: []cli.Flag{
					dataFlag,
					&cli.StringFlag{Name: "split", Value: "train", Usage: "train or test"},
					&cli.StringFlag{Name: "out", Value: train.SamplesFile, Usage: "the PNG `FILE` to write"},
					&cli.IntFlag{Name: "rows", Value: sampleRows},
					&cli.IntFlag{Name: "columns", Value: sampleRows},
				},
				Action: func(c *cli.Context) error {
					if err := noArguments(c); err != nil {
						return err
					}
					set, err := openSplit(c.String("data"), c.String("split"))
					if err != nil {
						return err
					}
					return atomicfile.Write(c.String("out"), 0o666, func(w io.Writer) error {
						return report.Samples(w, set, c.Int("rows"), c.Int("columns"))
					})
				},
			},
		},
	}
}

// verifyData reads a set, which checks it, and counts its images.
func verifyData(w io.Writer, name string) error {
	train, test, err := openData(name)
	if err != nil {
		return err
	}
	for _, set := range []*data.Set{train, test} {
		fmt.Fprintf(w, "%s: %s images of %d×%d×%d\n", set.Name, thousands(set.Len()), set.Height, set.Width, set.Channels)
	}
	counts := [2][]int{make([]int, len(train.Classes)), make([]int, len(train.Classes))}
	for k, set := range []*data.Set{train, test} {
		for _, l := range set.Labels {
			counts[k][l]++
		}
	}
	name = "class"
	width := len(name)
	for _, c := range train.Classes {
		width = max(width, len([]rune(c)))
	}
	fmt.Fprintf(w, "%s   train    test\n", pad(name, width))
	for i, c := range train.Classes {
		fmt.Fprintf(w, "%s  %6d  %6d\n", pad(c, width), counts[0][i], counts[1][i])
	}
	fmt.Fprintln(w, "all files are whole and consistent")
	return nil
}
