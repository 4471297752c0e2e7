package cpu

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPin gives every worker a core of its own where there are as many, and gives the thread back as it was.
func TestPin(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cores := func() (s unix.CPUSet) {
		if err := unix.SchedGetaffinity(0, &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := cores()
	n := before.Count()
	var taken unix.CPUSet
	for worker := range n {
		undo := pin(worker, n)
		own := cores()
		if own.Count() != 1 {
			t.Errorf("worker %d of %d may run on %d cores, want 1", worker, n, own.Count())
		}
		for core := range 64 * len(own) {
			if own.IsSet(core) {
				if taken.IsSet(core) || !before.IsSet(core) {
					t.Errorf("worker %d is on core %d, which is another's or not the process'", worker, core)
				}
				taken.Set(core)
			}
		}
		if undo(); cores() != before {
			t.Fatalf("worker %d of %d: the thread's cores are not what they were", worker, n)
		}
	}
	undo := pin(0, n+1)
	if cores() != before {
		t.Error("one of more workers than cores is pinned")
	}
	undo()
}
