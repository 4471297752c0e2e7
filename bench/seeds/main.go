// Command seeds trains the lesson's networks from several seeds with the built gcnn, and sets the results beside the lesson's and
// Keras' own.
//
//	go run ./bench/seeds                     cnn and lenet5, seeds 1, 2 and 3, ten epochs
//	go run ./bench/seeds -keras              trains Keras from the same number of seeds too, instead of quoting it
//
// It exits with status 1 where a mean lies outside Keras' range.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gcnn/bench/internal/cli"
	"gcnn/bench/internal/command"
	"gcnn/bench/internal/measure"
	"gcnn/bench/internal/workload"
)

func main() { cli.Main("seeds", run) }

// figures are what runs from several seeds ended with: validation accuracies and the mean validation loss.
type figures struct {
	Who     string  `json:"who"`
	Mean    float64 `json:"val_accuracy"`
	Lowest  float64 `json:"lowest"`
	Highest float64 `json:"highest"`
	Loss    float64 `json:"val_loss"`
}

func summarise(who string, accuracies, losses []float64) figures {
	return figures{who, measure.Mean(accuracies), slices.Min(accuracies), slices.Max(accuracies), measure.Mean(losses)}
}

// quoted are the lesson's own results, and those of Keras 3.15 from three seeds (keras_seeds.py).
var quoted = map[string][2]figures{
	"cnn":    {{"the lesson", 0.8771, 0.8771, 0.8771, 0.3484}, {"Keras 3.15, 3 seeds", 0.8978, 0.8946, 0.9038, 0.2948}},
	"lenet5": {{"the lesson", 0.8174, 0.8174, 0.8174, 0.5033}, {"Keras 3.15, 3 seeds", 0.8142, 0.8125, 0.8167, 0.5097}},
}

type result struct {
	Model  string  `json:"model"`
	Lesson figures `json:"lesson"`
	Keras  figures `json:"keras"`
	GCNN   figures `json:"gcnn"`
	In     bool    `json:"mean_in_keras_range"`
}

func run(ctx context.Context, c *cli.Command) error {
	models := c.String("models", "cnn,lenet5", "which to train")
	seeds := c.String("seeds", "1,2,3", "from which seeds")
	epochs := c.Int("epochs", 10, "epochs; Keras' figures are of ten")
	limit := c.Int("limit", 0, "train on the first N images alone, to try the command out; nothing is compared then")
	keras := c.Bool("keras", false, "train Keras too instead of quoting its figures")
	if err := c.Parse(); err != nil {
		return err
	}
	dir, binary, remove, err := c.Build(ctx)
	if err != nil {
		return err
	}
	defer remove()
	var results []result
	for name := range strings.SplitSeq(*models, ",") {
		known, ok := quoted[name]
		if !ok {
			return fmt.Errorf("there are no figures of %q to compare with, only of cnn and lenet5", name)
		}
		if *keras {
			fresh, err := trainKeras(ctx, c, name, *seeds, *epochs, *limit)
			if err != nil {
				return err
			}
			known[1] = fresh
		}
		ours, err := trainGCNN(ctx, binary, dir, name, *seeds, *epochs, *limit)
		if err != nil {
			return err
		}
		in := ours.Mean >= known[1].Lowest && ours.Mean <= known[1].Highest
		results = append(results, result{name, known[0], known[1], ours, in})
	}
	if err := c.Print(results, func(w io.Writer) { fmt.Fprint(w, table(results, *epochs)) }); err != nil {
		return err
	}
	for _, r := range results {
		if !r.In && *limit == 0 {
			return fmt.Errorf("%s: the mean of gcnn's accuracies lies outside Keras' range", r.Model)
		}
	}
	return nil
}

func trainGCNN(ctx context.Context, binary, dir, name, seeds string, epochs, limit int) (figures, error) {
	var accuracies, losses []float64
	for seed := range strings.SplitSeq(seeds, ",") {
		out := filepath.Join(dir, name+"-"+seed)
		args := []string{"train", "--model", name, "--seed", seed, "--epochs", strconv.Itoa(epochs), "--out", out, "--quiet"}
		if limit > 0 {
			args = append(args, "--limit", strconv.Itoa(limit))
		}
		if _, err := command.Run(ctx, binary, args...); err != nil {
			return figures{}, fmt.Errorf("%s, seed %s: %w", name, seed, err)
		}
		h, err := command.History(filepath.Join(out, "history.csv"))
		if err != nil {
			return figures{}, err
		}
		fmt.Fprintf(os.Stderr, "gcnn %s, seed %s: val_accuracy %.4f, val_loss %.4f\n", name, seed, h["val_accuracy"], h["val_loss"])
		accuracies, losses = append(accuracies, h["val_accuracy"]), append(losses, h["val_loss"])
	}
	return summarise("gcnn", accuracies, losses), nil
}

func trainKeras(ctx context.Context, c *cli.Command, name, seeds string, epochs, limit int) (figures, error) {
	var (
		who                string
		accuracies, losses []float64
	)
	root, python, err := c.Python()
	if err != nil {
		return figures{}, err
	}
	args := []string{filepath.Join(root, "bench", "python", "keras_seeds.py"), "--data", workload.Data(root), "--model", name,
		"--seeds", seeds, "--epochs", strconv.Itoa(epochs)}
	if limit > 0 {
		args = append(args, "--limit", strconv.Itoa(limit))
	}
	u, err := command.Run(ctx, python, args...)
	if err != nil {
		return figures{}, err
	}
	for line := range bytes.Lines(u.Output) {
		var a struct {
			Keras    string  `json:"keras"`
			Backend  string  `json:"backend"`
			Accuracy float64 `json:"val_accuracy"`
			Loss     float64 `json:"val_loss"`
		}
		if err := json.Unmarshal(line, &a); err != nil {
			return figures{}, fmt.Errorf("keras_seeds.py printed %q: %w", line, err)
		}
		who = fmt.Sprintf("Keras %s on %s, here", a.Keras, a.Backend)
		accuracies, losses = append(accuracies, a.Accuracy), append(losses, a.Loss)
	}
	if len(accuracies) == 0 {
		return figures{}, fmt.Errorf("keras_seeds.py printed nothing")
	}
	return summarise(who, accuracies, losses), nil
}

func table(results []result, epochs int) string {
	t := measure.Table{Head: []string{fmt.Sprintf("%d epochs", epochs), "", "val_accuracy", "lowest", "highest", "val_loss", "in Keras' range"}}
	for _, r := range results {
		for _, f := range []figures{r.Lesson, r.Keras, r.GCNN} {
			in := ""
			if f == r.GCNN {
				in = map[bool]string{true: "yes", false: "no"}[r.In]
			}
			t.Add("`"+r.Model+"`", f.Who, accuracy(f.Mean), accuracy(f.Lowest), accuracy(f.Highest), accuracy(f.Loss), in)
		}
	}
	return t.String()
}

func accuracy(v float64) string { return fmt.Sprintf("%.4f", v) }
