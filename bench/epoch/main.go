// Command epoch measures the seconds of a training epoch: gcnn on the CPU beside the best setting of PyTorch that it finds, in
// turns in the same minutes, with the processor's FMA peak taken in between.
//
//	go run ./bench/epoch                                  cnn and lenet5
//	go run ./bench/epoch -networks vgg,resnet9 -rounds 3
//	go run ./bench/epoch -keras jax -json
//	go run ./bench/epoch -neighbour                       also beside a process that keeps a core busy
//
// It exits with status 1 and no table where the machine is too noisy to tell.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"gcnn/bench/internal/cli"
	"gcnn/bench/internal/measure"
	"gcnn/bench/internal/peer"
	"gcnn/bench/internal/workload"
	"gcnn/cpu"
	"gcnn/data"
)

func main() { cli.Main("epoch", run) }

// row is what is found about a network.
type row struct {
	Network  string          `json:"network"`
	Images   int             `json:"images"` // of an epoch
	Batch    int             `json:"batch"`
	FLOPs    int64           `json:"flops"`   // of an epoch
	Torch    string          `json:"pytorch"` // version and instructions
	Setting  peer.Setting    `json:"setting"` // the fastest of trials
	Trials   []peer.Trial    `json:"trials,omitempty"`
	Loss     float64         `json:"loss"`       // gcnn's, of the last epoch: a sign that it learns
	PeerLoss float64         `json:"peer_loss"`  // PyTorch's
	Noise    *measure.Result `json:"measured"`   // all seconds, by contestant
	Seconds  float64         `json:"seconds"`    // gcnn's median
	Peer     float64         `json:"seconds_pt"` // PyTorch's median
	Ratio    float64         `json:"ratio"`      // the median of the rounds' ratios
	GFLOPS   float64         `json:"gflops"`
	Share    float64         `json:"share_of_peak"`
	Scaling  float64         `json:"scaling"` // one worker's time by all workers', the median of the rounds' ratios; 0 on one core
}

type report struct {
	Host measure.Host `json:"host"`
	Unit string       `json:"peak_instructions"`
	Rows []row        `json:"networks"`
}

type options struct {
	measure.Flags
	networks string
	keras    string
	workers  int
	setting  string
	limit    int
	batch    int
	busy     bool
}

func run(ctx context.Context, c *cli.Command) error {
	var o options
	o.Register(c.FlagSet, 5)
	c.StringVar(&o.networks, "networks", "cnn,lenet5", "which to measure: "+strings.Join(workload.Names(), ", "))
	c.StringVar(&o.keras, "keras", "", "Keras' backends to measure too, from tensorflow and jax (cnn, lenet5, vgg and vgg-small)")
	c.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "gcnn's workers and PyTorch's most threads")
	c.StringVar(&o.setting, "setting", "", "PyTorch's setting instead of a search, such as 2,channels_last,compile,fused")
	c.BoolVar(&o.busy, "neighbour", false, "measure gcnn also beside a process that keeps one core busy")
	c.IntVar(&o.limit, "limit", 0, "train on the first N images alone, to try the command out")
	c.IntVar(&o.batch, "batch", 0, "samples of a step, for gcnn and its peers alike; 0 takes the network's own")
	if err := c.Parse(); err != nil {
		return err
	}
	if o.batch < 0 {
		return fmt.Errorf("-batch is at least 1, or 0 for the network's own, got %d", o.batch)
	}
	if err := o.Check(); err != nil {
		return err
	}
	works, err := workload.Find(o.networks)
	if err != nil {
		return err
	}
	root, python, err := c.Python()
	if err != nil {
		return err
	}
	host, err := cli.Host()
	if err != nil {
		return err
	}
	r := report{Host: host, Unit: measure.ProbeName()}
	for _, w := range works {
		fmt.Fprintf(c.Log, "== %s\n", w.Name)
		w.Limit = o.limit
		if o.batch > 0 {
			w.Batch = o.batch
		}
		row, err := measureNetwork(ctx, root, python, w, o)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		r.Rows = append(r.Rows, row)
	}
	return c.Print(r, r.print)
}

// closers are closed in the reverse order, and what fails is joined.
type closers []func() error

func (c closers) close(err error) error {
	for i := len(c) - 1; i >= 0; i-- {
		err = errors.Join(err, c[i]())
	}
	return err
}

