package cpu

import (
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// usableMemory is the machine's memory in bytes, or a container's limit where that is less; 0 where it is unknown.
func usableMemory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	total := uint64(info.Totalram) * uint64(info.Unit) //nolint:unconvert // uint32 on 32 bits
	limit, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil {
		return total
	}
	if n, err := strconv.ParseUint(strings.TrimSpace(string(limit)), 10, 64); err == nil { // "max" is no limit
		total = min(total, n)
	}
	return total
}

// adviseHuge asks for huge pages behind memory that is about to be used: a random image costs a walk of the page tables
// otherwise, which takes longer than to read it. It is advice: nothing depends on it.
func adviseHuge(p unsafe.Pointer, bytes int) {
	_ = unix.Madvise(unsafe.Slice((*byte)(p), bytes), unix.MADV_HUGEPAGE)
}
