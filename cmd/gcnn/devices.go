package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"gcnn/device"
)

func devicesCommand() *cli.Command {
	return &cli.Command{
		Name:  "devices",
		Usage: "list the devices that can train",
		Description: `Examples:
  gcnn devices
  gcnn devices --json | jq '.[].name'
  gcnn devices --device cuda || echo no GPU`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "device", Usage: "list one `KIND` only: cuda, cpu or reference; fail where none can be used"},
			jsonFlag,
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return listDevices(c.App.Writer, c.String("device"), c.Bool("json"))
		},
	}
}

var jsonFlag = &cli.BoolFlag{Name: "json", Usage: "print JSON"}

// listedDevice is a device, or why there is none of a kind.
type listedDevice struct {
	Name        string            `json:"name"`
	Model       string            `json:"model,omitempty"`
	Details     map[string]string `json:"details,omitempty"`
	Unavailable string            `json:"unavailable,omitempty"`
	order       []device.Detail
}

// errNoDevice is returned where none of the kind asked for can be used; the list says why.
var errNoDevice = errors.New("no such device can be used")

// listDevices prints the devices of one kind, or of all kinds for the empty name.
func listDevices(w io.Writer, kind string, asJSON bool) error {
	kinds := backends()
	if kind != "" {
		kinds = slices.DeleteFunc(kinds, func(b backend) bool { return b.name != kind })
		if len(kinds) == 0 {
			return usagef("--device of devices is cuda, cpu or reference, got %q", kind)
		}
	}
	var list []listedDevice
	for _, b := range kinds {
		n, err := b.count()
		if err != nil {
			list = append(list, listedDevice{Name: b.name, Unavailable: err.Error()})
			continue
		}
		for i := range n {
			d, err := describe(b, i)
			if err != nil {
				d = listedDevice{Name: fmt.Sprintf("%s:%d", b.name, i), Unavailable: err.Error()}
			}
			list = append(list, d)
		}
	}
	if err := printDevices(w, list, asJSON); err != nil {
		return err
	}
	usable := func(d listedDevice) bool { return d.Unavailable == "" }
	if kind != "" && !slices.ContainsFunc(list, usable) {
		return fmt.Errorf("%s: %w", kind, errNoDevice)
	}
	return nil
}

func printDevices(w io.Writer, list []listedDevice, asJSON bool) error {
	if asJSON {
		return writeJSON(w, list)
	}
	for _, d := range list {
		text := fill(strings.Fields(d.Model+d.Unavailable), "           ", columns(w))
		fmt.Fprintf(w, "%-10s %s\n", d.Name, strings.TrimSpace(text))
		for _, detail := range d.order {
			fmt.Fprintf(w, "           %s: %s\n", detail.Key, detail.Value)
		}
	}
	return nil
}

func describe(b backend, index int) (listedDevice, error) {
	info, err := b.describe(index)
	if err != nil {
		return listedDevice{}, err
	}
	l := listedDevice{Name: info.Name, Model: info.Model, Details: map[string]string{}, order: info.Details}
	for _, detail := range info.Details {
		l.Details[detail.Key] = detail.Value
	}
	return l, nil
}

// writeJSON prints a value as indented JSON.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
