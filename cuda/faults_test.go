//go:build cuda

package cuda_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"gcnn/cuda"
	"gcnn/cuda/simulator"
	"gcnn/data"
	"gcnn/device"
	"gcnn/model"
)

// Faults are set for a whole process, so each case is a process of its own: this test's binary, which does one job and prints
// what came of it.
const childVariable = "GCNN_CUDA_TEST_CHILD"

// child is what such a process does.
func child(job string) {
	switch job {
	case "train":
		fmt.Println(trainOnce(0))
	case "large":
		fmt.Println(trainOnce(1 << 15))
	case "count":
		fmt.Println(countCalls())
	case "streams":
		fmt.Println(trainLarge())
	case "again":
		fmt.Println(trainAgain())
	default:
		fmt.Println("unknown job " + job)
	}
}

const steps, batch, images = 12, 5, 58 // the last step is partial

// job is a small training.
func job(d device.Device, batch int) (device.Program, device.Resident, device.Epoch, error) {
	net, err := model.New("small", model.Shape{9, 9, 2},
		model.Conv2D{Filters: 4, KernelSize: model.Square(3), Padding: model.Same, NoBias: true}, model.BatchNormalization{},
		model.Activation{Func: model.ReLU}, model.MaxPool2D{}, model.Dropout{Rate: 0.25}, model.Flatten{}, model.Dense{Units: 3, Activation: model.Softmax})
	if err != nil {
		return nil, nil, device.Epoch{}, err
	}
	set := &data.Set{Name: "noise", Height: 9, Width: 9, Channels: 2, Classes: []string{"a", "b", "c"}}
	epoch := device.Epoch{}
	for i := range images {
		for k := range 9 * 9 * 2 {
			set.Pixels = append(set.Pixels, uint8((i*131+k*k*7)%251))
		}
		set.Labels = append(set.Labels, uint16(i%3))
		epoch.Order = append(epoch.Order, int32((i*17)%images))
	}
	for range (images + batch - 1) / batch {
		epoch.Rates = append(epoch.Rates, 0.01)
	}
	p, err := d.Compile(net, device.Plan{Batch: batch, Training: &device.Training{Optimizer: device.NewAdam(), ClipNorm: 1, Seed: 3}})
	if err != nil {
		return nil, nil, epoch, fmt.Errorf("compile: %w", err)
	}
	if err := p.SetState(device.State{Weights: net.InitialWeights(1)}); err != nil {
		return nil, nil, epoch, errors.Join(fmt.Errorf("set state: %w", err), p.Close())
	}
	r, err := p.Load(set)
	if err != nil {
		return nil, nil, epoch, errors.Join(fmt.Errorf("load: %w", err), p.Close())
	}
	return p, r, epoch, nil
}

// kind names the sentinel that an error wraps.
func kind(err error) string {
	for name, e := range map[string]error{"memory": device.ErrMemory, "lost": device.ErrLost} {
		if errors.Is(err, e) {
			return name
		}
	}
	if errors.Is(err, device.ErrUnavailable) {
		return "unavailable"
	}
	if err == nil {
		return "none"
	}
	return "other"
}

// trainOnce opens a device, trains an epoch, evaluates, and closes everything.
func trainOnce(large int) (result string) {
	d, err := cuda.Open(cuda.Options{})
	if err != nil {
		return fmt.Sprintf("open kind=%s unavailable=%v %v", kind(err), errors.Is(err, device.ErrUnavailable), err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			result += fmt.Sprintf("\nclosing: %v", err)
		}
	}()
	b := batch
	if large > 0 {
		b = large
	}
	p, r, epoch, err := job(d, b)
	if err != nil {
		return fmt.Sprintf("job kind=%s %v", kind(err), err)
	}
	defer func() {
		if err := errors.Join(r.Close(), p.Close()); err != nil {
			result += fmt.Sprintf("\nclosing: %v", err)
		}
	}()
	m, err := p.Train(context.Background(), r, epoch)
	if err != nil {
		_, stateErr := p.State()
		_, trainErr := p.Train(context.Background(), r, epoch)
		return fmt.Sprintf("train kind=%s then=%s again=%s count=%d %v", kind(err), kind(stateErr), kind(trainErr), m.Count, err)
	}
	if _, err := p.Evaluate(context.Background(), r); err != nil {
		return fmt.Sprintf("evaluate kind=%s %v", kind(err), err)
	}
	return fmt.Sprintf("done count=%d", m.Count)
}

