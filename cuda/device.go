//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"gorgonia.org/cu"
	cudnn "gorgonia.org/cu/dnn"

	"gcnn/cuda/cudadl"
	"gcnn/data"
	"gcnn/device"
	"gcnn/kernels"
	"gcnn/model"
)

// Precision is how float32 products are computed.
type Precision uint8

// The precisions. TF32 rounds the factors of convolutions and dense layers to 10 bits of mantissa, which tensor cores multiply.
const (
	Float32 Precision = iota
	TF32
)

// CheckVariable names the environment variable that, set to 1, turns Options.Check on.
const CheckVariable = "GCNN_CUDA_CHECK"

// DefaultWorkspace is the default of Options.Workspace.
const DefaultWorkspace = 256 << 20

// Options are the choices for opening a device.
type Options struct {
	Index     int       // of the GPU, from 0
	Precision Precision // of convolutions and dense layers
	Workspace int64     // the most bytes that one convolution may take for its workspace; 0 is DefaultWorkspace
	// SetMemory is the most bytes of the device's memory that sets may take together; 0: what is free. A set beyond it is streamed
	// from host memory, with the same results.
	SetMemory int64
	// Staging is about the bytes of a piece of a streamed set: four of them are held, two on the device and two in pinned memory of
	// the host. 0 is DefaultStaging.
	Staging int64
	// Check gives each buffer an allocation of its own, so that the simulator and compute-sanitizer see a kernel that leaves
	// its buffer; memory is not shared then.
	Check bool

	unfused bool // no bias and activation within a convolution: for tests
}

// Device is a GPU. It is made by Open.
type Device struct {
	options Options
	info    device.Info
	thread  *thread

	// What follows belongs to the thread.
	gpu     cu.Device
	context cu.CUContext
	stream  cu.Stream
	kernels map[string]cu.Function
	fusions map[string]bool // which convolutions cuDNN takes with their activation
	dnn     *cudnn.Context
	blas    blasHandle
	scratch allocation // cuBLAS' workspace
	lost    error      // set when the device failed for good
	undo    []func() error

	mu       sync.Mutex
	closed   bool
	programs int
}

// Count is the number of GPUs. An error wraps device.ErrUnavailable and says what is missing.
func Count() (int, error) {
	if _, err := cudadl.Load(); err != nil {
		return 0, fmt.Errorf("%w: %w", device.ErrUnavailable, err)
	}
	n, err := cu.NumDevices()
	if err != nil {
		return 0, fmt.Errorf("%w: cuDeviceGetCount: %s", device.ErrUnavailable, statusOf(err).name())
	}
	if n == 0 {
		return 0, fmt.Errorf("%w: the NVIDIA driver has no GPU", device.ErrUnavailable)
	}
	return n, nil
}

// Open makes a device of a GPU. An error wraps device.ErrUnavailable where there is no such GPU or a library is missing, and
// device.ErrArgument where an option does not fit.
func Open(o Options) (device.Device, error) {
	if o.Workspace == 0 {
		o.Workspace = DefaultWorkspace
	}
	if o.Staging == 0 {
		o.Staging = DefaultStaging
	}
	if o.Index < 0 || o.Workspace < 0 || o.SetMemory < 0 || o.Staging < 0 || o.Precision > TF32 {
		return nil, fmt.Errorf("%w: a GPU's index, the workspace, the memory of sets and the staging memory are at least 0, got %d, %d, %d and %d",
			device.ErrArgument, o.Index, o.Workspace, o.SetMemory, o.Staging)
	}
	o.Check = o.Check || os.Getenv(CheckVariable) == "1"
	n, err := Count()
	if err != nil {
		return nil, err
	}
	if o.Index >= n {
		return nil, noSuchGPU(n)
	}
	d := &Device{options: o, thread: newThread(), kernels: map[string]cu.Function{}, fusions: map[string]bool{}}
	if err := d.thread.do(d.start); err != nil {
		err = errors.Join(err, d.thread.do(d.release))
		d.thread.end()
		return nil, fmt.Errorf("%w: %w", device.ErrUnavailable, err)
	}
	return d, nil
}

// later keeps what frees something that start has made.
func (d *Device) later(free func() error) { d.undo = append(d.undo, free) }

