package devicetest

import (
	"testing"

	"gcnn/device"
	"gcnn/device/reference"
)

// TestReference runs the suite on the reference, which keeps its state in float32 for this, as other devices do.
func TestReference(t *testing.T) {
	RunAll(t, func(testing.TB) device.Device { return reference.Open(reference.Options{Float32State: true}) })
}
