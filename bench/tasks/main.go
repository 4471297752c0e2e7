// Command tasks prints the time, the GFLOP/s and the share of the FMA peak of each task of a compiled training step on the CPU.
//
//	go run ./bench/tasks                         cnn, lenet5 and vgg
//	go run ./bench/tasks -networks resnet9 -workers 1
//	go run ./bench/tasks -networks alexnet -batch 8
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"gcnn/bench/internal/cli"
	"gcnn/bench/internal/measure"
	"gcnn/bench/internal/workload"
	"gcnn/cpu"
	"gcnn/device"
)

func main() { cli.Main("tasks", run) }

// tasks is what is found about a network.
type tasks struct {
	Network string            `json:"network"`
	Seconds float64           `json:"seconds"` // of all timed epochs
	Step    float64           `json:"step"`    // seconds of a training step
	Peak1   float64           `json:"peak1"`   // of one core, GFLOP/s: seconds of tasks are summed over workers
	Tasks   []device.TaskTime `json:"tasks"`
}

func run(ctx context.Context, c *cli.Command) error {
	networks := c.String("networks", "cnn,lenet5,vgg", "which to profile")
	workers := c.Int("workers", runtime.GOMAXPROCS(0), "gcnn's workers")
	least := c.Float64("seconds", 2, "seconds to train for, in whole epochs")
	limit := c.Int("limit", 0, "train on the first N images alone")
	batch := c.Int("batch", 0, "instead of the workload's batch")
	wait := c.Duration("wait", 2*time.Minute, "how long to wait for the machine to become idle")
	force := c.Bool("force", false, "report even where the machine is busy")
	exact := c.Bool("exact", false, "without Winograd's algorithm")
	if err := c.Parse(); err != nil {
		return err
	}
	works, err := workload.Find(*networks)
	if err != nil {
		return err
	}
	if share, ok := measure.Idle(*wait); !ok && !*force {
		return fmt.Errorf("%w: other processes use %.0f %% of a core", measure.ErrNoisy, 100*share)
	}
	var all []tasks
	for _, w := range works {
		w.Limit = *limit
		if *batch > 0 {
			w.Batch = *batch
		}
		t, err := profile(ctx, w, *workers, *least, *exact)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		all = append(all, t)
	}
	return c.Print(all, func(w io.Writer) {
		for _, t := range all {
			t.print(w)
		}
	})
}

func profile(ctx context.Context, w workload.Workload, workers int, least float64, exact bool) (t tasks, err error) {
	set, err := w.Set()
	if err != nil {
		return t, err
	}
	d, err := cpu.Open(cpu.Options{Workers: workers})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	trainer, err := workload.NewTrainer(d, w, set, workload.Profile, func(p *device.Plan) { p.Exact = exact })
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, trainer.Close()) }()
	t = tasks{Network: w.Name}
	probe := func() {
		for range 10 {
			t.Peak1 = max(t.Peak1, measure.Peak(workers, 20*time.Millisecond)/float64(workers))
		}
	}
	if _, err := trainer.Epoch(ctx); err != nil { // the first touches memory for the first time
		return t, err
	}
	cold := trainer.Tasks()
	probe()
	start := time.Now()
	if _, err := trainer.Epochs(ctx, least); err != nil {
		return t, err
	}
	t.Seconds = time.Since(start).Seconds()
	t.Tasks = trainer.Tasks()
	for i := range t.Tasks {
		t.Tasks[i].Seconds -= cold[i].Seconds
		t.Tasks[i].Calls -= cold[i].Calls
	}
	t.Step = t.Seconds / float64(t.Tasks[0].Calls)
	probe()
	return t, nil
}

func (t tasks) print(out io.Writer) {
	busy := 0.0
	for _, task := range t.Tasks {
		busy += task.Seconds
	}
	table := measure.Table{Head: []string{"`" + t.Network + "`", "kernel", "share of time", "GFLOP/s a worker", "share of peak"}}
	for _, task := range t.Tasks {
		rate, share := "–", "–"
		if task.FLOPs > 0 && task.Seconds > 0 {
			r := float64(task.FLOPs) * float64(task.Calls) / task.Seconds / 1e9
			rate, share = fmt.Sprintf("%.0f", r), fmt.Sprintf("%.0f %%", 100*r/t.Peak1)
		}
		table.Add(task.Name, task.Kernel, fmt.Sprintf("%.1f %%", 100*task.Seconds/busy), rate, share)
	}
	fmt.Fprint(out, table.String())
	fmt.Fprintf(out, "\nA step takes %.2f ms. One worker's peak is %.0f GFLOP/s (%s).\n\n", 1e3*t.Step, t.Peak1, measure.ProbeName())
}
