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
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"gcnn/bench/internal/cli"
	"gcnn/bench/internal/command"
	"gcnn/bench/internal/measure"
	"gcnn/bench/internal/workload"
)

func main() { cli.Main("fast", run) }

type report struct {
	Host       measure.Host                  `json:"host"`
	Accuracies map[string]map[string]float64 `json:"val_accuracy"` // by contestant and seed
	Noise      *measure.Result               `json:"measured"`
}

func run(ctx context.Context, c *cli.Command) error {
	var common measure.Flags
	common.Register(c.FlagSet, 0)
	c.Lookup("rounds").Usage = "undisturbed rounds to take, at least as many as seeds"
	seeds := c.String("seeds", "1,2,3,4,5", "a round for each")
	torch := c.Bool("torch", true, "run PyTorch beside it")
	model := c.String("model", "fast", "a preset or a YAML file")
	minute := c.Bool("minute", false, "train by minute.yaml instead: what a minute reaches; without PyTorch")
	ours := c.String("gcnn", "", "further arguments of gcnn train, separated by blanks")
	theirs := c.String("pytorch", "", "further arguments of torch_fast.py, separated by blanks")
	if err := c.Parse(); err != nil {
		return err
	}
	list := strings.Split(*seeds, ",")
	common.Rounds = max(common.Rounds, len(list)) // every seed has a run
	if err := common.Check(); err != nil {
		return err
	}
	dir, binary, remove, err := c.Build(ctx)
	if err != nil {
		return err
	}
	defer remove()
	host, err := cli.Host()
	if err != nil {
		return err
	}
	r := report{Host: host, Accuracies: map[string]map[string]float64{"gcnn": {}, "PyTorch": {}}}
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
		root, python, err := c.Python()
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
	if r.Noise, err = common.Turns(c.Log).Run(ctx, contestants...); err != nil {
		return err
	}
	return c.Print(r, func(w io.Writer) { r.print(w, contestants) })
}

// print writes the report as Markdown.
func (r report) print(out io.Writer, contestants []measure.Contestant) {
	fmt.Fprintf(out, "%v.\n\n", r.Host)
	t := measure.Table{Head: []string{"", "from start to end, s", "mean accuracy", "lowest", "highest", "seeds"}}
	for _, c := range contestants {
		a := slices.Collect(maps.Values(r.Accuracies[c.Name]))
		t.Add(c.Name, fmt.Sprintf("%.1f", measure.Median(r.Noise.Seconds[c.Name])), fmt.Sprintf("%.4f", measure.Mean(a)),
			fmt.Sprintf("%.4f", slices.Min(a)), fmt.Sprintf("%.4f", slices.Max(a)), fmt.Sprint(len(a)))
	}
	fmt.Fprint(out, t.String())
	if c := r.Noise.Caution(); c != "" {
		fmt.Fprintln(out, c)
	}
}
