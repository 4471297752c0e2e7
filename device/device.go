// Package device is the boundary between training and the machines that compute: what a backend implements, what it is asked,
// and the checks that all backends share.
//
// The boundary is coarse on purpose. A call per operation could neither fuse (the CPU's speed) nor replay a captured graph (the
// GPU's): a Program takes a whole epoch's order and learning rates at once and needs no word from the host for a step.
package device

import (
	"context"
	"errors"

	"gorgonia.org/tensor"

	"gcnn/data"
	"gcnn/model"
)

// Errors that callers branch on; backends wrap them.
var (
	ErrClosed      = errors.New("closed")                 // the device or program was closed
	ErrArgument    = errors.New("invalid argument")       // a shape, an index or an option that does not fit
	ErrNoTraining  = errors.New("compiled for inference") // Train on a program compiled without Plan.Training
	ErrMemory      = errors.New("not enough memory")      // the device's memory does not hold the program
	ErrUnavailable = errors.New("device unavailable")     // no such device here, or this build cannot use it
	ErrLost        = errors.New("device lost")            // the device failed for good; only Close is left
)

// Device is a machine that compiles networks. Its methods may be called from several goroutines.
type Device interface {
	Info() Info
	// Compile makes a network ready to run: parameters (zero until SetState), optimiser slots, activations and workspace are
	// allocated here. Only Trace, and Predict and Evaluate of another number of images than Plan.Batch, may allocate more when they
	// are first called.
	Compile(net *model.Network, plan Plan) (Program, error)
	// Outline tells what Compile would make, without making it, and where Load would keep sets, loaded in this order.
	Outline(net *model.Network, plan Plan, sets ...*data.Set) (Outline, error)
	// Close frees the device. Programs must be closed before.
	Close() error
}

// Info describes a device to people.
type Info struct {
	Name    string   // as --device takes it: "cpu", "cuda:0"
	Model   string   // the processor's or GPU's own name
	Details []Detail // what else is worth knowing, in order
}

// Detail is a fact about a device.
type Detail struct{ Key, Value string }

// Program is a network made ready on one device. Its methods must not run at the same time, except Close, which waits.
type Program interface {
	// State copies parameters, moving statistics, optimiser slots and averaged weights to the host, in Keras' layout.
	State() (State, error)
	// View lends read the same, without a copy where the program lies in the host's memory: what the state of a large network is
	// read for, such as a file, takes no memory. read must not change the tensors, keep them or call the program.
	View(read func(State) error) error
	// SetState replaces parameters and moving statistics, which must all be there with the network's shapes, and the
	// optimiser's slots and step. Without slots (State.Slots is nil) the slots become zero; without averaged weights
	// (State.Average is nil) they become the weights.
	SetState(State) error
	// Load makes a set ready, once. Its image shape must be the network's input. It is copied to the device where it fits;
	// where it does not, it is streamed from where it is, and must stay as it is until the Resident is closed. The results are
	// the same bits either way. Where it stands for a file that is cut off meanwhile, methods that read it end with an error that
	// wraps data.ErrUnreadable; Train's is then a state to throw away.
	Load(set *data.Set) (Resident, error)
	// Train runs the epoch's steps. When ctx ends, Train stops after the running step and returns what was done with ctx's
	// cause; the weights are those after that step. A loss that is NaN or infinite ends it with a *NonFiniteError.
	Train(ctx context.Context, set Resident, epoch Epoch) (Metrics, error)
	// Evaluate computes the loss, the accuracy and every probability for a labelled set, in inference mode, with the averaged
	// weights where Training.EMA keeps some; as does Predict.
	Evaluate(ctx context.Context, set Resident) (Evaluation, error)
	// Predict computes the network's output for images of the host, [N, output…] in inference mode.
	Predict(ctx context.Context, images *data.Set) (*tensor.Dense, error)
	// Trace runs one forward and backward pass and returns every layer's output and gradients. The program must be
	// compiled with Plan.Trace. Weights and moving statistics stay as they are.
	Trace(ctx context.Context, in TraceInput) (Trace, error)
	// Profile is the time spent in each task since Compile; empty unless the program was compiled with Plan.Profile.
	Profile() []TaskTime
	// Close frees the program's memory. A second Close does nothing.
	Close() error
}

// Resident is a set that a program has at hand.
type Resident interface {
	Len() int
	Placement() Placement
	Close() error
}

// Placement is where a device has a set.
type Placement struct {
	Set      string // its name
	Bytes    int64  // of its images and labels
	Streamed bool   // it is read from where it is, over and over; else a copy lies on the device
}

// Plan says what a network is compiled for.
type Plan struct {
	Batch         int                 // samples of a step, or of most predictions; at least 1
	Normalization model.Normalization // how bytes become floats; a set of floats is not divided by 255
	Training      *Training           // nil: forward only, for Evaluate and Predict
	Trace         bool                // nothing is fused away, so that Trace can show every layer
	Profile       bool                // take the time of each task
	// Exact allows no algorithm that changes the number of operations, such as Winograd's, and lets the first of equal maxima take
	// a max pool's gradient, as Keras does. Without it any one of them may.
	Exact bool
}

// Training says how a network learns. The loss is categorical cross-entropy, computed from the logits of the network's softmax.
type Training struct {
	Optimizer      Optimizer
	WeightDecay    float32   // decoupled, as in Keras: w −= rate·decay·w before the step; 0 is none
	ClipNorm       float32   // scales all gradients so that their global norm is at most this; 0 is none
	LabelSmoothing float32   // in [0, 1): targets become y·(1−s) + s/classes; for Evaluate too, as in Keras
	ClassWeights   []float32 // a factor of each sample's loss by its class, the mean being still over B; nil is 1; not for Evaluate
	Augment        Augment   // changes training images as they are gathered
	Seed           uint64    // of dropout and augmentation
	EMA            EMA       // of the trainable weights
}

