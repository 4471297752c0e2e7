package cpu

import (
	"testing"

	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/device/devicetest"
)

// across makes programs whose training steps have channels in the lanes wherever that is possible, whatever takes less time.
func across(p *program) { p.across = hasChannelForm(p.net) }

// TestAcrossConformance runs the whole suite with channels in the lanes of feature maps, on every set of kernels.
func TestAcrossConformance(t *testing.T) {
	for _, path := range kernel.Available() {
		t.Run(string(path), func(t *testing.T) {
			devicetest.RunAll(t, func(t testing.TB) device.Device {
				d, err := Open(Options{Workers: 2, Kernels: path})
				if err != nil {
					t.Fatal(err)
				}
				d.(*Device).options = []func(*program){across}
				return d
			})
		})
	}
}
