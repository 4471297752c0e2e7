package measure

import (
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := Median(c.values); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestRatios(t *testing.T) {
	t.Parallel()
	if got := Median(Ratios([]float64{6, 8, 20}, []float64{2, 2, 2})); got != 4 {
		t.Errorf("the median ratio is %v, want 4", got)
	}
}

// The probe counts real work: twice the time, twice the iterations, the same rate. A scalar multiply-add a cycle would be a few
// GFLOP/s; a vector unit is well above.
func TestPeak(t *testing.T) {
	best := 0.0
	for range 5 {
		best = max(best, Peak(1, 20*time.Millisecond))
	}
	floor := 0.5
	if ProbeName() != "scalar Go" {
		floor = 8
	}
	if best < floor || best > 1000 || math.IsNaN(best) {
		t.Errorf("one core does %.1f GFLOP/s with %s, expected %v to 1000", best, ProbeName(), floor)
	}
}

// Another process' work is noise, this process' own is not.
func TestUsage(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the processor time of other processes is read from /proc, which " + runtime.GOOS + " lacks")
	}
	before := usageOf(os.Getpid())
	Peak(1, 300*time.Millisecond)
	after := usageOf(os.Getpid())
	if !before.known || !after.known {
		t.Fatal("/proc tells no usage")
	}
	// On a busy machine the loop gets a part of its 0.3 s; a tick of the clock is 0.01 s.
	if own := after.process - before.process; own < 0.01 || own > 1 {
		t.Errorf("this process spent %.2f s in a loop of 0.3 s", own)
	}
	base := usage{at: before.at, busy: 10, process: 5, known: true}
	later := usage{at: before.at.Add(time.Second), busy: 11.53, process: 6, known: true}
	if n := later.since(base); math.Abs(n.Others-0.5) > 1e-9 {
		t.Errorf("others used %v of a core, want 0.5", n.Others)
	}
}

func TestTurnsAlternateAndFail(t *testing.T) {
	var order strings.Builder
	contestant := func(name string, seconds float64, err error) Contestant {
		return Contestant{Name: name, Run: func() (float64, error) { order.WriteString(name); return seconds, err }}
	}
	turns := Turns{Rounds: 2, Others: math.Inf(1), Drop: -1, Force: true}
	r, err := turns.Run(context.Background(), contestant("a", 1, nil), contestant("b", 3, nil))
	if err != nil {
		t.Fatal(err)
	}
	if order.String() != "abab" || Median(Ratios(r.Seconds["b"], r.Seconds["a"])) != 3 || r.Peak <= 0 {
		t.Errorf("order %s, result %+v", order.String(), r)
	}
	broken := errors.New("broken")
	if _, err := turns.Run(context.Background(), contestant("c", 0, broken)); !errors.Is(err, broken) {
		t.Errorf("got %v, want the contestant's error", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := turns.Run(ctx, contestant("d", 1, nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// Rounds in which the probe cannot reach its best are disturbed: here none can, and the result is refused.
func TestTurnsRefuse(t *testing.T) {
	turns := Turns{Rounds: 1, Others: math.Inf(1), Drop: 2, Force: false, Wait: time.Minute}
	r := &Result{Seconds: map[string][]float64{}, Disturbs: []string{"x"}, Dropped: 3}
	if _, err := turns.tooNoisy(r, nil, nil); !errors.Is(err, ErrNoisy) {
		t.Errorf("got %v, want %v", err, ErrNoisy)
	}
	r.Peak = 1e9
	if why := turns.probe(r); len(why) != 1 {
		t.Errorf("a probe far below its best is not reported: %v", why)
	}
	turns.Force = true
	forced, err := turns.tooNoisy(r, []Contestant{{Name: "a"}}, map[string][]float64{"a": {1, 2, 3}})
	if err != nil || !forced.Forced || len(forced.Seconds["a"]) != 3 {
		t.Errorf("forced: %+v, %v", forced, err)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	table := Table{Head: []string{"network", "s"}}
	table.Add("cnn", "0.2 ×")
	want := "| network | s     |\n| ------- | ----- |\n| cnn     | 0.2 × |\n"
	if got := table.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
