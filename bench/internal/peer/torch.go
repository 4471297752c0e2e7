package peer

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Setting is how PyTorch is run.
type Setting struct {
	Threads      int  `json:"threads"`
	ChannelsLast bool `json:"channels_last"`
	Compile      bool `json:"compile"`
	Fused        bool `json:"fused"` // the optimiser
}

// String is the setting in words.
func (s Setting) String() string {
	words := fmt.Sprintf("%d threads", s.Threads)
	if s.Threads == 1 {
		words = "1 thread"
	}
	if s.ChannelsLast {
		words += ", channels_last"
	}
	if s.Compile {
		words += ", torch.compile"
	}
	if s.Fused {
		words += ", fused optimiser"
	}
	return words
}

// Settings are those that are worth trying on so many cores: every combination, with a thread for each core and with one, since
// small networks lose more to threads than they gain.
func Settings(cores int) []Setting {
	var all []Setting
	for _, threads := range slices.Compact([]int{cores, max(1, cores/2), 1}) {
		for _, compile := range []bool{false, true} {
			for _, last := range []bool{true, false} {
				all = append(all, Setting{Threads: threads, ChannelsLast: last, Compile: compile, Fused: true})
			}
		}
	}
	return append(all, Setting{Threads: cores, ChannelsLast: true})
}

// InferenceSettings are those that are worth trying where nothing is trained.
func InferenceSettings(cores int) []Setting {
	var all []Setting
	for _, s := range Settings(cores) {
		if s.Fused {
			s.Fused = false
			all = append(all, s)
		}
	}
	return all
}

// Request is a set-up of torch_peer.py for a workload with this setting.
func (s Setting) Request(workload Request) Request {
	r := Request{"do": "setup", "threads": s.Threads, "channels_last": s.ChannelsLast, "compile": s.Compile, "fused": s.Fused}
	for k, v := range workload {
		r[k] = v
	}
	return r
}

// Trial is a setting with the time that it took.
type Trial struct {
	Setting Setting `json:"setting"`
	Seconds float64 `json:"seconds"` // a step or a request; the better of two
	Error   string  `json:"error,omitempty"`
}

// Best tries settings and returns the fastest with all trials. work is the timed request; warm is asked before it, untimed. A
// setting that the peer cannot run, such as torch.compile without a C++ compiler, is noted and left out.
func (p *Peer) Best(settings []Setting, workload, warm, work Request, log io.Writer) (Setting, []Trial, error) {
	var trials []Trial
	best := -1
	for _, s := range settings {
		t := Trial{Setting: s}
		err := p.try(&t, s.Request(workload), warm, work)
		if err != nil && !errors.Is(err, ErrAnswer) {
			return Setting{}, trials, err
		}
		if err != nil {
			t.Error = err.Error()
			fmt.Fprintf(log, "PyTorch, %v: %v\n", s, err)
		} else {
			fmt.Fprintf(log, "PyTorch, %v: %.3g ms\n", s, 1000*t.Seconds)
			if best < 0 || t.Seconds < trials[best].Seconds {
				best = len(trials)
			}
		}
		trials = append(trials, t)
	}
	if best < 0 {
		return Setting{}, trials, fmt.Errorf("PyTorch ran with none of the %d settings; the last: %s", len(trials), trials[len(trials)-1].Error)
	}
	return trials[best].Setting, trials, nil
}

func (p *Peer) try(t *Trial, setup, warm, work Request) error {
	if _, err := p.Ask(setup); err != nil {
		return err
	}
	if _, err := p.Ask(warm); err != nil {
		return err
	}
	for i := range 2 {
		a, err := p.Ask(work)
		if err != nil {
			return err
		}
		if s := a.Seconds / float64(max(1, a.Steps)); i == 0 || s < t.Seconds {
			t.Seconds = s
		}
	}
	return nil
}

// ParseSetting reads a setting such as "2,channels_last,compile,fused": the threads and what is on.
func ParseSetting(text string) (Setting, error) {
	var s Setting
	for i, word := range strings.Split(text, ",") {
		switch {
		case i == 0:
			n, err := strconv.Atoi(word)
			if err != nil || n < 1 {
				return s, fmt.Errorf("a setting starts with the number of threads, got %q", text)
			}
			s.Threads = n
		case word == "channels_last":
			s.ChannelsLast = true
		case word == "compile":
			s.Compile = true
		case word == "fused":
			s.Fused = true
		default:
			return s, fmt.Errorf("a setting is the threads, then channels_last, compile or fused, got %q", word)
		}
	}
	return s, nil
}
