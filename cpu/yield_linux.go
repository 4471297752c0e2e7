package cpu

import "syscall"

// osYield lets another thread have this core.
func osYield() { syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) }
