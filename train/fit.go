package train

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/device"
	"gcnn/model"
)

// Config says what Fit trains.
type Config struct {
	Network    *model.Network
	Program    device.Program // the network, compiled with Recipe.Plan; its state is where training starts, unless Start is given
	Recipe     Recipe
	Train      *data.Set
	Validation *data.Set   // evaluated after each epoch; nil: no validation
	Start      *Checkpoint // a training that goes on; nil: from the beginning. Fit clears its State, which the program then has
	Observers  []Observer

	// CheckpointEvery is the longest time between two checkpoints; 0: at the end of each epoch alone.
	CheckpointEvery time.Duration
	// Snapshots asks for a checkpoint after the running step; nil: none is asked for.
	Snapshots <-chan struct{}
}

// Observer is told how a training goes. Functions that are nil are not called; an error of one ends the training.
type Observer struct {
	Loaded     func(device.Placement) // the training set was made ready, or the validation set
	EpochBegin func(epoch, step int)  // the epoch, counted from 0, and its steps that are done already
	Progress   func(Progress)         // now and then
	EpochEnd   func(EpochEnd) error   // after validation
	Checkpoint func(Checkpoint) error // after EpochEnd, in between as Config asks for it, and when a training is interrupted

	// EpochEnd and Checkpoint see the program's state as device.Program.View lends it.
}

// Progress is how far an epoch is.
type Progress struct {
	Epoch       int // from 0
	Step, Steps int
	Metrics     device.Metrics // of the epoch so far
}

// EpochEnd is an epoch that has ended.
type EpochEnd struct {
	Record
	History   History // up to and with this epoch
	Steps     int
	Validated bool         // whether the record has validation figures
	Best      bool         // the best so far by the quantity that EarlyStopping monitors, val_loss (or loss) without it
	State     device.State // the state to use: with the averaged weights where EMA is on
}

// NonFiniteError says where the loss became NaN or infinite.
type NonFiniteError struct {
	Epoch int // from 1
	Step  int // of the epoch, from 1
	Loss  float64
}

// Error names epoch and step.
func (e *NonFiniteError) Error() string {
	return fmt.Sprintf("epoch %d, step %d: the loss is %v; a smaller learning rate or a clip norm may help", e.Epoch, e.Step, e.Loss)
}

// errSnapshot ends a call of Train so that a checkpoint can be taken.
var errSnapshot = errors.New("snapshot")

// Fit trains for the recipe's epochs and returns the history. The program then holds the weights to use: the averaged ones with
// EMA, the best ones with EarlyStopping.RestoreBestWeights (with either, the optimiser begins anew), else the last.
//
// When ctx ends, Fit stops after the running step, reports a checkpoint to the observers and returns what there is with ctx's
// cause; the program holds the weights reached. With Config.Start it goes on from there bit for bit as if it had not stopped.
func Fit(ctx context.Context, c Config) (History, error) {
	f, err := newFit(c)
	if err != nil {
		return History{}, err
	}
	defer f.close()
	for f.epoch < c.Recipe.Epochs && !f.stopped {
		if err := f.runEpoch(ctx); err != nil {
			if ctx.Err() != nil {
				err = errors.Join(err, f.leave(nil))
			}
			return f.history, err
		}
	}
	return f.history, f.leave(f.best)
}

// fit is a training that runs.
type fit struct {
	Config
	span       Span
	train      device.Resident
	validation device.Resident

	epoch    int // epochs done
	steps    int // steps done of the running one
	running  device.Metrics
	seconds  float64 // spent in the running epoch before this call
	rate     float64 // what ReduceLROnPlateau has made of the base rate
	history  History
	stopping watch
	plateau  watch
	stopped  bool
	best     map[string]*tensor.Dense // weights to restore
	saved    time.Time                // of the last checkpoint
}

