// Command fast measures the time to 93 % on Fashion-MNIST: `gcnn train --model fast` from several seeds, from the start of the process
// to its end, with the same network and recipe in PyTorch beside it in turns. Both evaluate the test set.
//
//	go run ./bench/fast
//	go run ./bench/fast -seeds 1,2,3 -torch=false
//	go run ./bench/fast -gcnn "--epochs 8" -pytorch "--epochs 8"
//	go run ./bench/fast -minute
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"gcnn/bench/internal/command"
	"gcnn/bench/internal/measure"
	"gcnn/bench/internal/peer"
	"gcnn/bench/internal/workload"
	"gcnn/cpu"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fast:", err)
		os.Exit(1)
	}
}

type report struct {
	Host       measure.Host                  `json:"host"`
	Accuracies map[string]map[string]float64 `json:"val_accuracy"` // by contestant and seed
	Noise      *measure.Result               `json:"measured"`
}

func run(ctx context.Context) error {
	var common measure.Flags
	flags := flag.NewFlagSet("fast", flag.ExitOnError)
	common.Register(flags, 0)
	flags.Lookup("rounds").Usage = "undisturbed rounds to take, at least as many as seeds"
	seeds := flags.String("seeds", "1,2,3,4,5", "a round for each")
	torch := flags.Bool("torch", true, "run PyTorch beside it")
	model := flags.String("model", "fast", "a preset or a YAML file")
	minute := flags.Bool("minute", false, "train by minute.yaml instead: what a minute reaches; without PyTorch")
	ours := flags.String("gcnn", "", "further arguments of gcnn train, separated by blanks")
	theirs := flags.String("pytorch", "", "further arguments of torch_fast.py, separated by blanks")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	list := strings.Split(*seeds, ",")
	common.Rounds = max(common.Rounds, len(list)) // every seed has a run
	if err := common.Check(flags.Args()); err != nil {
		return err
	}
	root, err := peer.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "gcnn-fast-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := command.Build(ctx, root, dir)
	if err != nil {
		return err
	}
	d, err := cpu.Open(cpu.Options{})
	if err != nil {
		return err
	}
	r := report{Host: measure.NewHost(d.Info().Model), Accuracies: map[string]map[string]float64{"gcnn": {}, "PyTorch": {}}}
	if err := d.Close(); err != nil {
		return err
	}
	recipe := []string{"--model", *model}
	if *minute {
		recipe, *torch = []string{"--config", filepath.Join("bench", "fast", "minute.yaml")}, false
	}
	runs := map[string]int{}
	// next is the seed of a contestant's next run. Accuracies of disturbed rounds count too: noise does not change them.
	next := func(who string) string {
		runs[who]++
		return list[(runs[who]-1)%len(list)]
	}
	contestants := []measure.Contestant{{Name: "gcnn", Run: func() (float64, error) {
		seed := next("gcnn")
		out := filepath.Join(dir, fmt.Sprintf("run-%d", runs["gcnn"]))
		args := slices.Concat([]string{"train", "--device", "cpu", "--seed", seed, "--quiet", "--out", out}, recipe, strings.Fields(*ours))
		u, err := command.Run(ctx, binary, args...)
		if err != nil {
			return 0, err
		}
		h, err := command.History(filepath.Join(out, "history.csv"))
		r.Accuracies["gcnn"][seed] = h["val_accuracy"]
		return u.Seconds, err
	}}}
	if *torch {
		python, err := peer.Python(root, os.Stderr)
		if err != nil {
			return err
		}
		contestants = append(contestants, measure.Contestant{Name: "PyTorch", Run: func() (float64, error) {
			seed := next("PyTorch")
			args := append([]string{filepath.Join(root, "bench", "python", "torch_fast.py"), "--data", workload.Data(root), "--seed", seed},
				strings.Fields(*theirs)...)
			u, err := command.Run(ctx, python, args...)
			if err != nil {
				return 0, err
			}
			lines := bytes.Split(bytes.TrimSpace(u.Output), []byte("\n"))
			var end struct {
				Accuracy float64 `json:"accuracy"`
			}
			if err := json.Unmarshal(lines[len(lines)-1], &end); err != nil {
				return 0, fmt.Errorf("torch_fast.py ended with %q: %w", lines[len(lines)-1], err)
			}
			r.Accuracies["PyTorch"][seed] = end.Accuracy
			return u.Seconds, nil
		}})
	}
	if r.Noise, err = common.Turns(os.Stderr).Run(ctx, contestants...); err != nil {
		return err
	}
	if common.JSON {
		return measure.PrintJSON(r)
	}
	fmt.Printf("%v.\n\n", r.Host)
	t := measure.Table{Head: []string{"", "from start to end, s", "mean accuracy", "lowest", "highest", "seeds"}}
	for _, c := range contestants {
		a := slices.Collect(maps.Values(r.Accuracies[c.Name]))
		t.Add(c.Name, fmt.Sprintf("%.1f", measure.Median(r.Noise.Seconds[c.Name])), fmt.Sprintf("%.4f", measure.Mean(a)),
			fmt.Sprintf("%.4f", slices.Min(a)), fmt.Sprintf("%.4f", slices.Max(a)), fmt.Sprint(len(a)))
	}
	fmt.Print(t.String())
	if c := r.Noise.Caution(); c != "" {
		fmt.Println(c)
	}
	return nil
}