// trainLarge trains and evaluates with a set of 1.3 MB, most of whose images the order leaves out.
func trainLarge() string {
	d, err := cuda.Open(cuda.Options{Staging: 1 << 10})
	if err != nil {
		return err.Error()
	}
	defer d.Close()
	p, r, epoch, err := job(d, batch)
	if err != nil {
		return err.Error()
	}
	defer p.Close()
	if err := r.Close(); err != nil {
		return err.Error()
	}
	set := &data.Set{Name: "large", Height: 9, Width: 9, Channels: 2, Classes: []string{"a", "b", "c"}, Labels: make([]uint16, 8000), Pixels: make([]uint8, 8000*162)}
	for i := range set.Pixels {
		set.Pixels[i] = uint8(i * 2654435761 >> 13)
	}
	for i := range epoch.Order {
		epoch.Order[i] = int32(i * 137)
	}
	if r, err = p.Load(set); err != nil {
		return fmt.Sprintf("load kind=%s %v", kind(err), err)
	}
	m, err := p.Train(context.Background(), r, epoch)
	if err != nil {
		return err.Error()
	}
	s, err := p.State()
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("streamed=%v %+v\nweights=%v", r.Placement().Streamed, m, s.Weights["dense/kernel"].Float32s())
}

// trainAgain trains with a launch that fails and then goes on: the weights are those of a training without a fault.
func trainAgain() string {
	d, err := cuda.Open(cuda.Options{})
	if err != nil {
		return err.Error()
	}
	defer d.Close()
	p, r, epoch, err := job(d, batch)
	if err != nil {
		return err.Error()
	}
	defer p.Close()
	m, trainErr := p.Train(context.Background(), r, epoch)
	s, err := p.State()
	if err != nil {
		return err.Error()
	}
	done := int(s.Step)
	rest := epoch
	rest.Order, rest.Rates = epoch.Order[min(done*batch, images):], epoch.Rates[done:]
	if trainErr != nil {
		if _, err := p.Train(context.Background(), r, rest); err != nil {
			return err.Error()
		}
	}
	if s, err = p.State(); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("step=%d of %d count=%d error=%v\nweights=%v", done, s.Step, m.Count, trainErr, s.Weights["dense/kernel"].Float32s())
}

// countCalls says what a second epoch asks of the driver: the first one captures.
func countCalls() string {
	d, err := cuda.Open(cuda.Options{})
	if err != nil {
		return err.Error()
	}
	defer d.Close()
	p, r, epoch, err := job(d, batch)
	if err != nil {
		return err.Error()
	}
	defer p.Close()
	if _, err := p.Train(context.Background(), r, epoch); err != nil {
		return err.Error()
	}
	before, err := simulator.Counters()
	if err != nil {
		return err.Error()
	}
	if _, err := p.Train(context.Background(), r, epoch); err != nil {
		return err.Error()
	}
	after, err := simulator.Counters()
	if err != nil {
		return err.Error()
	}
	delta := func(name string) uint64 { return after[name] - before[name] }
	waits := delta("call.cuStreamSynchronize") + delta("call.cuStreamQuery")
	uploads := delta("call.cuMemcpyHtoDAsync_v2") + delta("call.cuMemsetD8Async")
	other := delta(simulator.Calls) - delta(simulator.GraphLaunches) - waits - uploads
	return fmt.Sprintf("graphs=%d launches=%d library=%d captures=%d uploads=%d other=%d", delta(simulator.GraphLaunches), delta(simulator.Launches),
		delta(simulator.LibraryCalls), delta("call.cuStreamBeginCapture_v2"), uploads, other)
}

// run runs a job in a process with these settings and returns what it printed.
func run(t *testing.T, job string, env ...string) string {
	t.Helper()
	if !simulator.Active() {
		t.Skip("a GPU has no faults at will; run this under cuda/simulator/run.sh")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append([]string{childVariable + "=" + job}, env...)...)
	var warnings strings.Builder
	cmd.Stderr = &warnings
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", env, err, out, warnings.String())
	}
	if strings.Contains(warnings.String(), "not freed") || strings.Contains(warnings.String(), "leak") {
		t.Errorf("%v: %s", env, warnings.String())
	}
	return strings.TrimSpace(string(out))
}

