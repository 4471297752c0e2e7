package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"gcnn/model"
	"gcnn/train"
)

func modelCommand() *cli.Command {
	return &cli.Command{
		Name:  "model",
		Usage: "list presets, print one as YAML to start from",
		Subcommands: []*cli.Command{
			{
				Name:  "list",
				Usage: "list the presets",
				Action: func(c *cli.Context) error {
					if err := noArguments(c); err != nil {
						return err
					}
					for _, name := range model.Presets() {
						net, err := model.Preset(name, nil, 10)
						if err != nil {
							return err
						}
						s := net.Summarize()
						fmt.Fprintf(c.App.Writer, "%-10s input %-10v %12s parameters %16s FLOPs a sample\n",
							name, net.Input, thousands(s.Params), thousands(s.FLOPs))
					}
					return nil
				},
			},
			{
				Name:      "show",
				Usage:     "print a network as a model file",
				ArgsUsage: "MODEL",
				Description: `MODEL is a preset, a model file or a run.

Examples:
  gcnn model show lenet5 > my.yaml
  gcnn train --model my.yaml`,
				Flags: []cli.Flag{classesFlag},
				Action: func(c *cli.Context) error {
					if c.NArg() != 1 {
						return usagef("model show takes one MODEL, got %d arguments", c.NArg())
					}
					net, err := anyModel(c, c.Args().First())
					if err != nil {
						return err
					}
					text, err := model.Marshal(net)
					if err != nil {
						return err
					}
					_, err = c.App.Writer.Write(text)
					return err
				},
			},
			{
				Name:  "schema",
				Usage: "print a JSON Schema of model files, for editors",
				Action: func(c *cli.Context) error {
					if err := noArguments(c); err != nil {
						return err
					}
					text, err := model.Schema()
					if err != nil {
						return err
					}
					_, err = c.App.Writer.Write(text)
					return err
				},
			},
		},
	}
}

// anyModel makes a network of a preset's name, a model file or a run.
func anyModel(c *cli.Context, name string) (*model.Network, error) {
	if isRun(name) {
		if err := ownClasses(c); err != nil {
			return nil, err
		}
		t, err := train.ReadTrained(name)
		return t.Network, err
	}
	return openModel(c, name)
}

func presetList() string { return strings.Join(model.Presets(), ", ") }
