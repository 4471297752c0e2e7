package cpu_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gcnn/cpu"
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/device/devicetest"
)

func open(workers int) func(testing.TB) device.Device {
	return func(t testing.TB) device.Device {
		t.Helper()
		d, err := cpu.Open(cpu.Options{Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

// TestConformance runs the suite on every set of kernels that this processor has; with the race detector on the fastest alone.
func TestConformance(t *testing.T) {
	for _, path := range kernel.Available() {
		t.Run(string(path), func(t *testing.T) {
			t.Setenv("GCNN_CPU", string(path))
			devicetest.RunAll(t, open(2))
		})
		if cpu.RaceDetector {
			break
		}
	}
}

// TestUnknownKernels asks for kernels that no processor has.
func TestUnknownKernels(t *testing.T) {
	t.Setenv("GCNN_CPU", "abacus")
	if _, err := cpu.Open(cpu.Options{}); !errors.Is(err, device.ErrUnavailable) || !strings.Contains(err.Error(), "abacus") {
		t.Errorf("unknown kernels: %v, want %v that names them", err, device.ErrUnavailable)
	}
}

// TestVectorWidthsHaveTheSameBits trains with each assembly path.
func TestVectorWidthsHaveTheSameBits(t *testing.T) {
	for _, name := range []string{"cnn", "lenet5"} {
		net, plan := preset(t, name), lesson(name)
		set := images(t, net, 3*plan.Batch+21)
		var first device.State
		for i, path := range kernel.Available() {
			if path == kernel.Portable {
				continue // it rounds products: the conformance suite holds it to its bound
			}
			t.Setenv("GCNN_CPU", string(path))
			_, s := learnt(t, 2, net, plan, set, 0.01)
			if i == 0 {
				first = s
				continue
			}
			sameBits(t, fmt.Sprintf("%s: %s and %s", name, kernel.Available()[0], path), first, s)
		}
	}
}

// TestStreamed uses sets where they are, as those that are too large to be copied.
func TestStreamed(t *testing.T) {
	devicetest.RunStreamed(t, func(t testing.TB, streams bool) device.Device {
		o := cpu.Options{Workers: 2}
		if streams {
			o.SetMemory = 1
		}
		d, err := cpu.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}
