package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/data/catalog"
	"gcnn/device"
	"gcnn/model"
	"gcnn/train"
)

func trainCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "config", Usage: "settings from a YAML `FILE`, such as a run's config.yaml", EnvVars: []string{"GCNN_CONFIG"}},
	}
	for _, s := range settings {
		flags = append(flags, s.cliFlag())
	}
	flags = append(flags,
		&cli.StringFlag{Name: "out", DefaultText: "runs/MODEL-TIME", Usage: "the run's `DIR`"},
		&cli.BoolFlag{Name: "force", Usage: "replace the run that DIR holds"},
		&cli.StringFlag{Name: "resume", Usage: "go on with an interrupted `RUN`"},
		&cli.BoolFlag{Name: "dry-run", Usage: "print settings, memory and plan, and train nothing"},
		&cli.BoolFlag{Name: "profile", Usage: "print the time and the GFLOP/s of each task of a step"},
		&cli.StringFlag{Name: "pprof", Usage: "write a CPU profile for go tool pprof into `FILE`"},
		&cli.BoolFlag{Name: "quiet", Usage: "print nothing but errors"},
	)
	return &cli.Command{
		Name:  "train",
		Usage: "train a network",
		Description: `Without options: the lesson's network, cnn, on Fashion-MNIST. A preset brings
its optimiser, batch size and epochs. Settings come from flags, then from the
environment (GCNN_BATCH_SIZE is --batch-size), then from --config, then from
the preset.

The run's folder gets config.yaml, history.csv, weights.safetensors,
accuracy.png, loss.png, samples.png, predictions.png, best.safetensors (of the
best epoch) and checkpoint.safetensors. Ctrl-C ends after the running step and
keeps what there is. SIGTERM writes a checkpoint and ends; SIGUSR1 writes one
and goes on.

Examples:
  gcnn train
  gcnn train --model lenet5 --epochs 20 --out runs/lenet
  gcnn train --optimizer sgd --learning-rate 0.1 --schedule cosine
  gcnn train --model my.yaml --data ~/mnist --early-stopping 'patience: 2'
  gcnn train --resume runs/lenet
  gcnn train --config runs/lenet/config.yaml --seed 2`,
		Flags: flags,
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			ctx, stop := untilSignal(c.Context)
			defer stop()
			r := &trainRun{out: c.App.Writer, warnings: c.App.ErrWriter, quiet: c.Bool("quiet"), begin: time.Now()}
			if err := r.prepare(c); err != nil {
				return err
			}
			defer r.close()
			if c.Bool("dry-run") {
				return r.describe()
			}
			return withPprof(c.String("pprof"), func() error { return r.run(ctx) })
		},
	}
}

// trainRun is a run of `gcnn train`.
type trainRun struct {
	out      io.Writer
	warnings io.Writer
	quiet    bool
	begin    time.Time
	settings train.Settings
	folder   *train.Folder // nil in a dry run
	start    *train.Checkpoint

	train, validation, test *data.Set
	net                     *model.Network
	norm                    model.Normalization
	plan                    device.Plan
	device                  device.Device
	why                     string // this device, where it was chosen by itself
	program                 device.Program
	epochs                  int // with weights on disk
}

func (r *trainRun) printf(format string, args ...any) {
	if !r.quiet {
		fmt.Fprintf(r.out, format, args...)
	}
}

// wrapped prints text in lines that fit the terminal.
func (r *trainRun) wrapped(format string, args ...any) {
	r.printf("%s\n", fill(strings.Fields(fmt.Sprintf(format, args...)), "", columns(r.out)))
}

// prepare does all that comes before the first step.
func (r *trainRun) prepare(c *cli.Context) (err error) {
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.folder, err = r.open(c); err != nil {
		return err
	}
	// Reading the set takes longest by far: all else happens beside it.
	opened := make(chan error, 1)
	go func() {
		var err error
		r.device, r.why, err = openDevice(r.settings.Device, choice{workers: r.settings.Workers, precision: r.settings.Precision, setMemory: r.settings.SetMemory})
		opened <- err
	}()
	dataErr := r.openSets()
	if err := <-opened; err != nil || dataErr != nil {
		return errors.Join(err, dataErr)
	}
	r.settings.Device = r.device.Info().Name // what auto chose: config.yaml repeats the run
	input := model.Shape{r.train.Height, r.train.Width, r.train.Channels}
	if r.net, err = r.settings.MakeNetwork(input, len(r.train.Classes)); err != nil {
		return err
	}
	if r.norm, err = r.settings.MakeNormalization(r.train); err != nil {
		return err
	}
	if r.plan, err = r.settings.Plan(r.norm, r.train.Classes); err != nil {
		return err
	}
	r.plan.Profile = c.Bool("profile")
	if c.Bool("dry-run") {
		return nil
	}
	weights, err := r.weights()
	if err != nil {
		return err
	}
	if r.folder == nil {
		if r.folder, err = train.CreateFolder(c.String("out"), r.net.Name, r.begin, c.Bool("force")); err != nil {
			return err
		}
	}
	if r.program, err = r.device.Compile(r.net, r.plan); err != nil {
		return fmt.Errorf("device %s: %w", r.device.Info().Name, err)
	}
	if os.Getenv("GOGC") == "" {
		// Most of the heap is the program, which lives as long as the run, and a step allocates nothing. Copies of weights that
		// nobody needs any more must not be left to fill as much memory again.
		debug.SetGCPercent(20)
	}
	if weights == nil {
		return nil
	}
	return r.program.SetState(device.State{Weights: weights})
}

