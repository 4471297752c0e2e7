package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"gcnn/train"
	"gcnn/weights/keras"
	"gcnn/weights/onnx"
)

// exportFormat is a format to export to, with the end of its files' names.
type exportFormat struct {
	name, extension string
	write           func(t train.Trained, path string, floats bool) ([]string, error) // returns what it wrote
}

var exportFormats = []exportFormat{
	{"onnx", ".onnx", exportONNX},
	{"safetensors", ".safetensors", func(t train.Trained, path string, _ bool) ([]string, error) { return []string{path}, t.Write(path) }},
	{"npz", ".npz", func(t train.Trained, path string, _ bool) ([]string, error) { return []string{path}, t.WriteNPZ(path) }},
	{"keras-json", ".json", exportKeras},
}

func exportFormatNames() string {
	var names []string
	for _, f := range exportFormats {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write a trained network for other programs",
		ArgsUsage: "RUN",
		Description: `RUN is a run's folder or a weights file of gcnn.

onnx         for onnxruntime and the like. Input "images": uint8 [batch,
             height, width, channels], any batch; normalisation and softmax
             are inside; output "probabilities"; class names in the metadata.
safetensors  gcnn's own: weights by Keras' names, and as metadata the
             network, its classes and the normalisation.
npz          weights by Keras' names for numpy.load, and normalization/mean
             and normalization/std where they are not 0 and 1.
keras-json   keras.models.model_from_json reads the .json; the weights are in
             a .npz beside it, by variable.path. LocalResponseNormalization,
             which Keras lacks, becomes four layers.

Examples:
  gcnn export runs/mine --format onnx
  gcnn export runs/mine --format keras-json --output models/mine.json`,
		Flags: append(append([]cli.Flag{}, trainedFlags...),
			&cli.StringFlag{Name: "format", Value: "onnx", Usage: exportFormatNames()},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE` (default: RUN's name in this folder)"},
			&cli.BoolFlag{Name: "floats", Usage: "onnx, keras-json: take float32 that is not divided by 255"}),
		Action: export,
	}
}

func export(c *cli.Context) error {
	if c.NArg() > 1 {
		return usagef("export takes one RUN, got %d arguments", c.NArg())
	}
	var format exportFormat
	for _, f := range exportFormats {
		if f.name == c.String("format") {
			format = f
		}
	}
	if format.write == nil {
		return usagef("--format is one of %s, got %q", exportFormatNames(), c.String("format"))
	}
	floats := c.Bool("floats")
	if floats && format.name != "onnx" && format.name != "keras-json" {
		return usagef("--floats does not go with --format %s", format.name)
	}
	t, err := openTrained(c, c.Args().First())
	if err != nil {
		return err
	}
	path := c.String("output")
	if path == "" {
		source := c.Args().First()
		if source == "" {
			source = c.String("weights")
		}
		base := filepath.Base(filepath.Clean(source))
		path = strings.TrimSuffix(base, filepath.Ext(base)) + format.extension
	}
	written, err := format.write(t, path, floats)
	if err != nil {
		return err
	}
	for _, file := range written {
		fmt.Fprintf(c.App.Writer, "%s\n", file)
	}
	return nil
}

func exportONNX(t train.Trained, path string, floats bool) ([]string, error) {
	return []string{path}, onnx.WriteFile(path, &onnx.Model{
		Network: t.Network, Weights: t.Weights, Normalization: t.Normalization, Classes: t.Classes, Floats: floats,
		Metadata: map[string]string{"data": t.Data, "epoch": strconv.Itoa(t.Epoch), "gcnn": t.Version},
	})
}

func exportKeras(t train.Trained, path string, floats bool) ([]string, error) {
	m, err := keras.FromNetwork(t.Network, t.Weights, t.Normalization, keras.Options{Floats: floats})
	if err != nil {
		return nil, err
	}
	npz := strings.TrimSuffix(path, filepath.Ext(path)) + ".npz"
	return []string{path, npz}, m.WriteFiles(path, npz)
}
