//go:build !linux

package cpu

// usableMemory is 0: unknown.
func usableMemory() uint64 { return 0 }
