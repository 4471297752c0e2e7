// Package devicetest is the conformance suite of device.Device. A backend's test file runs all of it in one line:
//
//	func TestConformance(t *testing.T) { devicetest.RunAll(t, open) }
//
// The judge is package reference. In the exact tier the data are small integers (and powers of two), so that every float32
// implementation must have the same bits; in the derived tier they are reals, and an implementation must lie within the
// radius that the reference derives for each element. There is no other tolerance.
package devicetest

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"gcnn/device"
)

// RunAll runs the suite on devices that open makes and that the suite closes. Each of its tests has a device of its own, and
// the subtests of a test share theirs in parallel.
//
// In short mode (testing.Short) fewer random networks are tried; nothing else is left out.
func RunAll(t *testing.T, open func(testing.TB) device.Device) {
	boundRandom(t)
	run(t, open, append([]group{
		{"Layers", testLayers},
		{"Random", testRandom},
		{"Loss", testLoss},
		{"Dropout", testDropout},
		{"Optimizers", testOptimizers},
		{"Networks", testNetworks},
		{"Augmentation", testAugmentation},
		{"Exact", testExactSteps},
		{"State", testState},
		{"Ending", testEnding},
		{"Misuse", testMisuse},
		{"Description", testDescription},
	}, inference...))
	t.Run("Closed", func(t *testing.T) { testClosedDevice(t, open(t)) })
}

// RunInference runs the part of RunAll that is about Predict and Evaluate, for a backend that has several ways to do them.
func RunInference(t *testing.T, open func(testing.TB) device.Device) { run(t, open, inference) }

var inference = []group{{"Inference", testInference}, {"Few", testFew}}

// group is a test with a device of its own.
type group struct {
	name string
	run  func(*testing.T, device.Device)
}

func run(t *testing.T, open func(testing.TB) device.Device, groups []group) {
	running := goleak.IgnoreCurrent()
	for _, group := range groups {
		t.Run(group.name, func(t *testing.T) {
			dev := open(t)
			t.Cleanup(func() {
				if err := dev.Close(); err != nil {
					t.Errorf("closing the device: %v", err)
				}
			})
			group.run(t, dev)
		})
	}
	if !t.Failed() { // a test that failed may have left something open
		goleak.VerifyNone(t, running)
	}
}

// boundRandom sets how many random networks rapid tries, unless the command line does. Rapid takes a fifth in short mode.
func boundRandom(t *testing.T) {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if given {
		return
	}
	for name, value := range map[string]string{"rapid.checks": "60", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
}

// testDescription checks what people and programs read about a device.
func testDescription(t *testing.T, dev device.Device) {
	info := dev.Info()
	if info.Name == "" || info.Model == "" {
		t.Errorf("a device has a name and a model, got %+v", info)
	}
	for _, net := range []string{"cnn", "lenet5"} {
		checkOutline(t, dev, preset(net))
	}
	checkOutline(t, dev, branched())
}
