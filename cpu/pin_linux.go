package cpu

import "golang.org/x/sys/unix"

// pin keeps the calling thread on a core of its own, the one with the worker's number of those that it may run on, where there are as
// many as workers. Two workers that the scheduler puts on one core, to leave another process the other, would wait for each other all
// the time. It returns what undoes it. It is advice: nothing depends on it.
func pin(worker, workers int) (undo func()) {
	var all unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil || all.Count() != workers || workers == 1 {
		return func() {}
	}
	for core := range 64 * len(all) {
		if !all.IsSet(core) {
			continue
		}
		if worker == 0 {
			var own unix.CPUSet
			own.Set(core)
			_ = unix.SchedSetaffinity(0, &own)
			break
		}
		worker--
	}
	return func() { _ = unix.SchedSetaffinity(0, &all) }
}