// start takes the GPU's primary context and makes what all programs share.
func (d *Device) start() (err error) {
	libs, err := cudadl.Load()
	if err != nil {
		return err
	}
	if d.gpu, err = cu.GetDevice(d.options.Index); err != nil {
		return d.ok("cuDeviceGet", err, "index", d.options.Index)
	}
	if d.context, err = d.gpu.RetainPrimaryCtx(); err != nil {
		return d.ok("cuDevicePrimaryCtxRetain", err)
	}
	d.later(func() error { return d.ok("cuDevicePrimaryCtxRelease", d.gpu.ReleasePrimaryCtx()) })
	if err := cu.SetCurrentContext(d.context); err != nil {
		return d.ok("cuCtxSetCurrent", err)
	}
	var major int
	if d.info, major, err = describeGPU(d.options.Index, d.gpu, libs); err != nil {
		return err
	}
	free, _, err := cu.MemInfo()
	if err != nil {
		return d.ok("cuMemGetInfo", err)
	}
	d.info.Details = append(d.info.Details, device.Detail{Key: "free memory", Value: sizeText(free)})
	if d.options.Precision == TF32 {
		d.info.Details = append(d.info.Details, device.Detail{Key: "precision", Value: "tf32"})
	}
	if d.stream, err = cu.MakeStream(cu.NonBlocking); err != nil {
		return d.ok("cuStreamCreate", err)
	}
	d.later(func() error { return d.ok("cuStreamDestroy", d.stream.Destroy()) })
	if err := d.loadKernels(); err != nil {
		return err
	}
	var s status
	d.dnn, s = newDNN(&d.stream)
	d.later(func() error { return d.ok("cudnnDestroy", d.dnn.Close()) })
	if s.code != 0 {
		return d.check("cudnnCreate", s)
	}
	// cuBLAS' own advice: 32 MiB on Hopper and later, 4 MiB before. Its calls need a workspace of the caller's under capture.
	bytes := int64(4 << 20)
	if major >= 9 {
		bytes = 32 << 20
	}
	if d.scratch, err = d.allocate("cuBLAS workspace", bytes); err != nil {
		return err
	}
	d.later(func() error { return d.free(&d.scratch) })
	if d.blas, s = newBLAS(&d.stream, d.scratch.ptr, bytes, d.options.Precision == TF32); d.blas.h != nil {
		d.later(func() error { return d.check("cublasDestroy", d.blas.destroy()) })
	}
	return d.check("cublasCreate", s)
}

// Describe tells of a GPU without making a context on it, which a card whose memory is full refuses. Errors are those of Open.
func Describe(index int) (device.Info, error) {
	n, err := Count()
	if err != nil {
		return device.Info{}, err
	}
	if index < 0 || index >= n {
		return device.Info{}, noSuchGPU(n)
	}
	libs, err := cudadl.Load()
	if err != nil {
		return device.Info{}, fmt.Errorf("%w: %w", device.ErrUnavailable, err)
	}
	gpu, err := cu.GetDevice(index)
	if err != nil {
		return device.Info{}, fmt.Errorf("%w: %w", device.ErrUnavailable, queryError("cuDeviceGet", err))
	}
	info, _, err := describeGPU(index, gpu, libs)
	if err != nil {
		err = fmt.Errorf("%w: %w", device.ErrUnavailable, err)
	}
	return info, err
}

func noSuchGPU(n int) error {
	return fmt.Errorf("%w: there are %d GPUs, and the first is cuda:0", device.ErrUnavailable, n)
}

// queryError is the error of a call that needs no context.
func queryError(call string, err error) error {
	s := statusOf(err)
	return &Error{Call: call, Name: s.name(), Code: s.code}
}

