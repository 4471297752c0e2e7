//go:build !linux

package cpu

// pin does nothing where a thread cannot be kept on a core.
func pin(_, _ int) (undo func()) { return func() {} }
