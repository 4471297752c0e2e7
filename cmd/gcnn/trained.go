package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"gcnn/data"
	"gcnn/device"
	"gcnn/train"
)

// trainedFlags name a trained network where no RUN does.
var trainedFlags = []cli.Flag{
	&cli.StringFlag{Name: "model", Usage: "a preset (" + presetList() + ") or a YAML `FILE`, for --weights that do not name their network"},
	&cli.StringFlag{Name: "weights", Usage: "a safetensors or NPZ `FILE`, instead of RUN"},
	classesFlag,
}

// openTrained reads the network and its weights: those of RUN, of a weights file of gcnn, or --weights for --model.
func openTrained(c *cli.Context, run string) (train.Trained, error) {
	name, file := c.String("model"), c.String("weights")
	switch {
	case run != "" && (name != "" || file != ""):
		return train.Trained{}, usagef("give either RUN or --weights, not both")
	case run == "" && file == "":
		return train.Trained{}, usagef("which network? Give RUN, or --weights (with --model)")
	case name == "":
		if err := ownClasses(c); err != nil {
			return train.Trained{}, err
		}
		return train.ReadTrained(run + file) // one of them is empty
	}
	net, err := openModel(c, name)
	if err != nil {
		return train.Trained{}, err
	}
	return train.ReadTrainedAs(file, net)
}

// session is a trained network on a device.
type session struct {
	trained train.Trained
	device  device.Device
	program device.Program
}

// openSession compiles a trained network for inference.
func openSession(c *cli.Context, t train.Trained, batch int) (*session, error) {
	if batch < 1 {
		return nil, usagef("--batch-size is at least 1, got %d", batch)
	}
	d, _, err := openDevice(chosen(c))
	if err != nil {
		return nil, err
	}
	s := &session{trained: t, device: d}
	s.program, err = d.Compile(t.Network, device.Plan{Batch: batch, Normalization: t.Normalization})
	if err == nil {
		err = s.program.SetState(device.State{Weights: t.Weights, Keep: true})
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("device %s: %w", d.Info().Name, err)
	}
	return s, nil
}

func (s *session) close() {
	if s.program != nil {
		_ = s.program.Close() // the process is about to end
	}
	_ = s.device.Close()
}

// className is the name of a class, or its number where weights do not name their classes.
func (s *session) className(class int) string {
	return (&data.Set{Classes: s.trained.Classes}).ClassName(class)
}

// errSome is the end of a command some of whose files were faulty; each has been reported.
var errSome = errors.New("some files could not be read")
