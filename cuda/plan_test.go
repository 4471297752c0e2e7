//go:build cuda

package cuda

import (
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gcnn/cuda/simulator"
	"gcnn/device"
	"gcnn/model"
)

// TestPlace checks that buffers which are in use at the same time never share memory, and that others may.
func TestPlace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var buffers []*buffer
		for range rapid.IntRange(1, 40).Draw(t, "buffers") {
			first := rapid.IntRange(-1, 30).Draw(t, "first")
			buffers = append(buffers, &buffer{
				bytes: int64(rapid.IntRange(0, 5000).Draw(t, "bytes")), first: first, last: first + rapid.IntRange(0, 12).Draw(t, "length"),
				fixed: rapid.IntRange(0, 9).Draw(t, "fixed") == 0, pins: rapid.IntRange(0, 9).Draw(t, "pins") == 0,
			})
		}
		extent := place(buffers)
		shares := func(b *buffer) bool { return !b.fixed && b.first >= 0 && b.bytes > 0 }
		var busiest int64
		for step := -1; step < 45; step++ {
			var busy int64
			for _, b := range buffers {
				if shares(b) && (b.pins || b.first <= step && step <= b.last) {
					busy += aligned(b.bytes)
				}
			}
			busiest = max(busiest, busy)
		}
		if extent < busiest {
			t.Fatalf("%d bytes, and %d are in use at a time", extent, busiest)
		}
		for i, a := range buffers {
			if !shares(a) {
				continue
			}
			if a.offset%alignment != 0 || a.offset+a.bytes > extent {
				t.Fatalf("buffer %d lies at %d to %d of %d", i, a.offset, a.offset+a.bytes, extent)
			}
			for k, b := range buffers[:i] {
				if shares(b) && !apart(a, b) && a.offset < b.offset+b.bytes && b.offset < a.offset+a.bytes {
					t.Fatalf("buffers %d and %d are in use at once and overlap", i, k)
				}
			}
		}
	})
}

func openHere(t *testing.T, o Options) *Device {
	t.Helper()
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d.(*Device)
}

