package main

import (
	"github.com/urfave/cli/v2"

	"gcnn/train"
)

func configCommand() *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "what a settings file (gcnn train --config) may hold",
		Subcommands: []*cli.Command{{
			Name:  "schema",
			Usage: "print a JSON Schema of settings files, for editors",
			Action: func(c *cli.Context) error {
				if err := noArguments(c); err != nil {
					return err
				}
				text, err := train.Schema()
				if err != nil {
					return err
				}
				_, err = c.App.Writer.Write(text)
				return err
			},
		}},
	}
}
