package train

import (
	"maps"

	"gorgonia.org/tensor"

	"gcnn/device"
)

// toUse is a state with the weights to use in place: the averaged ones where there are any. The state that it got stays as it is.
func toUse(state device.State) device.State {
	if state.Average == nil {
		return state
	}
	state.Weights = maps.Clone(state.Weights)
	maps.Copy(state.Weights, state.Average)
	state.Average = nil
	return state
}

// leave leaves the weights to use in the program: those given, else the averaged ones, else its own. Where they are not its own
// the optimiser begins anew, which saves a copy of its slots.
func (f *fit) leave(weights map[string]*tensor.Dense) error {
	if weights == nil {
		if f.Recipe.EMA.Momentum == 0 {
			return nil
		}
		if err := f.Program.View(func(s device.State) error {
			weights = device.CloneAll(toUse(s).Weights)
			return nil
		}); err != nil {
			return err
		}
	}
	return f.Program.SetState(device.State{Weights: weights})
}
