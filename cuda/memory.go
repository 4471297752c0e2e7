//go:build cuda

package cuda

import (
	"errors"
	"runtime"
	"unsafe"

	"gorgonia.org/cu"
)

// allocation is a piece of device memory.
type allocation struct {
	ptr   cu.DevicePtr
	bytes int64
}

// allocate takes device memory and fills it with zeros. It runs on the device's thread, as all of this file.
func (d *Device) allocate(use string, bytes int64) (allocation, error) {
	a := allocation{bytes: max(bytes, 4)}
	var err error
	if a.ptr, err = cu.MemAlloc(a.bytes); err != nil {
		return allocation{}, d.ok("cuMemAlloc", err, "bytes", a.bytes, "for", use)
	}
	if err := d.zero(a.ptr, a.bytes); err != nil {
		_ = d.free(&a) // the error that counts is the first
		return allocation{}, err
	}
	return a, nil
}

// available is how much of the device's memory is free.
func (d *Device) available() (int64, error) {
	free, _, err := cu.MemInfo()
	if err != nil {
		return 0, d.ok("cuMemGetInfo", err)
	}
	return free, nil
}

// free gives memory back; a second time it does nothing.
func (d *Device) free(a *allocation) error {
	if a.ptr == 0 {
		return nil
	}
	p := a.ptr
	*a = allocation{}
	if d.isLost() {
		return nil
	}
	return d.ok("cuMemFree", cu.MemFree(p))
}

// zero fills memory with zeros, in the stream.
func (d *Device) zero(p cu.DevicePtr, bytes int64) error {
	return d.ok("cuMemsetD8Async", cu.MemsetD8Async(p, 0, bytes, d.stream), "bytes", bytes)
}

// synchronize waits for the stream.
func (d *Device) synchronize() error { return d.ok("cuStreamSynchronize", d.stream.Synchronize()) }

// upload copies a slice to device memory, through the stream: a copy outside of it is not ordered with kernels in it.
func upload[T any](d *Device, to cu.DevicePtr, from []T) error {
	if len(from) == 0 {
		return nil
	}
	var pinner runtime.Pinner
	defer pinner.Unpin()
	pinner.Pin(&from[0])
	return errors.Join(d.send(to, unsafe.Pointer(&from[0]), int64(len(from))*int64(unsafe.Sizeof(from[0])), d.stream), d.synchronize())
}

// download copies device memory to a slice.
func download[T any](d *Device, to []T, from cu.DevicePtr) error {
	if len(to) == 0 {
		return nil
	}
	var pinner runtime.Pinner
	defer pinner.Unpin()
	pinner.Pin(&to[0])
	return errors.Join(d.fetch(unsafe.Pointer(&to[0]), from, int64(len(to))*int64(unsafe.Sizeof(to[0]))), d.synchronize())
}

// send queues a copy to the device.
func (d *Device) send(to cu.DevicePtr, from unsafe.Pointer, bytes int64, s cu.Stream) error {
	return d.ok("cuMemcpyHtoDAsync", cu.MemcpyHtoDAsync(to, from, bytes, s), "bytes", bytes)
}

// fetch queues a copy to the host.
func (d *Device) fetch(to unsafe.Pointer, from cu.DevicePtr, bytes int64) error {
	return d.ok("cuMemcpyDtoHAsync", cu.MemcpyDtoHAsync(to, from, bytes, d.stream), "bytes", bytes)
}
