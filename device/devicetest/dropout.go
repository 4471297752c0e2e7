package devicetest

import (
	"context"
	"fmt"
	"testing"

	"gcnn/device"
	"gcnn/model"
)

// testDropout compares masks with their definition, device.Keeps, element by element.
func testDropout(t *testing.T, dev device.Device) {
	for _, c := range []struct {
		in       model.Shape
		rate     float32
		batch, n int
		seed     uint64
		step     int64
	}{
		{model.Shape{3, 5, 7}, 0.5, 17, 17, 1, 0},
		{model.Shape{3, 5, 7}, 0.1, 33, 18, 1 << 40, 1},
		{model.Shape{1, 1, 1}, 0.5, 64, 63, 3, 70000},
		{model.Shape{2, 2, 3}, 0.9, 5, 1, ^uint64(0), 1<<32 - 1},
		{model.Shape{4, 4, 17}, 0.25, 16, 16, 0, 3},
	} {
		t.Run(fmt.Sprintf("%v %g", c.in, c.rate), func(t *testing.T) {
			t.Parallel()
			// Two of them: layers draw apart.
			net := mustNet(c.in, model.Activation{Name: "ones"}, model.Dropout{Name: "a", Rate: c.rate},
				model.Dropout{Name: "b", Inputs: []string{"ones"}, Rate: c.rate}, model.Concatenate{Inputs: []string{"a", "b"}})
			p, err := dev.Compile(net, device.Plan{Batch: c.batch, Trace: true, Training: &device.Training{Optimizer: device.SGD{}, Seed: c.seed}})
			if err != nil {
				t.Fatal(err)
			}
			defer closeProgram(t, p)
			one := func() float32 { return 1 }
			trace, err := p.Trace(context.Background(), device.TraceInput{
				X: fill(one, batchShape(c.n, c.in)...), DY: fill(one, batchShape(c.n, net.Output())...), Step: c.step,
			})
			if err != nil {
				t.Fatal(err)
			}
			for layer, name := range map[int]string{1: "a", 2: "b"} {
				for i, v := range trace.Outputs[name].Float32s() {
					if kept := device.Keeps(c.seed, c.step, layer, i, c.rate); kept != (v != 0) {
						t.Fatalf("%s: element %d is %g, kept is %v", name, i, v, kept)
					}
				}
			}
		})
	}
}

func closeProgram(t *testing.T, p device.Program) {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Errorf("closing the program: %v", err)
	}
}
