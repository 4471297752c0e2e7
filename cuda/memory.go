//go:build cuda

package cuda

import (
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

// free gives memory back; a second time it does nothing.
func (d *Device) free(a *allocation) error {
	if a.ptr == 0 {
		return nil
	}
	p := a.ptr
	a.ptr = 0
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
	bytes := int64(len(from)) * int64(unsafe.Sizeof(from[0]))
	if err := cu.MemcpyHtoDAsync(to, unsafe.Pointer(&from[0]), bytes, d.stream); err != nil {
		return d.ok("cuMemcpyHtoDAsync", err, "bytes", bytes)
	}
	return d.synchronize()
}

// download copies device memory to a slice.
func download[T any](d *Device, to []T, from cu.DevicePtr) error {
	if len(to) == 0 {
		return nil
	}
	var pinner runtime.Pinner
	defer pinner.Unpin()
	pinner.Pin(&to[0])
	bytes := int64(len(to)) * int64(unsafe.Sizeof(to[0]))
	if err := cu.MemcpyDtoHAsync(unsafe.Pointer(&to[0]), from, bytes, d.stream); err != nil {
		return d.ok("cuMemcpyDtoHAsync", err, "bytes", bytes)
	}
	return d.synchronize()
}