// TestNoDevice asks for a device where there is none that can be used.
func TestNoDevice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  []string
		want []string
	}{
		"no GPU":               {[]string{"GCNN_SIM_NO_DEVICE=1"}, []string{"CUDA_ERROR_NO_DEVICE"}},
		"an old driver":        {[]string{"GCNN_SIM_DRIVER=11080"}, []string{"serves CUDA 11.8 at most"}},
		"an old GPU":           {[]string{"GCNN_SIM_CAPABILITY=61"}, []string{"6.1", "need 7.5"}},
		"a refused PTX":        {[]string{"GCNN_SIM_FAIL=cuModuleLoadData:2:222"}, []string{"cuModuleLoadData(module augment)", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"}},
		"no cuDNN":             {[]string{"GCNN_SIM_FAIL=cudnnCreate:1:1001"}, []string{"cudnnCreate", "CUDNN_STATUS_NOT_INITIALIZED"}},
		"no cuBLAS":            {[]string{"GCNN_SIM_FAIL=cublasCreate:1:1"}, []string{"cublasCreate", "CUBLAS_STATUS_NOT_INITIALIZED"}},
		"no stream of cuDNN's": {[]string{"GCNN_SIM_FAIL=cudnnSetStream:1:2000"}, []string{"cudnnCreate", "CUDNN_STATUS_BAD_PARAM"}},
		"no stream":            {[]string{"GCNN_SIM_FAIL=cuStreamCreate:1:201"}, []string{"cuStreamCreate", "CUDA_ERROR_INVALID_CONTEXT"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := run(t, "train", c.env...)
			for _, w := range append(c.want, "open", "unavailable=true") {
				if !strings.Contains(got, w) {
					t.Errorf("it must say %q: %s", w, got)
				}
			}
		})
	}
}

// TestOutOfMemory starves the n-th allocation, for every n.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		got := run(t, "train", fmt.Sprintf("GCNN_SIM_FAIL_ALLOCATION=%d", n))
		if strings.HasPrefix(got, "done") {
			if n < 8 {
				t.Errorf("only %d allocations", n-1)
			}
			return
		}
		for _, w := range []string{"kind=memory", "cuMemAlloc(bytes ", "CUDA_ERROR_OUT_OF_MEMORY"} {
			if !strings.Contains(got, w) {
				t.Fatalf("allocation %d: it must say %q: %s", n, w, got)
			}
		}
		if strings.Contains(got, "closing") {
			t.Errorf("allocation %d: %s", n, got)
		}
		if n > 100 {
			t.Fatal("it never ends")
		}
	}
}

// TestTooLarge compiles for a batch that the device's memory does not hold.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	got := run(t, "large", "GCNN_SIM_MEMORY=67108864", "GCNN_SIM_CAPABILITY=80")
	var fits int
	if at := strings.Index(got, "a batch of "); at < 0 || !strings.Contains(got, "kind=memory") || !strings.Contains(got, " MiB are free") {
		t.Fatal(got)
	}
	if _, err := fmt.Sscanf(got[strings.LastIndex(got, "a batch of "):], "a batch of %d would fit", &fits); err != nil || fits < 100 || fits >= 1<<15 {
		t.Fatalf("%d %v: %s", fits, err, got)
	}
}

// TestStreamsWhatDoesNotFit loads a set that fits, one that does not, and one for whose order there is no room.
func TestStreamsWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	const small = "GCNN_SIM_CAPABILITY=80" // where cuBLAS has a workspace of 4 MiB
	lies, passes := run(t, "streams", small), run(t, "streams", small, "GCNN_SIM_MEMORY=5400000")
	_, want, _ := strings.Cut(lies, "streamed=false ")
	_, got, _ := strings.Cut(passes, "streamed=true ")
	if want == "" || got != want {
		t.Errorf("%s\n%s", lies, passes)
	}
	starved := run(t, "streams", small, "GCNN_SIM_MEMORY=4255000")
	for _, w := range []string{"load kind=memory", "not enough memory on cuda:0: the order of an epoch, beside small with a batch of 5, needs 31 KiB", " are free; a batch of "} {
		if !strings.Contains(starved, w) {
			t.Errorf("it must say %q: %s", w, starved)
		}
	}
}

