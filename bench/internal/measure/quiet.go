package measure

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticks is Linux' USER_HZ: the unit of /proc/stat.
const ticks = 100.0

// usage is the processor time that the machine and one process had spent at some moment, in seconds.
type usage struct {
	at           time.Time
	busy, stolen float64 // of all cores, since boot
	process      float64
	known        bool // false where the system has no /proc
}

// usageOf takes the machine's usage and that of process pid, with its threads and the children that it has waited for.
func usageOf(pid int) usage {
	u := usage{at: time.Now()}
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return u
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	fields := numbers(strings.TrimPrefix(line, "cpu"))
	if len(fields) < 8 {
		return u
	}
	for i, v := range fields[:8] {
		if i != 3 && i != 4 { // idle and waiting for disks
			u.busy += v / ticks
		}
	}
	u.stolen = fields[7] / ticks
	process, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u
	}
	// The name in parentheses may hold anything. The 12th to 15th field after it are utime, stime and those of the children that
	// have ended: a command that the process ran.
	if fields := numbers(string(process[strings.LastIndexByte(string(process), ')')+1:])); len(fields) > 14 {
		u.process = (fields[11] + fields[12] + fields[13] + fields[14]) / ticks
		u.known = true
	}
	return u
}

// numbers parses fields; one that is no number counts as 0.
func numbers(line string) []float64 {
	var v []float64
	for _, f := range strings.Fields(line) {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			n = 0
		}
		v = append(v, n)
	}
	return v
}

// Noise is what disturbed a turn, in shares of one core.
type Noise struct {
	Others float64 `json:"others"` // processor time of everything but the contestant, time stolen by a hypervisor included
	Stolen float64 `json:"stolen"`
}

// since is the noise between two usages of the same process. The counters tick at 10 ms, which is taken off.
func (u usage) since(before usage) Noise {
	if !u.known || !before.known {
		return Noise{}
	}
	elapsed := u.at.Sub(before.at).Seconds()
	others := (u.busy - before.busy) - (u.process - before.process) - 3/ticks
	return Noise{Others: max(0, others) / elapsed, Stolen: (u.stolen - before.stolen) / elapsed}
}

// Idle waits until nothing else uses more than a tenth of a core, for up to so long, and returns the share last seen and whether
// it was low enough.
func Idle(wait time.Duration) (share float64, ok bool) {
	deadline := time.Now().Add(wait)
	for {
		before := usageOf(os.Getpid())
		time.Sleep(time.Second)
		share = usageOf(os.Getpid()).since(before).Others
		if share <= 0.1 || time.Now().After(deadline) {
			return share, share <= 0.1
		}
	}
}

// LoadAverage is the system's load average of the last minute, "unknown" where it is not told.
func LoadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	load, _, _ := strings.Cut(string(b), " ")
	return load
}
