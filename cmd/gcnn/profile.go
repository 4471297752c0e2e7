package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"text/tabwriter"

	"gcnn/device"
)

// withPprof runs do and writes a CPU profile of it, unless file is empty.
func withPprof(file string, do func() error) error {
	if file == "" {
		return do()
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", file, err), f.Close())
	}
	err = do()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

// writeProfile prints where a training's time went, the most expensive task first.
func writeProfile(w io.Writer, tasks []device.TaskTime, info device.Info) error {
	total, flops := 0.0, 0.0
	for _, t := range tasks {
		total += t.Seconds
		flops += float64(t.FLOPs) * float64(t.Calls)
	}
	slices.SortStableFunc(tasks, func(a, b device.TaskTime) int { return cmp.Compare(b.Seconds, a.Seconds) })
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\ntime on %s, summed over workers:\n", info.Name)
	fmt.Fprintln(tw, "seconds\tshare\tGFLOP/s\tof peak\t  task")
	row := func(name string, seconds, flops, peak float64) {
		rate, ofPeak := "–", "–"
		if flops > 0 && seconds > 0 {
			rate = fmt.Sprintf("%.1f", flops/seconds/1e9)
			if peak > 0 {
				ofPeak = fmt.Sprintf("%.0f %%", 100*flops/seconds/peak)
			}
		}
		fmt.Fprintf(tw, "%.3f\t%.1f %%\t%s\t%s\t  %s\n", seconds, 100*seconds/max(total, 1e-9), rate, ofPeak, name)
	}
	peak := 0.0
	for _, t := range tasks {
		row(t.Name, t.Seconds, float64(t.FLOPs)*float64(t.Calls), t.Peak)
		peak = t.Peak
	}
	row("all; GFLOP/s and peak are those of one worker", total, flops, peak)
	return tw.Flush()
}