// open reads the settings, and the checkpoint of a run that goes on.
func (r *trainRun) open(c *cli.Context) (*train.Folder, error) {
	path := c.String("resume")
	if path == "" {
		var err error
		r.settings, err = readSettings(c)
		return nil, err
	}
	folder, err := train.OpenFolder(path)
	if err != nil {
		return nil, err
	}
	saved, err := train.ReadSettings(folder.File(train.ConfigFile))
	if err != nil {
		return folder, err
	}
	checkpoint, err := train.ReadCheckpoint(folder.File(train.CheckpointFile))
	switch {
	case err == nil:
		r.start = &checkpoint
		// The settings that the checkpoint was trained with count, whatever was done to the file.
		saved = train.NewSettings("")
		if err := saved.Merge(folder.File(train.CheckpointFile)+", settings", []byte(checkpoint.Settings)); err != nil {
			return folder, err
		}
	case !errors.Is(err, fs.ErrNotExist): // without one the run ended before its first and begins anew
		return folder, err
	}
	r.settings, err = resumeSettings(c, saved)
	return folder, err
}

func (r *trainRun) openSets() error {
	shape, err := r.settings.PictureShape()
	if err != nil {
		return err
	}
	if r.train, r.test, err = catalog.Open(r.settings.Data, pictures(shape, r.settings.SkipBad, r.warnings)); err != nil {
		return err
	}
	if r.settings.Limit > 0 {
		if r.train, err = r.train.Limit(r.settings.Limit); err != nil {
			return err
		}
	}
	r.validation = r.test // nil where the data has none
	if r.settings.ValidationSplit > 0 {
		if r.train, r.validation, err = r.train.Split(r.settings.ValidationSplit); err != nil {
			return err
		}
	}
	r.warnOfClasses()
	return nil
}

// warnOfClasses says when a limit or a validation split leaves out classes, of which there are too few images.
func (r *trainRun) warnOfClasses() {
	parts := []struct {
		set        *data.Set
		flag, what string
	}{{r.train, "--limit", "training"}}
	if r.settings.ValidationSplit > 0 {
		parts[0].flag = "--validation-split"
		parts = append(parts, struct {
			set        *data.Set
			flag, what string
		}{r.validation, "--validation-split", "validation"})
	} else if r.settings.Limit == 0 {
		return
	}
	for _, p := range parts {
		there := make([]bool, len(p.set.Classes))
		for _, l := range p.set.Labels {
			there[l] = true
		}
		if missing := slices.Index(there, false); missing >= 0 {
			fmt.Fprintf(r.warnings, "gcnn: warning: %s leaves no image of class %s among the %s\n",
				p.flag, p.set.ClassName(missing), plural(p.set.Len(), p.what+" image"))
		}
	}
}

// weights are those to start from, nil where train.Fit has a checkpoint's.
func (r *trainRun) weights() (map[string]*tensor.Dense, error) {
	if r.start != nil {
		return nil, nil
	}
	if r.settings.Weights != "" {
		return train.ReadWeights(r.settings.Weights, r.net)
	}
	return train.InitialWeights(r.net, r.settings.Seed, r.train, r.norm)
}

func (r *trainRun) close() {
	if r.program != nil {
		_ = r.program.Close() // the process is about to end
	}
	if r.device != nil {
		_ = r.device.Close()
	}
	if r.folder != nil {
		_ = r.folder.Close()
	}
}

