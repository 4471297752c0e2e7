package parity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gcnn/data"
	"gcnn/device"
	"gcnn/device/reference"
	"gcnn/model"
)

func newCase(t *testing.T) Case {
	net, err := model.New("small", model.Shape{6, 6, 2},
		model.Conv2D{Filters: 4, KernelSize: model.Square(3)}, model.BatchNormalization{}, model.Activation{Func: model.ReLU},
		model.MaxPool2D{}, model.Flatten{}, model.Dropout{Rate: 0.25}, model.Dense{Units: 3, Activation: model.Softmax})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	set := &data.Set{Name: "random", Height: 6, Width: 6, Channels: 2, Classes: []string{"a", "b", "c"}}
	for range 10 {
		set.Labels = append(set.Labels, uint16(rng.IntN(3)))
		for range set.ImageSize() {
			set.Pixels = append(set.Pixels, uint8(rng.IntN(256)))
		}
	}
	return Case{
		Net: net, Weights: net.InitialWeights(1), Set: set, Training: device.Training{Optimizer: device.NewAdam(), Seed: 3},
		Rate: 0.01, Batch: 4, Steps: 5,
	}
}

// TestReferenceAgainstItself finds nothing but the rounding to float32 at the boundary.
func TestReferenceAgainstItself(t *testing.T) {
	t.Parallel()
	c := newCase(t)
	r, err := Compare(context.Background(), c, reference.Open(reference.Options{}), reference.Open(reference.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Within || len(r.Layers) != 8 || len(r.Steps) != 5 || len(r.Devices) != 2 || len(r.Loss) != 2 {
		t.Errorf("%+v", r)
	}
	for _, l := range r.Layers[1:] {
		for _, e := range l.Errors {
			if e.Output.Absolute > 1e-6 || e.Gradient.Absolute > 1e-6 || e.Parameters.Absolute > 1e-6 {
				t.Errorf("%s: %+v", l.Name, e)
			}
		}
	}
	for k, s := range r.Steps {
		if s.Drift[0].Absolute > 1e-6 || s.Between != 0 || s.Loss[0] <= 0 {
			t.Errorf("step %d: %+v", k+1, s)
		}
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"small, batch 4", "conv2d", "batch_normalization", "dense", "reference", "within its bound"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, table.String())
		}
	}
	t.Log("\n" + table.String())
}

// skewed is a device that computes with another ε than asked.
type skewed struct{ device.Device }

func (s skewed) Compile(net *model.Network, plan device.Plan) (device.Program, error) {
	training := *plan.Training
	training.Optimizer = device.Adam{Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-3}
	training.LabelSmoothing = 0.1
	plan.Training = &training
	return s.Device.Compile(net, plan)
}

// TestBeyondTheBound shows a wrong device as wrong.
func TestBeyondTheBound(t *testing.T) {
	t.Parallel()
	c := newCase(t)
	r, err := Compare(context.Background(), c, skewed{reference.Open(reference.Options{})}, reference.Open(reference.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	last := r.Layers[len(r.Layers)-1].Errors
	if r.Within || r.Loss[0].Share <= 1 || r.Loss[1].Share > 1 || last[0].Gradient.Share <= 1 || last[1].Gradient.Share > 1 {
		t.Errorf("%+v", r)
	}
	if s := r.Steps[0]; s.Drift[0].Share <= 1 || s.Drift[1].Share > 1 || s.Between == 0 {
		t.Errorf("%+v", s)
	}
	var table bytes.Buffer
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "beyond its bound") || !strings.Contains(table.String(), "%) !") {
		t.Errorf("%v\n%s", err, table.String())
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Error{Number(math.Inf(1)), 0.5})
	if err != nil || string(text) != `{"absolute":null,"share":0.5}` {
		t.Errorf("%s, %v", text, err)
	}
}

func TestBadCases(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Case){
		"no batch":       func(c *Case) { c.Batch = 0 },
		"negative steps": func(c *Case) { c.Steps = -1 },
		"no labels":      func(c *Case) { c.Set.Labels = nil },
		"no optimizer":   func(c *Case) { c.Training.Optimizer = nil },
		"no weights":     func(c *Case) { c.Weights = nil },
	} {
		c := newCase(t)
		change(&c)
		if _, err := Compare(context.Background(), c, reference.Open(reference.Options{})); !errors.Is(err, device.ErrArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