func measureNetwork(ctx context.Context, root, python string, w workload.Workload, o options) (r row, err error) {
	var open closers
	defer func() { err = open.close(err) }()
	net, err := w.Network()
	if err != nil {
		return r, err
	}
	set, err := w.Set()
	if err != nil {
		return r, err
	}
	r = row{Network: w.Name, Images: set.Len(), Batch: w.Batch, FLOPs: workload.TrainingFLOPs(net) * int64(set.Len())}

	all, err := trainer(w, set, o.workers, &open)
	if err != nil {
		return r, err
	}
	contestants := []measure.Contestant{{Name: "gcnn", Run: func() (float64, error) { return all.Epochs(ctx, 1) }}}
	torch, err := torchContestant(root, python, w, o, &r, &open)
	if err != nil {
		return r, err
	}
	contestants = append(contestants, torch)
	if o.workers > 1 {
		one, err := trainer(w, set, 1, &open)
		if err != nil {
			return r, err
		}
		contestants = append(contestants, measure.Contestant{Name: "gcnn, 1 worker", Run: func() (float64, error) { return one.Epochs(ctx, 1) }})
	}
	if o.busy {
		contestants = append(contestants, measure.Contestant{Name: busyName, Run: func() (float64, error) { return besideNeighbour(ctx, all) }})
	}
	for backend := range strings.SplitSeq(o.keras, ",") {
		if backend == "" {
			continue
		}
		keras, err := kerasContestant(root, python, backend, w, o, &open)
		if err != nil {
			return r, err
		}
		contestants = append(contestants, keras)
	}
	for _, c := range contestants { // warm-up
		if _, err := c.Run(); err != nil {
			return r, fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	if r.Noise, err = o.Turns(os.Stderr).Run(ctx, contestants...); err != nil {
		return r, err
	}
	seconds := r.Noise.Seconds
	r.Loss = all.Loss
	r.Seconds, r.Peer = measure.Median(seconds["gcnn"]), measure.Median(seconds["PyTorch"])
	r.Ratio = measure.Median(measure.Ratios(seconds["PyTorch"], seconds["gcnn"]))
	r.Scaling = measure.Median(measure.Ratios(seconds["gcnn, 1 worker"], seconds["gcnn"]))
	r.GFLOPS = float64(r.FLOPs) / r.Seconds / 1e9
	r.Share = r.GFLOPS / r.Noise.Peak
	return r, nil
}

// busyName is gcnn beside a process that keeps a core busy.
const busyName = "gcnn, busy neighbour"

// besideNeighbour takes an epoch while a shell counts for ever. Its processor time is this process' own once it has been waited for.
func besideNeighbour(ctx context.Context, t *workload.Trainer) (float64, error) {
	loop := exec.CommandContext(ctx, "sh", "-c", "while :; do :; done")
	if err := loop.Start(); err != nil {
		return 0, err
	}
	seconds, err := t.Epochs(ctx, 1)
	if kill := loop.Process.Kill(); kill != nil {
		return 0, errors.Join(err, kill)
	}
	var killed *exec.ExitError
	if wait := loop.Wait(); !errors.As(wait, &killed) {
		return 0, errors.Join(err, fmt.Errorf("the busy neighbour ended by itself: %w", wait))
	}
	return seconds, err
}

func trainer(w workload.Workload, set *data.Set, workers int, open *closers) (*workload.Trainer, error) {
	d, err := cpu.Open(cpu.Options{Workers: workers})
	if err != nil {
		return nil, err
	}
	*open = append(*open, d.Close)
	t, err := workload.NewTrainer(d, w, set)
	if err != nil {
		return nil, err
	}
	*open = append(*open, t.Close)
	return t, nil
}

// torchContestant starts PyTorch, finds its best setting and prepares an epoch with it.
func torchContestant(root, python string, w workload.Workload, o options, r *row, open *closers) (measure.Contestant, error) {
	var c measure.Contestant
	p, err := peer.Start(root, python, "torch_peer.py")
	if err != nil {
		return c, err
	}
	*open = append(*open, p.Close)
	if o.setting != "" {
		if r.Setting, err = peer.ParseSetting(o.setting); err != nil {
			return c, err
		}
	} else {
		steps := peer.Request{"do": "train", "steps": w.Trial}
		if r.Setting, r.Trials, err = p.Best(peer.Settings(o.workers), w.Peer(root), steps, steps, os.Stderr); err != nil {
			return c, err
		}
	}
	a, err := p.Ask(r.Setting.Request(w.Peer(root)))
	if err != nil {
		return c, err
	}
	r.Torch = a.Version + " (" + a.ISA + ")"
	return measure.Contestant{Name: "PyTorch", PID: p.PID(), Run: func() (float64, error) {
		a, err := p.Ask(peer.Request{"do": "train"})
		r.PeerLoss = a.Loss
		return a.Seconds, err
	}}, nil
}

// kerasContestant starts Keras with the settings that were the fastest wherever they were tried.
func kerasContestant(root, python, backend string, w workload.Workload, o options, open *closers) (measure.Contestant, error) {
	var c measure.Contestant
	p, err := peer.Start(root, python, "keras_peer.py", "KERAS_BACKEND="+backend)
	if err != nil {
		return c, err
	}
	*open = append(*open, p.Close)
	setup := w.Peer(root)
	delete(setup, "size")
	setup["do"], setup["threads"], setup["jit"] = "setup", o.workers, true
	setup["steps_per_execution"] = 32
	if w.Images > 0 {
		setup["steps_per_execution"] = 1
	}
	if _, err := p.Ask(setup); err != nil {
		return c, err
	}
	return measure.Contestant{Name: "Keras on " + backend, PID: p.PID(), Run: func() (float64, error) {
		a, err := p.Ask(peer.Request{"do": "train"})
		return a.Seconds, err
	}}, nil
}
