package main

import (
	"fmt"
	"text/tabwriter"

	"gcnn/data"
)

// describe prints what a run would do.
func (r *trainRun) describe() error {
	config, err := r.settings.Marshal()
	if err != nil {
		return err
	}
	fmt.Fprintf(r.out, "# settings\n%s\n", config)
	outline, err := r.device.Outline(r.net, r.plan)
	if err != nil {
		return fmt.Errorf("device %s: %w", r.device.Info().Name, err)
	}
	tw := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	total := int64(0)
	fmt.Fprintln(tw, "# memory on the device\t")
	for _, m := range outline.Memory {
		fmt.Fprintf(tw, "%s\t%s\t\n", m.Use, bytesText(m.Bytes))
		total += m.Bytes
	}
	for _, s := range []*data.Set{r.train, r.validation} {
		if s == nil {
			continue
		}
		n := int64(len(s.Pixels) + 4*len(s.Floats) + 2*len(s.Labels))
		fmt.Fprintf(tw, "%s\t%s\t\n", s.Name, bytesText(n))
		total += n
	}
	fmt.Fprintf(tw, "total\t%s\t\n", bytesText(total))
	if err := tw.Flush(); err != nil {
		return err
	}
	steps := (r.train.Len() + r.settings.BatchSize - 1) / r.settings.BatchSize
	fmt.Fprintf(r.out, "\n# plan of a step on %s; %s of %s steps\n", r.device.Info().Name, plural(r.settings.Epochs, "epoch"), thousands(steps))
	tw = tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	for _, t := range outline.Tasks {
		fmt.Fprintf(tw, "%s\t%s\t%s FLOP\n", t.Name, t.Kernel, thousands(t.FLOPs))
	}
	return tw.Flush()
}
