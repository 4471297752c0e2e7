//go:build !linux

package cpu

import "unsafe"

// usableMemory is 0: unknown.
func usableMemory() uint64 { return 0 }

// adviseHuge does nothing: other systems choose the size of pages themselves.
func adviseHuge(unsafe.Pointer, int) {}