// run trains and leaves the folder's files.
func (r *trainRun) run(ctx context.Context) error {
	config, err := r.settings.Marshal()
	if err != nil {
		return err
	}
	if err := r.folder.Write(train.ConfigFile, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "# gcnn %s\n# Again: gcnn train --config %s\n%s", version(), train.ConfigFile, config)
		return err
	}); err != nil {
		return err
	}
	r.introduce()
	var shown *progress
	var freed sync.Once
	observers := []train.Observer{{
		// The weights or the checkpoint that it begins with, and what reading the sets left, need not stay beside the program.
		EpochBegin: func(int, int) { freed.Do(debug.FreeOSMemory) },
		Loaded: func(p device.Placement) {
			if p.Streamed {
				r.wrapped("%s is streamed, for it takes %s", p.Set, bytesText(p.Bytes))
			}
		},
		EpochEnd: r.epochEnd,
		Checkpoint: func(c train.Checkpoint) error {
			c.Settings = string(config)
			return train.WriteCheckpoint(r.folder.File(train.CheckpointFile), c)
		},
	}}
	if !r.quiet {
		shown = newProgress(r.out, r.settings.Recipe)
		observers = append([]train.Observer{shown.observer()}, observers...)
	}
	asked, stop := snapshots()
	defer stop()
	history, err := train.Fit(ctx, train.Config{
		Network: r.net, Program: r.program, Recipe: r.settings.Recipe, Train: r.train, Validation: r.validation,
		Start: r.start, Observers: observers, Snapshots: asked,
		CheckpointEvery: time.Duration(r.settings.CheckpointMinutes * float64(time.Minute)),
	})
	if shown != nil {
		shown.end()
	}
	if err != nil && !errors.Is(err, errInterrupted) {
		return err // after SIGTERM there is no time for pictures
	}
	if r.plan.Profile {
		if err := writeProfile(r.out, r.program.Profile(), r.device.Info()); err != nil {
			return err
		}
	}
	// After Ctrl-C: the weights, the history and the pictures of what there is.
	return errors.Join(err, r.finish(history, err != nil))
}

// introduce says what is trained.
func (r *trainRun) introduce() {
	info := r.device.Info()
	if r.why != "" {
		r.wrapped("device %s (%s)", info.Name, r.why)
	}
	images := thousands(r.train.Len()) + " training"
	if r.validation != nil {
		images += " and " + thousands(r.validation.Len()) + " validation"
	}
	r.wrapped("%s, %s parameters, on %s: %s images", r.net.Name, thousands(r.net.Summarize().Params), r.settings.DataName(), images)
	r.wrapped("%s (%s), %s, learning rate %g, batch %d, seed %d", info.Name, info.Model, r.settings.Optimizer,
		r.settings.LearningRate, r.settings.BatchSize, r.settings.Seed)
	if r.start != nil {
		r.wrapped("going on after %s and %s", plural(r.start.Epoch, "epoch"), plural(r.start.Step, "step"))
	}
}

// epochEnd writes what an epoch came to. The weights come before the checkpoint: a run killed in between repeats the epoch.
func (r *trainRun) epochEnd(e train.EpochEnd) error {
	if err := r.writeWeights(train.WeightsFile, e.State, e.Epoch+1); err != nil {
		return err
	}
	if e.Best {
		if err := r.writeWeights(train.BestFile, e.State, e.Epoch+1); err != nil {
			return err
		}
	}
	r.epochs = e.Epoch + 1
	return r.folder.Write(train.HistoryFile, e.History.Write)
}

func (r *trainRun) writeWeights(name string, state device.State, epochs int) error {
	return train.Trained{
		Network: r.net, Weights: state.Weights, Classes: r.train.Classes, Normalization: r.norm, Data: r.settings.Data,
		Epoch: epochs, Version: version(),
	}.Write(r.folder.File(name))
}

// finish writes final weights and pictures, and says how it went.
func (r *trainRun) finish(history train.History, interrupted bool) error {
	epochs := len(history.Records)
	if err := r.program.View(func(s device.State) error { return r.writeWeights(train.WeightsFile, s, epochs) }); err != nil {
		return err
	}
	if err := r.folder.Write(train.HistoryFile, history.Write); err != nil {
		return err
	}
	if err := r.pictures(history); err != nil {
		return err
	}
	if r.quiet {
		return nil
	}
	if epochs > 0 {
		last := history.Records[epochs-1]
		parts := []string{"  accuracy: " + number(last.Accuracy), "loss: " + number(last.Loss)}
		if history.Validation {
			parts = append(parts, "val_accuracy: "+number(last.ValAccuracy), "val_loss: "+number(last.ValLoss))
		}
		r.printf("\n%s after %s in %s:\n%s\n", r.net.Name, plural(epochs, "epoch"), clock(time.Since(r.begin)),
			joined(parts, 2, columns(r.out)))
	}
	if interrupted {
		r.printf("\ninterrupted; go on with: gcnn train --resume %s\n", r.folder.Path)
	}
	entries, err := os.ReadDir(r.folder.Path)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	r.printf("%s:\n%s\n", r.folder.Path, fill(names, "  ", columns(r.out)))
	return nil
}
