package train

import (
	"maps"

	"gorgonia.org/tensor"

	"gcnn/device"
)

// toUse is a state with the weights to use in place: the averaged ones where there are any. The state that it got stays as it is.
func toUse(state device.State, err error) (device.State, error) {
	if err != nil || state.Average == nil {
		return state, err
	}
	state.Weights = maps.Clone(state.Weights)
	maps.Copy(state.Weights, state.Average)
	state.Average = nil
	return state, nil
}

// leave leaves the weights to use in the program: those given, else the averaged ones, else its own.
func (f *fit) leave(best map[string]*tensor.Dense) error {
	if best == nil && f.Recipe.EMA.Momentum == 0 {
		return nil
	}
	state, err := toUse(f.Program.State())
	if err != nil {
		return err
	}
	if best != nil {
		state.Weights = best
	}
	return f.Program.SetState(state)
}
