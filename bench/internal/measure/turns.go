package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// ErrNoisy is returned when the machine was too busy to tell.
var ErrNoisy = errors.New("the machine is too noisy to tell")

// Contestant is what is timed.
type Contestant struct {
	Name string
	PID  int                     // whose processor time is its own; 0 is this process and the commands that it runs
	Run  func() (float64, error) // does the work once and returns the seconds a unit took, by the contestant's own clock
}

// Turns says how contestants take turns.
type Turns struct {
	Rounds int           // undisturbed rounds that are wanted
	Others float64       // a turn is disturbed when everything else took more than this share of a core (default 0.08)
	Drop   float64       // a round is disturbed when the probe found less than this share of its best (default 0.9)
	Wait   time.Duration // for the machine to become idle before the first round
	Force  bool          // takes disturbed rounds too where there are not enough others
	Log    io.Writer     // a line for each round
}

// Result is what the turns gave.
type Result struct {
	Seconds  map[string][]float64 `json:"seconds"`  // by contestant, of each round that counts
	Peak     float64              `json:"peak"`     // the best probe of all cores, GFLOP/s
	Peak1    float64              `json:"peak1"`    // the best probe of one core
	Dropped  int                  `json:"dropped"`  // rounds that do not count
	Forced   bool                 `json:"forced"`   // disturbed rounds count, against the rules
	Disturbs []string             `json:"disturbs"` // what was wrong with the disturbed rounds
	LoadAvg  string               `json:"load_average"`
}

// Run lets the contestants take turns, round by round, until there are enough undisturbed rounds. After three times as many it
// gives up with ErrNoisy.
func (t Turns) Run(ctx context.Context, contestants ...Contestant) (*Result, error) {
	if t.Others == 0 {
		t.Others = 0.08
	}
	if t.Drop == 0 {
		t.Drop = 0.9
	}
	r := &Result{Seconds: map[string][]float64{}, LoadAvg: LoadAverage()}
	if share, ok := Idle(t.Wait); !ok {
		why := fmt.Sprintf("before the start other processes used %.0f %% of a core (load average %s)", 100*share, LoadAverage())
		if !t.Force {
			return r, fmt.Errorf("%w: %s", ErrNoisy, why)
		}
		r.Disturbs = append(r.Disturbs, why)
	}
	disturbed := map[string][]float64{}
	for round := 1; len(r.Seconds[contestants[0].Name]) < t.Rounds; round++ {
		if round > 3*t.Rounds {
			return t.tooNoisy(r, contestants, disturbed)
		}
		why := t.probe(r)
		seconds := make([]float64, len(contestants))
		for i, c := range contestants {
			if err := ctx.Err(); err != nil {
				return r, context.Cause(ctx)
			}
			if c.PID == 0 {
				c.PID = os.Getpid()
			}
			before := usageOf(c.PID)
			s, err := c.Run()
			if err != nil {
				return r, fmt.Errorf("%s: %w", c.Name, err)
			}
			seconds[i] = s
			if n := usageOf(c.PID).since(before); n.Others > t.Others {
				why = append(why, fmt.Sprintf("during %s others used %.0f %% of a core (stolen %.0f %%)", c.Name, 100*n.Others, 100*n.Stolen))
			}
		}
		into := r.Seconds
		if len(why) > 0 {
			into = disturbed
			r.Dropped++
			for _, w := range why {
				r.Disturbs = append(r.Disturbs, fmt.Sprintf("round %d: %s", round, w))
			}
		}
		for i, c := range contestants {
			into[c.Name] = append(into[c.Name], seconds[i])
		}
		t.log(round, contestants, seconds, why)
	}
	return r, nil
}

// probe updates the peaks and says when this one is far below the best.
func (t Turns) probe(r *Result) (why []string) {
	const d = 30 * time.Millisecond
	r.Peak1 = max(r.Peak1, Peak(1, d), Peak(1, d))
	now := max(Peak(runtime.GOMAXPROCS(0), d), Peak(runtime.GOMAXPROCS(0), d))
	if now < t.Drop*r.Peak {
		why = []string{fmt.Sprintf("the probe found %.0f GFLOP/s, its best is %.0f", now, r.Peak)}
	}
	r.Peak = max(r.Peak, now)
	return why
}

func (t Turns) tooNoisy(r *Result, contestants []Contestant, disturbed map[string][]float64) (*Result, error) {
	if !t.Force {
		return r, fmt.Errorf("%w: %d of %d rounds were disturbed; the last: %s", ErrNoisy, r.Dropped, 3*t.Rounds, r.Disturbs[len(r.Disturbs)-1])
	}
	r.Forced = true
	for _, c := range contestants {
		r.Seconds[c.Name] = append(r.Seconds[c.Name], disturbed[c.Name]...)
	}
	return r, nil
}

func (t Turns) log(round int, contestants []Contestant, seconds []float64, why []string) {
	if t.Log == nil {
		return
	}
	fmt.Fprintf(t.Log, "round %d:", round)
	for i, c := range contestants {
		fmt.Fprintf(t.Log, "  %s %.4g s", c.Name, seconds[i])
	}
	if len(why) > 0 {
		fmt.Fprintf(t.Log, "  (disturbed: %s)", why[0])
	}
	fmt.Fprintln(t.Log)
}