// EMA keeps an exponential moving average of the trainable weights, as Keras' use_ema: average = Momentum·average + (1−Momentum)·w
// after every Every-th step, counted over the whole training. It begins at the weights that SetState sets, unless that sets it
// too. Evaluate and Predict use it in place of the weights.
type EMA struct {
	Momentum float32 // in [0, 1); 0 is none
	Every    int     // steps; 0 is 1
}

// Due reports whether the average is updated after a step, when so many have been taken before it.
func (e EMA) Due(taken int64) bool { return e.Momentum > 0 && (taken+1)%int64(max(e.Every, 1)) == 0 }

// Augment changes a training image; what is drawn depends on the seed, the epoch and the sample's index alone.
type Augment struct {
	Flip       Flip    // horizontal mirror
	Shift      int     // moves by up to so many pixels each way, zeros (before normalising) come in
	Cutout     int     // side of a square of zeros with a random centre; 0 is none
	Rotate     float32 // rotates by up to so many degrees each way, bilinear
	Brightness float32 // adds up to this each way, in units of the full range
	Contrast   float32 // scales the distance from the image's mean by 1 ± up to this
}

// Flip says when images are mirrored.
type Flip uint8

// The ways to flip.
const (
	NoFlip          Flip = iota
	RandomFlip           // each image with probability one half
	AlternatingFlip      // a random half in even epochs, the other half in odd ones
)

// Epoch is what Train is asked to do.
type Epoch struct {
	Number   int            // from 0: for augmentation
	Order    []int32        // indices into the set, one for each sample; the last step may be partial
	Rates    []float32      // the learning rate of each step, ⌈len(Order)/Batch⌉ of them
	Start    Metrics        // what was summed before, when an interrupted epoch goes on
	Progress func(Progress) // called now and then by the goroutine that called Train, and once at the end; may be nil
}

// Progress is how far Train is.
type Progress struct {
	Step, Steps int // steps done and to do, of this call
	Metrics     Metrics
}

// Metrics are sums over samples, so that they can go on being summed.
type Metrics struct {
	LossSum float64 // of the samples' losses
	Correct int64   // samples whose largest output is their label's
	Count   int64   // samples
}

// Loss is the mean loss of a sample: Keras' batch-size-weighted running mean.
func (m Metrics) Loss() float64 { return m.LossSum / float64(m.Count) }

// Accuracy is the share of samples classified correctly.
func (m Metrics) Accuracy() float64 { return float64(m.Correct) / float64(m.Count) }

// Evaluation is what Evaluate finds.
type Evaluation struct {
	Metrics
	Probabilities *tensor.Dense // [N, classes]
}

// State is what a program has learnt. Tensors are float32 in Keras' layout.
type State struct {
	Step    int64                    // optimiser steps taken (Keras' iterations)
	Weights map[string]*tensor.Dense // by parameter name: "conv2d/kernel"
	Slots   map[string]*tensor.Dense // by parameter and slot: "conv2d/kernel/velocity"
	Average map[string]*tensor.Dense // with Training.EMA: of each trainable parameter, by its name; nil without
	// Keep lets SetState of a program without training keep Weights instead of copying them, so that large weights are in memory once.
	// Whoever sets it changes the tensors no more.
	Keep bool
}

// TraceInput is what Trace runs: images and either an upstream gradient or labels.
type TraceInput struct {
	X      *tensor.Dense // [n, h, w, c] float32, taken as they are, n ≤ Batch
	DY     *tensor.Dense // [n, output…]: the gradient at the output of Σ y·dy; nil where Labels are given
	Labels []uint16      // the loss is the mean cross-entropy of the batch, as in training
	Infer  bool          // inference mode: dropout and batch normalisation as in Evaluate
	Step   int64         // which draw of dropout
}

// Trace is what Trace saw. With labels, a final softmax and the loss are one: the gradient at its input is in OutputGrads under
// the softmax layer's own name (for a Dense with softmax: the gradient at its logits).
type Trace struct {
	Outputs     map[string]*tensor.Dense // by layer, [n, …]
	OutputGrads map[string]*tensor.Dense // by layer: the gradient at the layer's output
	InputGrad   *tensor.Dense            // [n, h, w, c]
	ParamGrads  map[string]*tensor.Dense // by parameter; trainable ones
	Loss        float64                  // mean loss, with labels
	Updated     map[string]*tensor.Dense // moving statistics as this step would leave them
}

// Outline is what a network compiles to on a device.
type Outline struct {
	Tasks  []Task
	Memory []Memory
	Sets   []Placement // of the sets that were asked about
}

// Task is a unit of work of a compiled step.
type Task struct {
	Name   string   // such as "conv2d+relu+max_pooling2d forward"
	Layers []string // the layers that it computes
	Kernel string   // what computes it
	Why    string   // why that, where it is not the usual choice
	FLOPs  int64    // of one step
}

// TaskTime is a task with the time spent in it.
type TaskTime struct {
	Task
	Calls   int64   // steps that it was part of
	Seconds float64 // summed over workers
	Peak    float64 // floating-point operations a second that one worker could do, as measured; 0 where that is unknown
}

// Memory is a part of the memory that a program takes.
type Memory struct {
	Use   string // "weights", "optimizer", "activations", "workspace"
	Bytes int64
}
