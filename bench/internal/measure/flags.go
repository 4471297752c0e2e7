package measure

import (
	"flag"
	"fmt"
	"io"
	"time"
)

// Flags are what the commands under bench/ have in common.
type Flags struct {
	Rounds int
	Force  bool
	Wait   time.Duration
}

// Register adds the flags to a command line.
func (f *Flags) Register(set *flag.FlagSet, rounds int) {
	set.IntVar(&f.Rounds, "rounds", rounds, "undisturbed rounds to take, in which every contestant has a turn")
	set.BoolVar(&f.Force, "force", false, "report even where the machine is too noisy, and say so")
	set.DurationVar(&f.Wait, "wait", 2*time.Minute, "how long to wait at the start for the machine to become idle")
}

// Check reports flags that make no sense.
func (f *Flags) Check() error {
	if f.Rounds < 1 {
		return fmt.Errorf("-rounds is at least 1, got %d", f.Rounds)
	}
	return nil
}

// Turns are the rules that the flags ask for; rounds are logged.
func (f *Flags) Turns(log io.Writer) Turns {
	return Turns{Rounds: f.Rounds, Force: f.Force, Wait: f.Wait, Log: log}
}

// Caution is a line that has to stand beside figures that were taken against the rules; empty for others.
func (r *Result) Caution() string {
	if !r.Forced {
		return ""
	}
	return fmt.Sprintf("Taken with -force on a noisy machine (%d disturbed rounds; the last: %s): not to be quoted.", r.Dropped, r.Disturbs[len(r.Disturbs)-1])
}
