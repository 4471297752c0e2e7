package cpu

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// defaultWorkers is one for each usable core: GOMAXPROCS, which knows the cores that the process may run on, or what the control
// group's quota amounts to, a part of a core counted as one. Go itself takes the quota for at least two cores. limited reports whether
// the quota decided.
func defaultWorkers() (n int, quota float64, limited bool) {
	n = runtime.GOMAXPROCS(0)
	if os.Getenv("GOMAXPROCS") != "" {
		return n, 0, false // the user has the say
	}
	if quota, ok := cpuQuota("/"); ok && quota <= float64(n) {
		return max(1, int(math.Ceil(quota))), quota, true
	}
	return n, 0, false
}

// cpuQuota is how many cores' time the process' control group and those above it leave it, of version 1 or 2, by the files below root.
// ok is false where there is no limit, or no control groups at all.
func cpuQuota(root string) (cores float64, ok bool) {
	group, v2, found := cpuGroup(root)
	if !found {
		return 0, false
	}
	mount, below, found := cpuMount(root, group, v2)
	if !found {
		return 0, false
	}
	for {
		if q, limit := groupQuota(filepath.Join(root, mount, below), v2); limit && (!ok || q < cores) {
			cores, ok = q, true
		}
		if below == "/" {
			return cores, ok
		}
		below = filepath.Dir(below)
	}
}

// cpuGroup is the path of the control group that limits the processor's time: version 1's where it has the controller.
func cpuGroup(root string) (path string, v2, ok bool) {
	text, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return "", false, false
	}
	for line := range strings.Lines(string(text)) { // hierarchy:controllers:path
		f := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		switch {
		case len(f) < 3:
		case f[0] == "0" && f[1] == "":
			path, v2, ok = f[2], true, true
		case slices.Contains(strings.Split(f[1], ","), "cpu"):
			return f[2], false, true
		}
	}
	return path, v2, ok
}

// cpuMount is where the group's hierarchy is mounted, and the group's path from there. A container may see its own group as the root
// of the mount.
func cpuMount(root, group string, v2 bool) (mount, below string, ok bool) {
	text, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return "", "", false
	}
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(string(text)) { // proc_pid_mountinfo(5)
		before, after, cut := strings.Cut(line, " - ")
		f, kind := strings.Fields(before), strings.Fields(after)
		if !cut || len(f) < 5 || len(kind) < 3 {
			continue
		}
		if v2 && kind[0] != "cgroup2" || !v2 && (kind[0] != "cgroup" || !slices.Contains(strings.Split(kind[2], ","), "cpu")) {
			continue
		}
		top, at := plain.Replace(f[3]), plain.Replace(f[4])
		if rel, err := filepath.Rel(top, group); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			return at, filepath.Join("/", rel), true
		}
	}
	return "", "", false
}

// groupQuota is the limit of one control group.
func groupQuota(dir string, v2 bool) (cores float64, ok bool) {
	fields := func(name string) []string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil
		}
		return strings.Fields(string(text))
	}
	var f []string
	if v2 {
		f = fields("cpu.max") // "max 100000" is no limit
	} else {
		f = append(fields("cpu.cfs_quota_us"), fields("cpu.cfs_period_us")...) // −1 is no limit
	}
	if len(f) != 2 {
		return 0, false
	}
	quota, err := strconv.ParseFloat(f[0], 64)
	period, periodErr := strconv.ParseFloat(f[1], 64)
	if err != nil || periodErr != nil || quota <= 0 || period <= 0 {
		return 0, false
	}
	return quota / period, true
}
