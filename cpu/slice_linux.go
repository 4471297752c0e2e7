package cpu

import "golang.org/x/sys/unix"

// slice is what a worker asks for, in nanoseconds: the least that Linux grants.
const slice = 100_000

// askShortSlices asks for short slices of processor time for the calling thread. Its share of a core stays what it is. A thread that
// yields from Linux 6.18 on forfeits what is left of its slice: workers, which yield often, would have less than their share with the
// usual slice of milliseconds. It returns what undoes it. It is advice: before Linux 6.12 it has no effect.
func askShortSlices() (undo func()) {
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil || before.Policy != unix.SCHED_NORMAL && before.Policy != unix.SCHED_BATCH {
		return func() {}
	}
	short := *before
	short.Runtime = slice
	if unix.SchedSetAttr(0, &short, 0) != nil {
		return func() {}
	}
	return func() { _ = unix.SchedSetAttr(0, before, 0) }
}
