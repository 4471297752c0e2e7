//go:build !linux

package command

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
)

// RunOnTerminal is there on Linux alone.
func RunOnTerminal(context.Context, *regexp.Regexp, string, ...string) (Usage, error) {
	return Usage{}, fmt.Errorf("a command's first step is timed on a pseudo-terminal of Linux; this is %s", runtime.GOOS)
}