// TestNodes checks that the calls of a step of the preset cnn are those that docs/cuda.md lists. A call may be several kernels of
// cuDNN or cuBLAS on a GPU; the limit of 30 leaves room for them.
func TestNodes(t *testing.T) {
	t.Parallel()
	d := openHere(t, Options{})
	net, err := model.Preset("cnn", nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := d.Compile(net, device.Plan{Batch: 32, Training: &device.Training{Optimizer: device.NewAdam()}})
	if err != nil {
		t.Fatal(err)
	}
	p := compiled.(*program)
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()
	var list, documented []string
	for _, task := range p.train.tasks {
		list = append(list, task.Kernel)
	}
	if len(list) > 30 {
		t.Errorf("%d calls a step, at most 30 are wanted", len(list))
	}
	t.Logf("%d calls: %s", len(list), strings.Join(list, ", "))
	if _, noSource := os.Stat("plan_test.go"); noSource != nil || !simulator.Active() {
		return // a test binary beside no source, or a GPU, whose cuDNN may refuse some of them
	}
	text, err := os.ReadFile("../docs/cuda.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| call | why it is there |\n|---|---|\n")
	for row := range strings.Lines(table) {
		call, _, ok := strings.Cut(strings.TrimPrefix(row, "| "), " |")
		if !ok {
			break
		}
		documented = append(documented, call)
	}
	if !slices.Equal(list, documented) {
		t.Errorf("the calls are\n%s\nand docs/cuda.md says\n%s", strings.Join(list, "\n"), strings.Join(documented, "\n"))
	}
}

// TestOutline checks that the memory is what the outline says, and that the checking mode takes no less.
func TestOutline(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"cnn", "lenet5", "resnet9"} {
		net, err := model.Preset(name, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		plan := device.Plan{Batch: 4, Training: &device.Training{Optimizer: device.NewAdam()}}
		taken := map[bool]int64{}
		for _, check := range []bool{false, true} {
			d := openHere(t, Options{Check: check})
			o, err := d.Outline(net, plan)
			if err != nil {
				t.Fatal(err)
			}
			var said int64
			for _, m := range o.Memory {
				said += m.Bytes
			}
			p, err := d.Compile(net, plan)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range p.(*program).memory {
				taken[check] += a.bytes
			}
			if !check && taken[check] != said {
				t.Errorf("%s takes %d bytes, its outline says %d", name, taken[check], said)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		if taken[true] <= taken[false]*3/4 {
			t.Errorf("%s: %d bytes with an allocation for each buffer, %d in one", name, taken[true], taken[false])
		}
	}
}

// TestTurned checks that a state comes back from the device's layout as it went there, with every element in another place where
// the layouts differ.
func TestTurned(t *testing.T) {
	t.Parallel()
	net, err := model.New("layouts", model.Shape{5, 5, 6},
		model.Conv2D{Filters: 4, KernelSize: model.Size{H: 3, W: 2}, Groups: 2}, model.Conv2D{KernelSize: model.Square(2), DepthMultiplier: 3}, model.Flatten{}, model.Dense{Units: 5})
	if err != nil {
		t.Fatal(err)
	}
	p := &program{net: net, spec: device.Plan{Training: &device.Training{Optimizer: device.SGD{}}}, params: map[string]*param{}}
	p.layParams()
	for name, w := range net.InitialWeights(7) {
		q := p.params[name]
		all := make([]float32, p.values)
		if err := q.toDevice(all, w); err != nil {
			t.Fatal(err)
		}
		for i, v := range q.toHost(all).Float32s() {
			if v != w.Float32s()[i] {
				t.Fatalf("%s[%d] is %g, want %g", name, i, v, w.Float32s()[i])
			}
		}
		if len(w.Shape()) != 4 {
			continue
		}
		// Keras' [h, w, c, f] at the device's [f, h, w, c]; a depthwise filter is c·multiplier + m.
		h, wide, c, f := w.Shape()[0], w.Shape()[1], w.Shape()[2], w.Shape()[3]
		for i := range h {
			for j := range wide {
				for k := range c {
					for l := range f {
						at := ((l*h+i)*wide+j)*c + k
						if q.depthwise {
							at = ((k*f+l)*h+i)*wide + j
						}
						if got, want := all[q.offset+at], w.Float32s()[((i*wide+j)*c+k)*f+l]; got != want {
							t.Fatalf("%s[%d %d %d %d] is %g, want %g", name, i, j, k, l, got, want)
						}
					}
				}
			}
		}
	}
}

// TestBound checks that bounded changes make the same image, and fit 16 bits.
func TestBound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h, w := rapid.IntRange(1, 6).Draw(t, "height"), rapid.IntRange(1, 6).Draw(t, "width")
		side := rapid.IntRange(0, 40).Draw(t, "side")
		a := device.Augment{Flip: device.RandomFlip, Shift: rapid.IntRange(0, 40).Draw(t, "shift"), Cutout: side}
		if rapid.Bool().Draw(t, "turned") {
			a.Rotate = 180
		}
		c := a.Draw(rapid.Uint64().Draw(t, "seed"), 3, 7, h, w)
		src := make([]float32, h*w)
		for i := range src {
			src[i] = float32(i + 1)
		}
		want, got := make([]float32, h*w), make([]float32, h*w)
		c.Place(want, src, h, w, 1)
		bound(&c, h, w)
		c.Place(got, src, h, w, 1)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%d is %g, want %g", i, got[i], want[i])
			}
		}
		if reach := 2 * (h + w); max(c.Down, -c.Down, c.Right, -c.Right, c.CutSide, c.CutTop, -c.CutTop, c.CutLeft, -c.CutLeft) > reach {
			t.Fatalf("%+v reaches beyond %d", c, reach)
		}
	})
}
