//go:build !linux

package cpu

// askShortSlices does nothing where a thread cannot ask for them.
func askShortSlices() (undo func()) { return func() {} }
