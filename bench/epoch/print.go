package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"gcnn/bench/internal/measure"
)

// print writes the report as Markdown.
func (r report) print(out io.Writer) {
	fmt.Fprintf(out, "%v.\n\n", r.Host)
	t := measure.Table{Head: []string{
		"network, batch", "gcnn, s", "PyTorch, s", "times as fast", "GFLOP/s", "FMA peak", "share of peak", "1 → all workers", "PyTorch's best setting",
	}}
	for _, n := range r.Rows {
		t.Add(fmt.Sprintf("`%s`, %d", n.Network, n.Batch), seconds(n.Seconds), seconds(n.Peer), fmt.Sprintf("%.1f", n.Ratio),
			fmt.Sprintf("%.0f", n.GFLOPS), fmt.Sprintf("%.0f", n.Noise.Peak), fmt.Sprintf("%.0f %%", 100*n.Share), scaling(n.Scaling), n.Setting.String())
	}
	fmt.Fprint(out, t.String())
	fmt.Fprintln(out)
	for _, n := range r.Rows {
		fmt.Fprintf(out, "`%s`: an epoch is %d images and %.4g GFLOP; medians of %d rounds, PyTorch %s; last losses %.4f and %.4f.%s\n",
			n.Network, n.Images, float64(n.FLOPs)/1e9, len(n.Noise.Seconds["gcnn"]), n.Torch, n.Loss, n.PeerLoss, n.others())
		if busy := n.Noise.Seconds[busyName]; len(busy) > 0 {
			fmt.Fprintf(out, "Beside a process that keeps one core busy: %s s, %.2f× the undisturbed time.\n",
				seconds(measure.Median(busy)), measure.Median(measure.Ratios(busy, n.Noise.Seconds["gcnn"])))
		}
		if c := n.Noise.Caution(); c != "" {
			fmt.Fprintln(out, c)
		}
	}
	fmt.Fprintf(out, "The peak is that of %s multiply-adds on all cores, measured between the turns.\n", r.Unit)
}

// others are the medians of the contestants that have no column.
func (n row) others() string {
	var names []string
	for name := range n.Noise.Seconds {
		if strings.HasPrefix(name, "Keras") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	text := ""
	for _, name := range names {
		text += fmt.Sprintf(" %s: %s s.", name, seconds(measure.Median(n.Noise.Seconds[name])))
	}
	return text
}

func seconds(s float64) string { return fmt.Sprintf("%.3g", s) }

func scaling(s float64) string {
	if s == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f×", s)
}
