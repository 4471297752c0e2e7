package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"gcnn/data"
	"gcnn/data/catalog"
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
		Usage: "list, fetch, check and look at data sets",
		Subcommands: []*cli.Command{
			dataListCommand(), dataFetchCommand(),
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
				Description: `Of class folders these are some of each class.

Examples:
  gcnn data show --out grid.png
  gcnn data show --split test --rows 4 --columns 12 --out grid.png
  gcnn data show --augment 'flip: random, shift: 3, rotate: 15' --epoch 2`,
				Flags: append(slices.Clone(sourceFlags),
					&cli.StringFlag{Name: "split", Value: "train", Usage: "train or test"},
					&cli.StringFlag{Name: "out", Value: train.SamplesFile, Usage: "the PNG `FILE` to write"},
					&cli.IntFlag{Name: "rows", Value: sampleRows, Usage: "of the grid, up to 100"},
					&cli.IntFlag{Name: "columns", Value: sampleRows, Usage: "of the grid, up to 100"},
					&cli.StringFlag{Name: "augment", Usage: "draw what training with this augmentation sees, as YAML: 'flip: random, shift: 2'"},
					&cli.IntFlag{Name: "epoch", Value: 1, Usage: "the epoch of the augmentation"},
					&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "the seed of the augmentation"},
				),
				Action: func(c *cli.Context) error {
					if err := noArguments(c); err != nil {
						return err
					}
					if rows, columns := c.Int("rows"), c.Int("columns"); min(rows, columns) < 1 || max(rows, columns) > 100 || c.Int("epoch") < 1 {
						return usagef("--rows and --columns are from 1 to 100 and --epoch is at least 1, got %d, %d and %d", rows, columns, c.Int("epoch"))
					}
					folder, err := pictureFlags(c)
					if err != nil {
						return err
					}
					set, err := openSplit(c.String("data"), c.String("split"), folder)
					if err != nil {
						return err
					}
					if set, err = augmented(c, set); err != nil {
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

// augmented makes of the images that are drawn what training sees of them.
func augmented(c *cli.Context, set *data.Set) (*data.Set, error) {
	if c.String("augment") == "" {
		return set, nil
	}
	var s train.Settings
	if err := s.Set("augment", "--augment", inBraces(c.String("augment"))); err != nil {
		return nil, usageError{err}
	}
	augment, err := s.Augment.Device()
	if err != nil {
		return nil, usageError{err}
	}
	if set, err = set.Limit(c.Int("rows") * c.Int("columns")); err != nil {
		return nil, err
	}
	if set.Pixels == nil {
		return nil, fmt.Errorf("%s: it holds floats; only bytes can be shown augmented", set.Name)
	}
	out := *set
	out.Name = fmt.Sprintf("%s in epoch %d", set.Name, c.Int("epoch"))
	out.Pixels = make([]uint8, len(set.Pixels))
	src, dst := make([]float32, set.ImageSize()), make([]float32, set.ImageSize())
	for i := range set.Len() {
		for k, v := range set.Image(i) {
			src[k] = float32(v) / 255
		}
		change := augment.Draw(c.Uint64("seed"), c.Int("epoch")-1, int32(i), set.Height, set.Width)
		change.Apply(dst, src, set.Height, set.Width, set.Channels, true)
		for k, v := range dst {
			out.Image(i)[k] = uint8(v*255 + 0.5)
		}
	}
	return &out, nil
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
	train, test, err := catalog.Open(name, folder)
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
