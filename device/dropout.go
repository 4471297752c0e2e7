package device

import "gcnn/internal/philox"

// Keeps is the definition of dropout's masks: whether a layer of this rate keeps an element. The layer is its index in
// Network.Nodes, the step is State.Step before the step (0 for the first one; of a trace TraceInput.Step), and the element is
// its index in the batch in channels-last order, sample·size + place.
//
// An element is kept where philox.Unit of its word is at least the rate, and is then scaled by 1/(1−rate).
func Keeps(seed uint64, step int64, layer, element int, rate float32) bool {
	words := philox.Words(seed, philox.Dropout, uint32(element/4), uint32(step), uint32(layer))
	return philox.Unit(words[element%4]) >= rate
}
