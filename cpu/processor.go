package cpu

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"strings"
)

// processor is the processor's own name where the system tells it, and the architecture otherwise.
func processor() string {
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		lines := bufio.NewScanner(bytes.NewReader(info))
		for lines.Scan() {
			if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}
