package main

import (
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/urfave/cli/v2"

	"gcnn/data/catalog"
)

func dataListCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list the sets that have names",
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			for _, e := range catalog.List() {
				where := "gcnn data fetch " + e.Name + " --dir DIR: " + bytesText(e.Size())
				if e.Embedded {
					where = "part of gcnn"
				}
				fmt.Fprintf(c.App.Writer, "%s\n  %s\n  %s\n  licence: %s\n", e.Name, e.Description, where, e.License)
			}
			return nil
		},
	}
}

func dataFetchCommand() *cli.Command {
	return &cli.Command{
		Name:      "fetch",
		Usage:     "download a set",
		ArgsUsage: "NAME",
		Description: `Every file is checked against its sha256. What is there already is kept, and a
broken download goes on where it stopped.

Examples:
  gcnn data fetch mnist --dir ~/mnist
  gcnn train --data ~/mnist`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "dir", Usage: "the `DIR` to download into"},
			&cli.StringFlag{Name: "url", Usage: "the `URL` of a folder with the files, instead of the set's own"},
			&cli.DurationFlag{Name: "stall", Value: 30 * time.Second, Usage: "give up a connection that is silent for so long"},
			&cli.BoolFlag{Name: "quiet", Usage: "print nothing but errors"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("data fetch takes one NAME, got %d arguments; gcnn data list names them", c.NArg())
			}
			if c.String("dir") == "" {
				return usagef("data fetch needs --dir, the folder to download into")
			}
			if u, err := url.Parse(c.String("url")); c.IsSet("url") && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https")) {
				return usagef("--url is the http or https address of a folder, got %q", c.String("url"))
			}
			ctx, stop := untilSignal(c.Context)
			defer stop()
			fetcher := catalog.Fetcher{BaseURL: c.String("url"), Stall: c.Duration("stall")}
			if !c.Bool("quiet") {
				fetcher.Progress = (&download{w: c.App.Writer, terminal: isTerminal(c.App.Writer)}).show
			}
			return fetcher.Fetch(ctx, c.Args().First(), c.String("dir"))
		},
	}
}

// download shows how far files are: on a terminal a line that is redrawn, else a line for each file.
type download struct {
	w        io.Writer
	terminal bool
	drawn    time.Time
}

func (d *download) show(file string, done, total int64) {
	whole := done >= total
	switch {
	case whole && d.terminal:
		fmt.Fprintf(d.w, "\r%s %s\x1b[K\n", file, bytesText(total))
	case whole:
		fmt.Fprintf(d.w, "%s %s\n", file, bytesText(total))
	case d.terminal && time.Since(d.drawn) >= redrawEvery:
		d.drawn = time.Now()
		fmt.Fprintf(d.w, "\r%s %s of %s\x1b[K", file, bytesText(done), bytesText(total))
	}
}
