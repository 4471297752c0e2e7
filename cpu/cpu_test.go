package cpu_test

import (
	"testing"

	"gcnn/cpu"
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

func TestConformance(t *testing.T) { devicetest.RunAll(t, open(2)) }
