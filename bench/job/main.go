// Command job measures the whole main job from the command line: `gcnn train` beside the same script in Keras. Ten epochs with
// validation after each, the weights and every picture.
//
//	go run ./bench/job
//	go run ./bench/job -model lenet5 -backends tensorflow,jax
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"gcnn/bench/internal/cli"
	"gcnn/bench/internal/command"
	"gcnn/bench/internal/measure"
	"gcnn/bench/internal/workload"
)

func main() { cli.Main("job", run) }

// row is one contestant's medians.
type row struct {
	Who      string  `json:"who"`
	Seconds  float64 `json:"seconds"`     // wall time of the command
	First    float64 `json:"first_step"`  // from the start of the command to the first step
	Memory   float64 `json:"peak_rss_mb"` // the largest
	Accuracy float64 `json:"val_accuracy"`
}

type report struct {
	Host   measure.Host    `json:"host"`
	Model  string          `json:"model"`
	Epochs int             `json:"epochs"`
	Rows   []row           `json:"rows"`
	Noise  *measure.Result `json:"measured"`
}

type job struct {
	measure.Flags
	model         string
	epochs, limit int
	root, dir     string
	binary        string
	python        string
	runs          int
}

func run(ctx context.Context, c *cli.Command) (err error) {
	var j job
	j.Register(c.FlagSet, 3)
	c.StringVar(&j.model, "model", "cnn", "cnn or lenet5")
	c.IntVar(&j.epochs, "epochs", 10, "epochs")
	c.IntVar(&j.limit, "limit", 0, "train on the first N images alone, to try the command out")
	backends := c.String("backends", "tensorflow", "Keras' backends, from tensorflow and jax")
	if err := c.Parse(); err != nil {
		return err
	}
	if err := j.Check(); err != nil {
		return err
	}
	works, err := workload.Find(j.model)
	if err != nil {
		return err
	}
	if j.root, j.python, err = c.Python(); err != nil {
		return err
	}
	var remove func()
	if j.dir, j.binary, remove, err = c.Build(ctx); err != nil {
		return err
	}
	defer remove()
	images := 60_000
	if j.limit > 0 {
		images = min(images, j.limit)
	}
	steps := (images + works[0].Batch - 1) / works[0].Batch

	rows := []row{{Who: "gcnn"}}
	firsts := [][]float64{nil}
	contestants := []measure.Contestant{{Name: "gcnn", Run: func() (float64, error) { return j.gcnn(ctx, &rows[0]) }}}
	for backend := range strings.SplitSeq(*backends, ",") {
		i := len(rows)
		rows, firsts = append(rows, row{Who: "Keras on " + backend}), append(firsts, nil)
		contestants = append(contestants, measure.Contestant{Name: rows[i].Who, Run: func() (float64, error) {
			s, first, err := j.keras(ctx, backend, &rows[i])
			firsts[i] = append(firsts[i], first)
			return s, err
		}})
	}
	noise, err := j.Turns(c.Log).Run(ctx, contestants...)
	if err != nil {
		return err
	}
	for range j.Rounds {
		first, err := j.firstStep(ctx, steps)
		if err != nil {
			return err
		}
		firsts[0] = append(firsts[0], first)
	}
	for i := range rows {
		rows[i].Seconds, rows[i].First = measure.Median(noise.Seconds[rows[i].Who]), measure.Median(firsts[i])
	}
	host, err := cli.Host()
	if err != nil {
		return err
	}
	r := report{host, j.model, j.epochs, rows, noise}
	return c.Print(r, r.print)
}

func (j *job) args(out string, epochs int) []string {
	args := []string{"--model", j.model, "--epochs", strconv.Itoa(epochs), "--out", out}
	if j.limit > 0 {
		args = append(args, "--limit", strconv.Itoa(j.limit))
	}
	return args
}

// out is a folder for the next run.
func (j *job) out() string {
	j.runs++
	return filepath.Join(j.dir, strconv.Itoa(j.runs))
}

func (j *job) gcnn(ctx context.Context, r *row) (float64, error) {
	out := j.out()
	u, err := command.Run(ctx, j.binary, append([]string{"train", "--device", "cpu"}, j.args(out, j.epochs)...)...)
	if err != nil {
		return 0, err
	}
	h, err := command.History(filepath.Join(out, "history.csv"))
	if err != nil {
		return 0, err
	}
	r.Memory, r.Accuracy = max(r.Memory, u.Memory), h["val_accuracy"]
	return u.Seconds, nil
}

// firstStep is the time from the start of `gcnn train` to the first step that a user sees on a terminal.
func (j *job) firstStep(ctx context.Context, steps int) (float64, error) {
	shown := regexp.MustCompile(fmt.Sprintf(`[1-9][0-9]*/%d\b`, steps))
	u, err := command.RunOnTerminal(ctx, shown, j.binary, append([]string{"train", "--device", "cpu"}, j.args(j.out(), 1)...)...)
	return u.First, err
}

func (j *job) keras(ctx context.Context, backend string, r *row) (seconds, first float64, err error) {
	args := []string{"KERAS_BACKEND=" + backend, j.python, filepath.Join(j.root, "bench", "python", "keras_lesson.py"), "--data", workload.Data(j.root)}
	u, err := command.Run(ctx, "env", append(args, j.args(j.out(), j.epochs)...)...)
	if err != nil {
		return 0, 0, err
	}
	var end struct {
		Seconds  float64 `json:"seconds"`
		First    float64 `json:"first_step_seconds"`
		Accuracy float64 `json:"val_accuracy"`
	}
	lines := bytes.Split(bytes.TrimSpace(u.Output), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &end); err != nil {
		return 0, 0, fmt.Errorf("keras_lesson.py ended with %q: %w", lines[len(lines)-1], err)
	}
	r.Memory, r.Accuracy = max(r.Memory, u.Memory), end.Accuracy
	return u.Seconds, end.First, nil
}

func (r report) print(out io.Writer) {
	fmt.Fprintf(out, "%v.\n\n", r.Host)
	t := measure.Table{Head: []string{
		fmt.Sprintf("`%s`, %d epochs", r.Model, r.Epochs), "whole command, s", "start to first step, s", "peak memory, MB", "val_accuracy", "gcnn is faster",
	}}
	for i, w := range r.Rows {
		ratio := ""
		if i > 0 {
			ratio = fmt.Sprintf("%.1f times", measure.Median(measure.Ratios(r.Noise.Seconds[w.Who], r.Noise.Seconds["gcnn"])))
		}
		t.Add(w.Who, fmt.Sprintf("%.3g", w.Seconds), fmt.Sprintf("%.2f", w.First), fmt.Sprintf("%.0f", w.Memory), fmt.Sprintf("%.4f", w.Accuracy), ratio)
	}
	fmt.Fprint(out, t.String())
	fmt.Fprintf(out, "\nMedians of %d rounds; memory is the largest resident set.\n", len(r.Noise.Seconds["gcnn"]))
	if c := r.Noise.Caution(); c != "" {
		fmt.Fprintln(out, c)
	}
}
