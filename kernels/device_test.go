//go:build cuda

package kernels_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"gorgonia.org/cu"

	"gcnn/cuda/cudadl"
	"gcnn/cuda/simulator"
	"gcnn/kernels"
)

// The tests of this package run each kernel's PTX on the first CUDA device: a GPU, or the simulator under
// cuda/simulator/run.sh. One goroutine, locked to its thread, makes all calls.

type gpu struct {
	work    chan func()
	kernels map[string]cu.Function
	err     error
}

var open = sync.OnceValue(func() *gpu {
	d := &gpu{work: make(chan func()), kernels: map[string]cu.Function{}}
	ready := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		d.err = d.load()
		close(ready)
		for f := range d.work {
			f()
		}
	}()
	<-ready
	return d
})

func (d *gpu) load() error {
	libs, err := cudadl.Load()
	if err != nil {
		return fmt.Errorf("%w\n(without a GPU: cuda/simulator/run.sh go test -tags cuda ./kernels)", err)
	}
	dev, err := cu.GetDevice(0)
	if err != nil {
		return err
	}
	name, err := dev.Name()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "kernels are tested on: %s (driver %s)\n", name, libs.Driver.Path)
	ctx, err := dev.RetainPrimaryCtx()
	if err != nil {
		return err
	}
	if err := cu.SetCurrentContext(ctx); err != nil {
		return err
	}
	modules := map[string]cu.Module{}
	for _, m := range kernels.Modules() {
		if modules[m.Name], err = cu.LoadData(m.PTX); err != nil {
			return fmt.Errorf("module %s: %w", m.Name, err)
		}
		loaded = append(loaded, modules[m.Name])
	}
	for _, k := range kernels.All() {
		if d.kernels[k.Name], err = modules[k.Module].Function(k.Name); err != nil {
			return fmt.Errorf("kernel %s: %w", k.Name, err)
		}
	}
	return nil
}

var loaded []cu.Module

// TestMain gives everything back, so that the simulator finds leaks.
func TestMain(m *testing.M) {
	code := m.Run()
	d := open()
	if d.err == nil {
		done := make(chan error)
		d.work <- func() {
			var errs []error
			for _, m := range loaded {
				errs = append(errs, m.Unload())
			}
			dev, err := cu.GetDevice(0)
			done <- errors.Join(append(errs, err, dev.ReleasePrimaryCtx())...)
		}
		if err := <-done; err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// do runs f on the device's thread.
func do(t *testing.T, f func(d *gpu) error) {
	t.Helper()
	d := open()
	if d.err != nil {
		t.Fatal(d.err)
	}
	done := make(chan error)
	d.work <- func() { done <- f(d) }
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// array is a copy of a slice in device memory. On a GPU it lies between two guards, so that a kernel that writes beside it is
// found; the simulator finds reads as well, without them.
type array[T any] struct {
	t    *testing.T
	base cu.DevicePtr
	n    int
}

var guard = func() cu.DevicePtr {
	if simulator.Active() {
		return 0
	}
	return 256
}()

func upload[T any](t *testing.T, host []T) array[T] {
	t.Helper()
	a := array[T]{t: t, n: len(host)}
	size := max(int64(a.bytes()), 1)
	do(t, func(*gpu) (err error) {
		if a.base, err = cu.MemAlloc(size + 2*int64(guard)); err != nil {
			return err
		}
		if err := cu.MemsetD8(a.base, 0xa5, size+2*int64(guard)); err != nil || len(host) == 0 {
			return err
		}
		return cu.MemcpyHtoD(a.base+guard, unsafe.Pointer(&host[0]), size)
	})
	t.Cleanup(func() {
		do(t, func(*gpu) error {
			if guard == 0 {
				return cu.MemFree(a.base)
			}
			edges := make([]byte, 2*guard)
			if err := cu.MemcpyDtoH(unsafe.Pointer(&edges[0]), a.base, int64(guard)); err != nil {
				return err
			}
			if err := cu.MemcpyDtoH(unsafe.Pointer(&edges[guard]), a.base+guard+cu.DevicePtr(size), int64(guard)); err != nil {
				return err
			}
			for _, b := range edges {
				if b != 0xa5 {
					return errors.New("a kernel wrote beside an array")
				}
			}
			return cu.MemFree(a.base)
		})
	})
	return a
}

func (a array[T]) bytes() int { return a.n * int(unsafe.Sizeof(*new(T))) }

func (a array[T]) ptr() kernels.Pointer { return kernels.Pointer(a.base + guard) }

// host is a copy of the array.
func (a array[T]) host() []T {
	a.t.Helper()
	out := make([]T, a.n)
	if a.n > 0 {
		do(a.t, func(*gpu) error { return cu.MemcpyDtoH(unsafe.Pointer(&out[0]), a.base+guard, int64(a.bytes())) })
	}
	return out
}

func launch(t *testing.T, l kernels.Launch) {
	t.Helper()
	do(t, func(d *gpu) error {
		args := make([]unsafe.Pointer, len(l.Args))
		for i := range args {
			args[i] = unsafe.Pointer(&l.Args[i])
		}
		if err := d.kernels[l.Kernel.Name].Launch(int(l.Grid[0]), int(l.Grid[1]), int(l.Grid[2]), int(l.Block[0]), int(l.Block[1]), int(l.Block[2]), 0, cu.Stream{}, args); err != nil {
			return fmt.Errorf("launching %s: %w", l.Kernel.Name, err)
		}
		if err := cu.Synchronize(); err != nil {
			return fmt.Errorf("running %s: %w", l.Kernel.Name, err)
		}
		return nil
	})
}

// empty is an output of n elements that holds NaN before.
func empty(t *testing.T, n int) array[float32] {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(math.NaN())
	}
	return upload(t, v)
}

// u is the unit roundoff of float32.
const u = 1.0 / (1 << 24)

// near fails where |got−want| is above bound(i).
func near(t *testing.T, what string, got []float32, want []float64, bound func(i int) float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements, want %d", what, len(got), len(want))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= bound(i)) {
			t.Fatalf("%s[%d] is %g, want %g within %g", what, i, got[i], want[i], bound(i))
		}
	}
}

// equal fails where the elements are not the same.
func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements, want %d", what, len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s[%d] is %v, want %v", what, i, got[i], want[i])
		}
	}
}
