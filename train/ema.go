package train

import (
	"errors"
	"fmt"
	"maps"

	"gorgonia.org/tensor"

	"gcnn/device"
)

// trainable copies the weights that are averaged: all but moving statistics and the parameters of frozen layers.
func (f *fit) trainable() (map[string]*tensor.Dense, error) {
	state, err := f.Program.State()
	if err != nil {
		return nil, err
	}
	weights := map[string]*tensor.Dense{}
	for _, p := range f.Network.Params() {
		if p.Trainable {
			weights[p.Name] = state.Weights[p.Name]
		}
	}
	return weights, nil
}

// updateAverage takes the program's weights into the average.
func (f *fit) updateAverage() error {
	weights, err := f.trainable()
	if err != nil {
		return err
	}
	m := float32(f.Recipe.EMA.Momentum)
	for name, t := range weights {
		w, ok := t.Data().([]float32)
		a, okA := f.average[name].Data().([]float32)
		if !ok || !okA || len(w) != len(a) {
			return fmt.Errorf("the averaged weight %s does not fit the network", name)
		}
		for i, v := range w {
			a[i] = m*a[i] + (1-m)*v
		}
	}
	return nil
}

// state is the program's state with the averaged weights in place, where there are any.
func (f *fit) state() (device.State, error) { return f.averaged(f.Program.State()) }

// averaged puts the averaged weights, where there are any, into a state. The state that it got stays as it is.
func (f *fit) averaged(state device.State, err error) (device.State, error) {
	if err != nil || f.average == nil {
		return state, err
	}
	state.Weights = maps.Clone(state.Weights)
	for name, t := range f.average {
		c, ok := t.Clone().(*tensor.Dense)
		if !ok {
			return state, fmt.Errorf("the averaged weight %s cannot be copied", name)
		}
		state.Weights[name] = c
	}
	return state, nil
}

// withAverage runs do while the program holds the averaged weights.
func (f *fit) withAverage(do func() error) error {
	if f.average == nil {
		return do()
	}
	raw, err := f.Program.State()
	if err != nil {
		return err
	}
	if err := f.useAverage(nil); err != nil {
		return err
	}
	return errors.Join(do(), f.Program.SetState(raw))
}

// useAverage leaves the weights to use in the program: those given, else the averaged ones, else its own.
func (f *fit) useAverage(best map[string]*tensor.Dense) error {
	if best == nil && f.average == nil {
		return nil
	}
	state, err := f.state()
	if err != nil {
		return err
	}
	if best != nil {
		state.Weights = best
	}
	return f.Program.SetState(state)
}
