// Package cli is what the commands under bench/ begin and end with.
package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"gcnn/bench/internal/command"
	"gcnn/bench/internal/measure"
	"gcnn/bench/internal/peer"
	"gcnn/cpu"
)

// Command is a command under bench/.
type Command struct {
	*flag.FlagSet
	Out  io.Writer // of what is found
	Log  io.Writer // of how it goes
	json bool
	args []string
}

// Main runs a command until it ends or is interrupted, and ends the process: with status 1 after an error, which is printed.
func Main(name string, run func(context.Context, *Command) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, newCommand(name, os.Args[1:], os.Stdout, os.Stderr))
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func newCommand(name string, args []string, out, log io.Writer) *Command {
	c := &Command{FlagSet: flag.NewFlagSet(name, flag.ExitOnError), Out: out, Log: log, args: args}
	c.BoolVar(&c.json, "json", false, "print JSON instead of Markdown")
	return c
}

// Parse reads the flags, besides which nothing may stand.
func (c *Command) Parse() error {
	if err := c.FlagSet.Parse(c.args); err != nil {
		return err
	}
	if c.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", c.Arg(0))
	}
	return nil
}

// Python is the repository's folder and the interpreter that has the peers, which are installed where there is none.
func (c *Command) Python() (root, python string, err error) {
	if root, err = peer.Root(); err != nil {
		return "", "", err
	}
	python, err = peer.Python(root, c.Log)
	return root, python, err
}

// Build builds gcnn in a folder of its own, which remove removes.
func (c *Command) Build(ctx context.Context) (folder, binary string, remove func(), err error) {
	root, err := peer.Root()
	if err != nil {
		return "", "", nil, err
	}
	if folder, err = os.MkdirTemp("", "gcnn-"+c.Name()+"-"); err != nil {
		return "", "", nil, err
	}
	remove = func() { _ = os.RemoveAll(folder) }
	if binary, err = command.Build(ctx, root, folder); err != nil {
		remove()
		return "", "", nil, err
	}
	return folder, binary, remove, nil
}

// Print writes what was found: v as JSON, or what markdown writes.
func (c *Command) Print(v any, markdown func(w io.Writer)) error {
	if !c.json {
		w := bufio.NewWriter(c.Out)
		markdown(w)
		return w.Flush()
	}
	e := json.NewEncoder(c.Out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Host is this machine.
func Host() (measure.Host, error) {
	d, err := cpu.Open(cpu.Options{})
	if err != nil {
		return measure.Host{}, err
	}
	return measure.NewHost(d.Info().Model), d.Close()
}
