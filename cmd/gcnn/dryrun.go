package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"gcnn/data"
	"gcnn/device"
)

// describe prints what a run would do.
func (r *trainRun) describe() error {
	config, err := r.settings.Marshal()
	if err != nil {
		return err
	}
	fmt.Fprintf(r.out, "# settings\n%s\n", config)
	sets := []*data.Set{r.train}
	if r.validation != nil {
		sets = append(sets, r.validation)
	}
	outline, err := r.device.Outline(r.net, r.plan, sets...)
	if err != nil {
		return fmt.Errorf("device %s: %w", r.device.Info().Name, err)
	}
	memory := outline.Memory
	for _, s := range outline.Sets {
		if !s.Streamed {
			memory = append(memory, device.Memory{Use: s.Set, Bytes: s.Bytes})
		}
	}
	fmt.Fprintf(r.out, "# memory of %s\n", r.device.Info().Name)
	if err := writeMemory(r.out, memory); err != nil {
		return err
	}
	for _, s := range outline.Sets {
		if s.Streamed {
			fmt.Fprintf(r.out, "%s is streamed, for it takes %s\n", s.Set, bytesText(s.Bytes))
		}
	}
	steps := (r.train.Len() + r.settings.BatchSize - 1) / r.settings.BatchSize
	fmt.Fprintf(r.out, "\n# a step on %s; %s of %s\n", r.device.Info().Name, plural(r.settings.Epochs, "epoch"), plural(steps, "step"))
	return writePlan(r.out, outline.Tasks)
}

// writeMemory prints what a program takes.
func writeMemory(w io.Writer, memory []device.Memory) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	total := int64(0)
	for _, m := range memory {
		fmt.Fprintf(tw, "%s\t%s\t\n", m.Use, bytesText(m.Bytes))
		total += m.Bytes
	}
	fmt.Fprintf(tw, "total\t%s\t\n", bytesText(total))
	return tw.Flush()
}

// writePlan prints the tasks of a step.
func writePlan(w io.Writer, tasks []device.Task) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	total := int64(0)
	for _, t := range tasks {
		total += t.FLOPs
		kernel := t.Kernel
		if t.Why != "" {
			kernel += " (" + t.Why + ")"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s FLOP\n", t.Name, kernel, thousands(t.FLOPs))
	}
	fmt.Fprintf(tw, "%s\t\t%s FLOP\n", plural(len(tasks), "task"), thousands(total))
	return tw.Flush()
}
