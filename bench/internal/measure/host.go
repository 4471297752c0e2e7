package measure

import (
	"fmt"
	"runtime"
	"time"
)

// Host says where and when something was measured.
type Host struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	System    string `json:"system"`
	Go        string `json:"go"`
	Date      string `json:"date"`
}

// NewHost describes this machine; processor is its own name.
func NewHost(processor string) Host {
	return Host{
		Processor: processor, Cores: runtime.GOMAXPROCS(0), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Date: time.Now().Format(time.DateOnly),
	}
}

// String is a line of text.
func (h Host) String() string {
	return fmt.Sprintf("%s, %d cores, %s, %s, %s", h.Processor, h.Cores, h.System, h.Go, h.Date)
}
