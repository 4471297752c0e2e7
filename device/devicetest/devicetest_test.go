package devicetest

import (
	"testing"

	"gcnn/device"
	"gcnn/device/reference"
)

// TestReference runs the suite on the reference itself.
func TestReference(t *testing.T) {
	RunAll(t, func(testing.TB) device.Device { return reference.Open(reference.Options{}) })
}
