//go:build !linux

package kernel

import "time"

var started = time.Now()

func threadTime() time.Duration { return time.Since(started) }
