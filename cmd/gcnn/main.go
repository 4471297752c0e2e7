// Command gcnn trains convolutional neural networks for image classification.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"gcnn/data"
)

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// Exit codes.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // as a shell reports SIGINT
	exitTerminated  = 143 // as a shell reports SIGTERM
)

// usageError is an error in how the command was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run is main without the process: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	app := newApp()
	app.Writer, app.ErrWriter = stdout, stderr
	var err error
	if cut := data.Reading(func() { err = app.Run(flagsFirst(app, args)) }); cut != nil {
		err = cut
	}
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.Is(err, errTerminated):
		return exitTerminated
	}
	fmt.Fprintf(stderr, "gcnn: %v\n", err)
	if errors.As(err, &usage) {
		fmt.Fprintln(stderr, "gcnn: see gcnn help, or gcnn COMMAND --help")
		return exitUsage
	}
	return exitFailure
}

func newApp() *cli.App {
	app := &cli.App{
		Name:      "gcnn",
		Usage:     "train convolutional neural networks for image classification",
		UsageText: "gcnn COMMAND [OPTIONS] [ARGUMENTS]; gcnn COMMAND --help tells more",
		Version:   version(),
		Description: `Start with:

  gcnn train                        the lesson's network on Fashion-MNIST
  gcnn train --model lenet5         its second one
  gcnn evaluate runs/cnn-…          precision, recall, confusion matrix
  gcnn predict runs/cnn-… shirt.jpg what is it?`,
		Commands: []*cli.Command{
			trainCommand(), evaluateCommand(), predictCommand(), exportCommand(), importCommand(), summaryCommand(), modelCommand(), configCommand(), dataCommand(), devicesCommand(), doctorCommand(), parityCommand(),
			completionCommand(),
		},
		EnableBashCompletion:   true,
		UseShortOptionHandling: false,
		Suggest:                true,
		HideHelpCommand:        false,
		ExitErrHandler:         func(*cli.Context, error) {}, // run decides
		OnUsageError:           onUsageError,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("there is no command %q", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range app.Commands {
		strict(c)
	}
	cli.HelpPrinter = printHelp
	return app
}

// onUsageError says "expected a number" where package flag says "parse error".
func onUsageError(_ *cli.Context, err error, _ bool) error {
	if text, ok := strings.CutSuffix(err.Error(), ": parse error"); ok {
		return usagef("%s: expected a number", text)
	}
	return usageError{err}
}

// strict makes a command and its subcommands report wrong usage as such.
func strict(c *cli.Command) {
	c.OnUsageError = onUsageError
	if len(c.Subcommands) == 0 {
		c.CustomHelpTemplate = commandHelp
	}
	for _, sub := range c.Subcommands {
		strict(sub)
	}
	if len(c.Subcommands) > 0 && c.Action == nil {
		c.Action = func(ctx *cli.Context) error {
			if ctx.Args().Present() {
				return usagef("%s has no command %q", c.Name, ctx.Args().First())
			}
			return cli.ShowSubcommandHelp(ctx)
		}
	}
}

// noArguments refuses arguments that a command does not take.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usagef("%s takes no argument, got %q", c.Command.Name, c.Args().First())
	}
	return nil
}
