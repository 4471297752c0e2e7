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
	fmt.Fprintln(tw, "seconds\tshare\tcalls\tGFLOP/s\t  task")
	for _, t := range tasks {
		rate := "–"
		if t.FLOPs > 0 && t.Seconds > 0 {
			rate = fmt.Sprintf("%.1f", float64(t.FLOPs)*float64(t.Calls)/t.Seconds/1e9)
		}
		fmt.Fprintf(tw, "%.3f\t%.1f %%\t%s\t%s\t  %s\n", t.Seconds, 100*t.Seconds/max(total, 1e-9), thousands(t.Calls), rate, t.Name)
	}
	fmt.Fprintf(tw, "%.3f\t\t\t%.1f\t  all; GFLOP/s are those of one worker\n", total, flops/max(total, 1e-9)/1e9)
	return tw.Flush()
}
