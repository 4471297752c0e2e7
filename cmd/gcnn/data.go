package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"gcnn/data"
	"gcnn/internal/atomicfile"
	"gcnn/report"
	"gcnn/train"
)

func dataCommand() *cli.Command {
	sourceFlags := []cli.Flag{
		&cli.StringFlag{Name: "data", Value: defaultData, Usage: dataUsage},
		&cli.StringFlag{Name: "input", Value: "[64, 64, 3]", Usage: "height, width and channels that pictures are read as"},
		&cli.BoolFlag{Name: "skip-bad", Usage: "leave out pictures that cannot be read"},
	}
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
				Flags: sourceFlags,
				Action: func(c *cli.Context) error {
					if err := noArguments(c); err != nil {
						return err
					}
					folder, err := pictureFlags(c)
					if err != nil {
						return err
					}
					return verifyData(c.App.Writer, c.String("data"), folder)
				},
			},
			{
				Name:  "show",
				Usage: "draw the first images with their class names",
				Description: `Examples:
  gcnn data show --out grid.png
  gcnn data show --split test --rows 4 --columns 12 --out grid.png`,
				Flags: append(slices.Clone(sourceFlags),
					&cli.StringFlag{Name: "split", Value: "train", Usage: "train or test"},
					&cli.StringFlag{Name: "out", Value: train.SamplesFile, Usage: "the PNG `FILE` to write"},
					&cli.IntFlag{Name: "rows", Value: sampleRows},
					&cli.IntFlag{Name: "columns", Value: sampleRows},
				),
				Action: func(c *cli.Context) error {
					if err := noArguments(c); err != nil {
						return err
					}
					folder, err := pictureFlags(c)
					if err != nil {
						return err
					}
					set, err := openSplit(c.String("data"), c.String("split"), folder)
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

// pictureFlags says how a folder of pictures is read.
func pictureFlags(c *cli.Context) (data.Folder, error) {
	var s train.Settings
	if err := s.Set("input", "--input", c.String("input")); err != nil {
		return data.Folder{}, usageError{err}
	}
	shape, err := s.PictureShape()
	if err != nil {
		return data.Folder{}, usageError{err}
	}
	return pictures(shape, c.Bool("skip-bad"), c.App.ErrWriter), nil
}

// verifyData reads a set, which checks it, and counts its images.
func verifyData(w io.Writer, name string, folder data.Folder) error {
	train, test, err := openData(name, folder)
	if err != nil {
		return err
	}
	sets := []*data.Set{train}
	if test != nil {
		sets = append(sets, test)
	}
	for _, set := range sets {
		fmt.Fprintf(w, "%s: %s images of %d×%d×%d\n", set.Name, thousands(set.Len()), set.Height, set.Width, set.Channels)
	}
	width := len("class")
	for _, c := range train.Classes {
		width = max(width, utf8.RuneCountInString(c))
	}
	fmt.Fprint(w, pad("class", width))
	counts := make([][]int, len(sets))
	for k, set := range sets {
		fmt.Fprintf(w, "  %8s", set.Name[strings.LastIndex(set.Name, " ")+1:])
		counts[k] = make([]int, len(train.Classes))
		for _, l := range set.Labels {
			counts[k][l]++
		}
	}
	fmt.Fprintln(w)
	for i, class := range train.Classes {
		fmt.Fprint(w, pad(class, width))
		for k := range sets {
			fmt.Fprintf(w, "  %8d", counts[k][i])
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "all files are whole and consistent")
	return nil
}
