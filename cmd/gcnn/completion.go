package main

import (
	_ "embed"

	"github.com/urfave/cli/v2"
)

//go:embed completion/gcnn.bash
var bashCompletion string

//go:embed completion/gcnn.zsh
var zshCompletion string

//go:embed completion/gcnn.fish
var fishCompletion string

func completionCommand() *cli.Command {
	shell := func(name, script, usage string) *cli.Command {
		return &cli.Command{
			Name:        name,
			Usage:       "print the completion for " + name,
			Description: usage,
			Action: func(c *cli.Context) error {
				if err := noArguments(c); err != nil {
					return err
				}
				_, err := c.App.Writer.Write([]byte(script))
				return err
			},
		}
	}
	return &cli.Command{
		Name:  "completion",
		Usage: "print a shell's completion script",
		Description: `Examples:
  source <(gcnn completion bash)
  gcnn completion zsh > "${fpath[1]}/_gcnn"
  gcnn completion fish > ~/.config/fish/completions/gcnn.fish`,
		Subcommands: []*cli.Command{
			shell("bash", bashCompletion, "Put this into ~/.bashrc:\n  source <(gcnn completion bash)"),
			shell("zsh", zshCompletion, "Once:\n  gcnn completion zsh > \"${fpath[1]}/_gcnn\""),
			shell("fish", fishCompletion, "Once:\n  gcnn completion fish > ~/.config/fish/completions/gcnn.fish"),
		},
	}
}