// describeGPU asks the driver about a GPU, which may have no context. One that gcnn cannot use is an error.
func describeGPU(index int, gpu cu.Device, libs *cudadl.Libraries) (info device.Info, major int, err error) {
	major, minor, err := gpu.ComputeCapability()
	if err != nil {
		return info, 0, queryError("cuDeviceGetAttribute", err)
	}
	name, err := gpu.Name()
	if err != nil {
		return info, 0, queryError("cuDeviceGetName", err)
	}
	total, err := gpu.TotalMem()
	if err != nil {
		return info, 0, queryError("cuDeviceTotalMem", err)
	}
	units, err := gpu.Attribute(cu.MultiprocessorCount)
	if err != nil {
		return info, 0, queryError("cuDeviceGetAttribute", err)
	}
	if major*10+minor < 75 {
		return info, 0, fmt.Errorf("%s has compute capability %d.%d; gcnn's kernels need 7.5 (Turing) or later", name, major, minor)
	}
	return device.Info{Name: fmt.Sprintf("cuda:%d", index), Model: name, Details: []device.Detail{
		{Key: "compute capability", Value: fmt.Sprintf("%d.%d", major, minor)},
		{Key: "memory", Value: sizeText(total)},
		{Key: "multiprocessors", Value: fmt.Sprint(units)},
		{Key: "driver", Value: fmt.Sprintf("serves CUDA %s (%s)", libs.Driver.Version, libs.Driver.Path)},
		{Key: "CUDA", Value: fmt.Sprint(libs.CUDA)},
		{Key: "cuDNN", Value: fmt.Sprintf("%s (%s)", libs.CUDNN.Version, libs.CUDNN.Path)},
		{Key: "cuBLAS", Value: fmt.Sprintf("%s (%s)", libs.CUBLAS.Version, libs.CUBLAS.Path)},
	}}, major, nil
}

// loadKernels loads all modules of package kernels.
func (d *Device) loadKernels() error {
	modules := map[string]cu.Module{}
	for _, m := range kernels.Modules() {
		loaded, err := cu.LoadData(m.PTX)
		if err != nil {
			return d.ok("cuModuleLoadData", err, "module", m.Name)
		}
		d.later(func() error { return d.ok("cuModuleUnload", loaded.Unload(), "module", m.Name) })
		modules[m.Name] = loaded
	}
	for _, k := range kernels.All() {
		f, err := modules[k.Module].Function(k.Name)
		if err != nil {
			return d.ok("cuModuleGetFunction", err, "kernel", k.Name)
		}
		d.kernels[k.Name] = f
	}
	return nil
}

// release frees what start has made, the last first.
func (d *Device) release() error {
	var errs []error
	for i := len(d.undo) - 1; i >= 0; i-- {
		errs = append(errs, d.undo[i]())
	}
	d.undo = nil
	return d.unlessLost(errors.Join(errs...))
}

// unlessLost is the error of freeing something, but for a lost device, which frees nothing and has said so.
func (d *Device) unlessLost(err error) error {
	if d.isLost() {
		return nil
	}
	return err
}

func (d *Device) isLost() bool { return d.lost != nil }

// do runs f on the device's thread, unless the device was lost.
func (d *Device) do(f func() error) error {
	return d.thread.do(func() error {
		if d.isLost() {
			return d.lost
		}
		return f()
	})
}

// Info is the GPU's name, its abilities and the libraries in use.
func (d *Device) Info() device.Info { return d.info }

// Compile makes a program for the network. All its memory is taken here, but for what nobody knows yet: sets and what goes with
// the length of an epoch, which Load takes, a ring for sets of floats, and what a trace leaves, which the first of its kind takes.
func (d *Device) Compile(net *model.Network, plan device.Plan) (device.Program, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, fmt.Errorf("the device is %w", device.ErrClosed)
	}
	var p *program
	err := d.do(func() (err error) {
		p, err = newProgram(d, net, plan, false)
		return err
	})
	if err != nil {
		return nil, err
	}
	d.programs++
	p.shut = func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.programs--
	}
	return p, nil
}

// Outline tells what Compile would make, and where sets would lie.
func (d *Device) Outline(net *model.Network, plan device.Plan, sets ...*data.Set) (device.Outline, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return device.Outline{}, fmt.Errorf("the device is %w", device.ErrClosed)
	}
	var o device.Outline
	err := d.do(func() error {
		p, err := newProgram(d, net, plan, true)
		if err != nil {
			return err
		}
		o, err = p.outline(sets)
		return errors.Join(err, p.release())
	})
	return o, err
}

// Close frees the device. It is an error while programs are open.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.programs > 0 {
		return fmt.Errorf("%w: %d programs of the device are still open", device.ErrArgument, d.programs)
	}
	if d.closed {
		return nil
	}
	d.closed = true
	err := d.thread.do(d.release)
	d.thread.end()
	return err
}

func sizeText(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
}
