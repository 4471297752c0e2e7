//go:build cuda

package cuda_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"gcnn/cuda"
	"gcnn/cuda/simulator"
	"gcnn/device"
	"gcnn/device/devicetest"
)

// TestMain says on what the tests ran: a GPU, or the simulator under cuda/simulator/run.sh.
func TestMain(m *testing.M) {
	if job := os.Getenv(childVariable); job != "" {
		child(job)
		return
	}
	d, err := cuda.Open(cuda.Options{})
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n(without a GPU: cuda/simulator/run.sh go test -tags cuda ./cuda)\n", err)
		os.Exit(1)
	}
	on := "a GPU"
	if simulator.Active() {
		on = "the simulator"
	}
	fmt.Fprintf(os.Stderr, "package cuda is tested on %s: %s %s\n", on, d.Info().Name, d.Info().Model)
	if err := d.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func open(t testing.TB, o cuda.Options) device.Device {
	t.Helper()
	d, err := cuda.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestConformance(t *testing.T) {
	devicetest.RunAll(t, func(t testing.TB) device.Device { return open(t, cuda.Options{}) })
}

// TestChecked is TestConformance with an allocation for each buffer, where an access beside one shows.
func TestChecked(t *testing.T) {
	devicetest.RunAll(t, func(t testing.TB) device.Device { return open(t, cuda.Options{Check: true}) })
}

// TestStreamedLate is TestStreamed where a stream's work runs only when that stream or one of its events is asked: nothing that
// the other stream needs happens to be done already.
func TestStreamedLate(t *testing.T) {
	t.Parallel()
	if !simulator.Active() {
		t.Skip("a GPU does its work when it likes; run this under cuda/simulator/run.sh")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestStreamed$")
	cmd.Env = append(os.Environ(), "GCNN_SIM_LAZY=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestStreamed streams sets in pieces of a few hundred bytes, so that each pass goes around its rings several times.
func TestStreamed(t *testing.T) {
	devicetest.RunStreamed(t, func(t testing.TB, streams bool) device.Device {
		if streams {
			return open(t, cuda.Options{SetMemory: 1, Staging: 300})
		}
		return open(t, cuda.Options{})
	})
}
