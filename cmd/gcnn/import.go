package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"gcnn/model"
	"gcnn/train"
	"gcnn/weights/keras"
	"gcnn/weights/onnx"
)

func importCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "make a weights file of gcnn from an ONNX file or a Keras model",
		ArgsUsage: "FILE",
		Description: `FILE.onnx is what gcnn, PyTorch (torch.onnx.export) or Keras
(model.export(format="onnx")) wrote of a network of gcnn's layers. FILE.json
is model.to_json() of Keras 3, with its weights in --weights, by
variable.path:

  open("m.json", "w").write(m.to_json())
  numpy.savez("m.npz", **{v.path: v.numpy() for v in m.weights})

A node or layer that gcnn's cannot express is an error that names it. Height,
width and channels must be fixed.

What is done to the input before the first layer becomes the normalisation.
Where a file does nothing, pixels are divided by 255, and --mean and --std may
say more, as PyTorch's Normalize does: (v/255 − mean)/std. For a network that
wants 0 to 255, that is --std 0.00392156862745.

Examples:
  gcnn import model.onnx --softmax --class-names cat,dog
  gcnn import m.onnx --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  gcnn import m.json --weights m.npz
  gcnn predict model.safetensors picture.jpg`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE` (default: NAME.safetensors here)"},
			&cli.StringFlag{Name: "weights", Usage: "of a Keras model: an NPZ or safetensors `FILE` (default: NAME.npz)"},
			&cli.BoolFlag{Name: "softmax", Usage: "end a network of logits or log-softmax in softmax"},
			&cli.StringFlag{Name: "mean", Usage: "`M,…` of each channel, or one for all, in [0, 1]"},
			&cli.StringFlag{Name: "std", Usage: "`S,…` of each channel, or one for all"},
			&cli.StringFlag{Name: "class-names", Usage: "`NAME,…` of the outputs, in order"},
		},
		Action: importNetwork,
	}
}

func importNetwork(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("import takes one FILE, got %d arguments", c.NArg())
	}
	file := c.Args().First()
	m, err := readModel(c, file)
	if err != nil {
		return err
	}
	if c.IsSet("mean") || c.IsSet("std") {
		if m.Normalization, err = normalizationFlags(c, m.Network.Input[2]); err != nil {
			return err
		}
	}
	if names := c.String("class-names"); names != "" {
		m.Classes = strings.Split(names, ",")
		if n := m.Network.Output().Size(); len(m.Classes) != n {
			return usagef("--class-names has %d names, the network %d outputs", len(m.Classes), n)
		}
	}
	t := train.Trained{
		Network: m.Network, Weights: m.Weights, Classes: m.Classes, Normalization: m.Normalization, Data: m.Metadata["data"], Version: version(),
	}
	if epoch := m.Metadata["epoch"]; epoch != "" {
		if n, err := strconv.Atoi(epoch); err == nil && n > 0 {
			t.Epoch = n
		}
	}
	path := c.String("output")
	if path == "" {
		base := filepath.Base(file)
		path = strings.TrimSuffix(base, filepath.Ext(base)) + ".safetensors"
	}
	if err := t.Write(path); err != nil {
		return err
	}
	for _, note := range m.Notes {
		fmt.Fprintf(c.App.ErrWriter, "gcnn: %s: %s\n", file, note)
	}
	s := m.Network.Summarize()
	fmt.Fprintf(c.App.Writer, "%s: input %v, output %v, %s parameters\n", path, m.Network.Input, m.Network.Output(), thousands(s.Params))
	return nil
}

// readModel reads an ONNX file, or a Keras model by the end of its name.
func readModel(c *cli.Context, file string) (*onnx.Model, error) {
	stem, isKeras := strings.CutSuffix(file, ".json")
	arrays := c.String("weights")
	if !isKeras {
		if arrays != "" {
			return nil, usagef("--weights goes with a Keras model, FILE.json")
		}
		return onnx.ReadFile(file, onnx.Options{Softmax: c.Bool("softmax")})
	}
	if arrays == "" {
		arrays = stem + ".npz"
	}
	m, err := keras.ReadFiles(file, arrays, keras.ImportOptions{Softmax: c.Bool("softmax")})
	if err != nil {
		return nil, err
	}
	return &onnx.Model{Network: m.Network, Weights: m.Weights, Normalization: m.Normalization, Notes: m.Notes}, nil
}

// normalizationFlags reads --mean and --std; one that is not given is 0 or 1.
func normalizationFlags(c *cli.Context, channels int) (model.Normalization, error) {
	z := model.Normalization{Mean: make([]float32, channels), Std: make([]float32, channels)}
	for i := range z.Std {
		z.Std[i] = 1
	}
	for name, to := range map[string][]float32{"mean": z.Mean, "std": z.Std} {
		if !c.IsSet(name) {
			continue
		}
		parts := strings.Split(c.String(name), ",")
		if len(parts) != 1 && len(parts) != channels {
			return z, usagef("--%s has %d numbers, the network %d channels", name, len(parts), channels)
		}
		for i := range to {
			v, err := strconv.ParseFloat(strings.TrimSpace(parts[min(i, len(parts)-1)]), 32)
			if err != nil {
				return z, usagef("--%s: %q is no number", name, parts[min(i, len(parts)-1)])
			}
			to[i] = float32(v)
		}
	}
	if err := z.Check(channels); err != nil {
		return z, usagef("--mean and --std: %w", err)
	}
	return z, nil
}