func newFit(c Config) (*fit, error) {
	if err := c.Recipe.Check(); err != nil {
		return nil, err
	}
	f := &fit{
		Config: c, rate: c.Recipe.LearningRate, saved: time.Now(),
		span:    Span{StepsPerEpoch: (c.Train.Len() + c.Recipe.BatchSize - 1) / c.Recipe.BatchSize, Epochs: c.Recipe.Epochs},
		history: History{Validation: c.Validation != nil},
	}
	if c.Train.Len() == 0 {
		return nil, fmt.Errorf("%s: there are no images to train on", c.Train.Name)
	}
	if s := c.Recipe.EarlyStopping; s != nil {
		if err := f.monitored("early_stopping", s.Monitor); err != nil {
			return nil, err
		}
	}
	if p := c.Recipe.ReduceLROnPlateau; p != nil {
		if err := f.monitored("reduce_lr_on_plateau", p.Monitor); err != nil {
			return nil, err
		}
	}
	var err error
	if f.train, err = c.Program.Load(c.Train); err != nil {
		return nil, fmt.Errorf("load %s: %w", c.Train.Name, err)
	}
	if c.Validation != nil {
		if f.validation, err = c.Program.Load(c.Validation); err != nil {
			f.close()
			return nil, fmt.Errorf("load %s: %w", c.Validation.Name, err)
		}
	}
	for _, r := range []device.Resident{f.train, f.validation} {
		if r == nil {
			continue
		}
		for _, o := range f.Observers {
			if o.Loaded != nil {
				o.Loaded(r.Placement())
			}
		}
	}
	if err := f.begin(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// monitored checks that a monitored quantity exists.
func (f *fit) monitored(who, monitor string) error {
	if f.Validation == nil && (monitor == "" || monitor == "val_loss" || monitor == "val_accuracy") {
		return fmt.Errorf("%s: there is no validation set for val_loss: monitor loss or accuracy", who)
	}
	return nil
}

// begin takes up where a checkpoint ended.
func (f *fit) begin() error {
	if s := f.Start; s != nil {
		if s.Step > f.span.StepsPerEpoch || s.Epoch > len(s.History.Records) {
			return fmt.Errorf("the checkpoint (epoch %d, step %d) belongs to another training: an epoch has %d steps", s.Epoch, s.Step, f.span.StepsPerEpoch)
		}
		if err := f.Program.SetState(s.State); err != nil {
			return err
		}
		s.State = device.State{} // of a large network it is large
		f.epoch, f.steps, f.running, f.seconds = s.Epoch, s.Step, s.Running, s.Seconds
		f.history.Records = s.History.Records
		f.rate, f.stopping, f.plateau, f.stopped = s.Rate, s.Stopping, s.Plateau, s.Stopped
		f.best = s.Best
	}
	return nil
}

func (f *fit) close() {
	for _, r := range []device.Resident{f.train, f.validation} {
		if r != nil {
			_ = r.Close() // the program's memory goes with the program
		}
	}
}

// runEpoch trains what is left of an epoch and validates.
func (f *fit) runEpoch(ctx context.Context) error {
	begin := time.Now()
	order := Order(f.Train.Len(), f.epoch, f.Recipe.Seed, f.Recipe.Shuffle)
	rates := f.rates()
	for _, o := range f.Observers {
		if o.EpochBegin != nil {
			o.EpochBegin(f.epoch, f.steps)
		}
	}
	for f.steps < f.span.StepsPerEpoch {
		err := f.runSteps(ctx, order, rates)
		switch {
		case errors.Is(err, errSnapshot):
			if err := f.checkpoint(f.seconds + time.Since(begin).Seconds()); err != nil {
				return err
			}
		case err != nil && ctx.Err() != nil:
			return errors.Join(err, f.checkpoint(f.seconds+time.Since(begin).Seconds()))
		case err != nil:
			return err
		}
	}
	record := Record{
		Epoch: f.epoch, Loss: f.running.Loss(), Accuracy: f.running.Accuracy(), LearningRate: float64(rates[len(rates)-1]),
	}
	if f.validation != nil {
		m, err := f.validate(ctx)
		if err != nil {
			if ctx.Err() != nil {
				// The epoch's steps are done: a training that goes on begins with its validation.
				return errors.Join(err, f.checkpoint(f.seconds+time.Since(begin).Seconds()))
			}
			return err
		}
		record.ValLoss, record.ValAccuracy = m.Loss(), m.Accuracy()
	}
	record.Seconds = f.seconds + time.Since(begin).Seconds()
	return f.endEpoch(record)
}

// rates are the learning rates of the running epoch's steps.
func (f *fit) rates() []float32 {
	rates := make([]float32, f.span.StepsPerEpoch)
	for i := range rates {
		rates[i] = float32(f.rate)
		if f.Recipe.ReduceLROnPlateau == nil {
			rates[i] = float32(f.Recipe.Rate(int64(f.epoch)*int64(f.span.StepsPerEpoch)+int64(i), f.span))
		}
	}
	return rates
}

// runSteps trains from the step reached until the epoch ends, ctx ends or a checkpoint is due (errSnapshot).
func (f *fit) runSteps(ctx context.Context, order []int32, rates []float32) error {
	stepped := make(chan struct{})
	ctx, snapshotDue := f.watchSnapshots(ctx, stepped)
	from, batch := f.steps, f.Recipe.BatchSize
	last := len(rates)
	m, err := f.Program.Train(ctx, f.train, device.Epoch{
		Number: f.epoch, Order: order[from*batch:], Rates: rates[from:], Start: f.running,
		Progress: func(p device.Progress) {
			if stepped != nil && p.Step > 0 {
				close(stepped)
				stepped = nil
			}
			f.progress(from+p.Step, p.Metrics)
		},
	})
	due := snapshotDue()
	var nonFinite *device.NonFiniteError
	if errors.As(err, &nonFinite) {
		return &NonFiniteError{Epoch: f.epoch + 1, Step: from + nonFinite.Step, Loss: nonFinite.Loss}
	}
	if err != nil && ctx.Err() == nil {
		return err
	}
	f.running = m
	f.steps = (int(m.Count) + batch - 1) / batch
	switch {
	case err != nil:
		return err
	case f.steps != last:
		return fmt.Errorf("epoch %d: the device did steps up to %d, %d were asked for", f.epoch+1, f.steps, last)
	case due:
		return errSnapshot
	}
	return nil
}

// watchSnapshots returns a context that ends with errSnapshot when a checkpoint is due, and a function that ends it and reports
// whether one was. It waits for the first step, so that a training with requests without end still goes on.
func (f *fit) watchSnapshots(parent context.Context, stepped <-chan struct{}) (context.Context, func() bool) {
	ctx, cancel := context.WithCancelCause(parent)
	var due <-chan time.Time
	timer := time.NewTimer(max(0, f.CheckpointEvery-time.Since(f.saved)))
	if f.CheckpointEvery > 0 {
		due = timer.C
	}
	done := make(chan bool)
	go func() {
		select {
		case <-stepped:
		case <-ctx.Done():
			done <- false
			return
		}
		select {
		case <-due:
			cancel(errSnapshot)
			done <- true
		case <-f.Snapshots:
			cancel(errSnapshot)
			done <- true
		case <-ctx.Done():
			done <- false
		}
	}()
	return ctx, func() bool {
		timer.Stop()
		cancel(nil)
		return <-done
	}
}

func (f *fit) progress(step int, m device.Metrics) {
	for _, o := range f.Observers {
		if o.Progress != nil {
			o.Progress(Progress{f.epoch, step, f.span.StepsPerEpoch, m})
		}
	}
}

// validate evaluates the weights to use on the validation set.
func (f *fit) validate(ctx context.Context) (device.Metrics, error) {
	e, err := f.Program.Evaluate(ctx, f.validation)
	return e.Metrics, err
}

// endEpoch notes an epoch, asks the callbacks and tells the observers.
func (f *fit) endEpoch(r Record) error {
	f.history.Records = append(f.history.Records, r)
	stopping := EarlyStopping{}
	if f.Recipe.EarlyStopping != nil {
		stopping = *f.Recipe.EarlyStopping
	} else if f.Validation == nil {
		stopping.Monitor = "loss"
	}
	best, stop := stopping.step(&f.stopping, r, f.epoch)
	f.stopped = stop && f.Recipe.EarlyStopping != nil
	if p := f.Recipe.ReduceLROnPlateau; p != nil {
		f.rate = p.step(&f.plateau, r, f.epoch, f.rate)
	}
	f.epoch, f.steps, f.running, f.seconds = f.epoch+1, 0, device.Metrics{}, 0
	restorable := best && stopping.RestoreBestWeights
	if len(f.Observers) == 0 && !restorable {
		return nil // a GPU would send its state for nobody
	}
	return f.Program.View(func(whole device.State) error {
		use := toUse(whole)
		if restorable {
			f.best = nil // before there is another
			f.best = device.CloneAll(use.Weights)
		}
		for _, o := range f.Observers {
			if o.EpochEnd != nil {
				if err := o.EpochEnd(EpochEnd{
					Record: r, History: f.history, Steps: f.span.StepsPerEpoch, Validated: f.Validation != nil, Best: best, State: use,
				}); err != nil {
					return err
				}
			}
		}
		return f.report(whole, 0)
	})
}

// checkpoint hands the whole state of the training to the observers that want it.
func (f *fit) checkpoint(seconds float64) error {
	return f.Program.View(func(whole device.State) error { return f.report(whole, seconds) })
}

func (f *fit) report(whole device.State, seconds float64) error {
	f.saved = time.Now()
	for _, o := range f.Observers {
		if o.Checkpoint == nil {
			continue
		}
		if err := o.Checkpoint(Checkpoint{
			State: whole, Best: f.best, Epoch: f.epoch, Step: f.steps, Running: f.running, Seconds: seconds,
			History: f.history, Rate: f.rate, Stopping: f.stopping, Plateau: f.plateau, Stopped: f.stopped,
		}); err != nil {
			return err
		}
	}
	return nil
}
