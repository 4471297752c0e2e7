package cpu

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestShortSlices asks for them, and finds the thread as it was after.
func TestShortSlices(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	attributes := func() unix.SchedAttr {
		a, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return *a
	}
	before := attributes()
	want := before
	if want.Runtime != 0 { // Linux before 6.12 knows no slices of a thread
		want.Runtime = slice
	}
	undo := askShortSlices()
	if got := attributes(); got != want {
		t.Errorf("the thread has %+v, want %+v", got, want)
	}
	undo()
	if got := attributes(); got != before {
		t.Errorf("the thread has %+v after, want %+v as before", got, before)
	}
}