// TestLaunchFailures lets calls fail in a training.
func TestLaunchFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  string
		want []string
	}{
		"a kernel fails":           {"GCNN_SIM_FAIL_LAUNCH=140", []string{"train kind=lost then=lost again=lost", "CUDA_ERROR_LAUNCH_FAILED"}},
		"the device is lost":       {"GCNN_SIM_LOSE_DEVICE=70", []string{"train kind=lost then=lost again=lost", "CUDA_ERROR_UNKNOWN"}},
		"lost at its first kernel": {"GCNN_SIM_LOSE_DEVICE=1", []string{"kind=lost", "CUDA_ERROR_UNKNOWN"}},
		"a graph is not launched":  {"GCNN_SIM_FAIL=cuGraphLaunch:4:1", []string{"train kind=other then=none again=none count=15", "step 4 of 12", "cuGraphLaunch(nodes ", "CUDA_ERROR_INVALID_VALUE"}},
		"a capture does not begin": {"GCNN_SIM_FAIL=cuStreamBeginCapture_v2:1:900", []string{"train kind=other then=none again=none count=0", "cuStreamBeginCapture", "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}},
		"a graph is not made":      {"GCNN_SIM_FAIL=cuGraphInstantiateWithFlags:1:801", []string{"train kind=other then=none again=none", "cuGraphInstantiate", "CUDA_ERROR_NOT_SUPPORTED"}},
		"a kernel is not captured": {"GCNN_SIM_FAIL=cuLaunchKernel:3:701", []string{"train kind=other then=none again=none", "cuLaunchKernel(kernel ", "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"}},
		"a convolution is refused": {"GCNN_SIM_FAIL=cudnnConvolutionForward:1:3000", []string{"train kind=other then=none again=none", "conv2d forward: cudnnConvolutionForward( x 5×9×9×2, 4 filters of 3×3", "CUDNN_STATUS_NOT_SUPPORTED"}},
		"a product is refused":     {"GCNN_SIM_FAIL=cublasSgemm_v2:1:13", []string{"train kind=other then=none again=none", "dense forward: cublasSgemm(m ", "CUBLAS_STATUS_EXECUTION_FAILED"}},
		"an upload fails":          {"GCNN_SIM_FAIL=cuMemcpyHtoDAsync_v2:20:1", []string{"kind=other", "cuMemcpyHtoDAsync(bytes ", "CUDA_ERROR_INVALID_VALUE"}},
		"a descriptor is not made": {"GCNN_SIM_FAIL=cudnnCreateTensorDescriptor:2:2000", []string{"job kind=other", "cudnnSetTensor4dDescriptor", "CUDNN_STATUS_BAD_PARAM"}},
		"heuristics fail":          {"GCNN_SIM_FAIL=cudnnGetConvolutionForwardAlgorithm_v7:1:4000", []string{"job kind=other", "cudnnGetConvolutionAlgorithm_v7", "CUDNN_STATUS_INTERNAL_ERROR"}},
		"no pinned memory":         {"GCNN_SIM_FAIL=cuMemHostAlloc:1:2", []string{"job kind=memory", "cuMemHostAlloc(bytes 40)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := run(t, "train", c.env)
			for _, w := range c.want {
				if !strings.Contains(got, w) {
					t.Errorf("it must say %q: %s", w, got)
				}
			}
			if strings.Contains(got, "closing") {
				t.Errorf("%s", got)
			}
		})
	}
}

// TestGoesOn checks that a launch that failed has changed nothing: what is trained after it ends with the same weights.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	whole, torn := run(t, "again"), run(t, "again", "GCNN_SIM_FAIL=cuGraphLaunch:7:1")
	if !strings.HasPrefix(whole, fmt.Sprintf("step=%d of %d count=%d error=<nil>", steps, steps, images)) || !strings.HasPrefix(torn, fmt.Sprintf("step=6 of %d count=30 error=step 7", steps)) {
		t.Fatalf("%s\n%s", whole, torn)
	}
	_, a, _ := strings.Cut(whole, "weights=")
	_, b, _ := strings.Cut(torn, "weights=")
	if a == "" || a != b {
		t.Errorf("%s\n%s", a, b)
	}
}

// TestCallsOfAStep counts what an epoch asks of the driver: one graph launch a step, and the uploads of order, rates and cursor.
func TestCallsOfAStep(t *testing.T) {
	t.Parallel()
	got := run(t, "count")
	if want := fmt.Sprintf("graphs=%d launches=0 library=0 captures=0 uploads=4 other=0", steps); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestRefusedConvolutions lets cuDNN have nothing for a convolution in channels-last layout: all layers are right all the same.
func TestRefusedConvolutions(t *testing.T) {
	t.Parallel()
	if !simulator.Active() {
		t.Skip("a real cuDNN refuses what it refuses; run this under cuda/simulator/run.sh")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestConformance$/^Layers$", "-test.short")
	cmd.Env = append(os.Environ(), "GCNN_SIM_REFUSE_CONVOLUTION=nhwc")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
