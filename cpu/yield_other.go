//go:build !linux

package cpu

import "runtime"

// osYield lets another goroutine have this thread.
func osYield() { runtime.Gosched() }
