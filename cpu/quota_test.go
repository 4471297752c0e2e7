package cpu

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCPUQuota reads quotas from trees of files as Linux shows them.
func TestCPUQuota(t *testing.T) {
	t.Parallel()
	const (
		v1 = "34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
		v2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	)
	for _, c := range []struct {
		name  string
		files map[string]string
		cores float64 // 0: no limit
	}{
		{name: "no control groups"},
		{name: "version 2, in a container", cores: 0.5, files: map[string]string{
			"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": v2, "sys/fs/cgroup/cpu.max": "50000 100000\n",
		}},
		{name: "version 2, no limit", files: map[string]string{
			"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": v2, "sys/fs/cgroup/a/cpu.max": "max 100000\n",
		}},
		{name: "version 2, the group above has the least", cores: 1, files: map[string]string{
			"proc/self/cgroup": "0::/user.slice/run.scope\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/user.slice/cpu.max": "100000 100000\n", "sys/fs/cgroup/user.slice/run.scope/cpu.max": "150000 100000\n",
		}},
		{name: "version 1, in a container", cores: 1.5, files: map[string]string{
			"proc/self/cgroup":                           "4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n0::/\n",
			"proc/self/mountinfo":                        "30 23 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n34 31 0:31 /docker/ab /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n",
			"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
		}},
		{name: "version 1, no limit", files: map[string]string{
			"proc/self/cgroup": "3:cpu,cpuacct:/a\n", "proc/self/mountinfo": v1,
			"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
		}},
		{name: "version 1 above, beside version 2", cores: 0.25, files: map[string]string{
			"proc/self/cgroup": "3:cpu:/a/b\n0::/\n", "proc/self/mountinfo": v2 + v1,
			"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "5000\n", "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "20000\n",
		}},
		{name: "a mount with a space, and one of another group", cores: 2, files: map[string]string{
			"proc/self/cgroup":    "0::/b/c\n",
			"proc/self/mountinfo": "30 23 0:28 /a /mnt/a rw - cgroup2 cgroup2 rw\n31 23 0:28 / /mnt/all\\040groups rw shared:4 - cgroup2 cgroup2 rw\n",
			"mnt/a/cpu.max":       "10000 100000\n", "mnt/all groups/b/c/cpu.max": "200000 100000\n",
		}},
		{name: "a file of something else", files: map[string]string{
			"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": v2, "sys/fs/cgroup/cpu.max": "half of a core\n",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for name, text := range c.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cores, ok := cpuQuota(root)
			if ok != (c.cores > 0) || cores != c.cores {
				t.Errorf("%v cores, limited %v; want %v", cores, ok, c.cores)
			}
		})
	}
}
