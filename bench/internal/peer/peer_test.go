package peer

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fake answers as a peer does, in plain Python without any library.
const fake = `
import json, sys
speed = 1
for line in sys.stdin:
    r = json.loads(line)
    a = {"seconds": speed, "steps": 2}
    if r["do"] == "setup":
        speed = 10 - r["threads"] - r["channels_last"]
        if r["compile"]: a = {"error": "no compiler"}
    if r["do"] == "die":
        print("something broke", file=sys.stderr); sys.exit(3)
    print(json.dumps(a), flush=True)
`

func start(t *testing.T) *Peer {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed; the peers need it, and nothing else does")
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "bench", "python"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "bench", "python", "fake.py"), []byte(fake), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := Start(root, python, "fake.py")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBest(t *testing.T) {
	t.Parallel()
	p := start(t)
	best, trials, err := p.Best(Settings(2), Request{"model": "cnn"}, Request{"do": "train"}, Request{"do": "train"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Setting{Threads: 2, ChannelsLast: true, Fused: true}); best != want {
		t.Errorf("the best setting is %v, want %v", best, want)
	}
	failed := 0
	for _, trial := range trials {
		if trial.Error != "" {
			failed++
		}
	}
	if len(trials) != 9 || failed != 4 || trials[0].Seconds != 3.5 {
		t.Errorf("%d trials of which %d failed, the first took %v s a step: %+v", len(trials), failed, trials[0].Seconds, trials)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestDeadPeer(t *testing.T) {
	t.Parallel()
	p := start(t)
	_, err := p.Ask(Request{"do": "die"})
	if err == nil || errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), "something broke") {
		t.Errorf("got %v, want the peer's last words", err)
	}
	if err := p.Close(); err == nil {
		t.Error("the exit status 3 is lost")
	}
}

func TestRoot(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "bench", "python", "setup.sh")); err != nil {
		t.Error(err)
	}
	t.Chdir(t.TempDir())
	if _, err := Root(); err == nil {
		t.Error("a folder outside the repository has a root")
	}
}

func TestParseSetting(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Setting{
		"1": {Threads: 1}, "2,channels_last,compile,fused": {Threads: 2, ChannelsLast: true, Compile: true, Fused: true},
	} {
		if got, err := ParseSetting(text); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "fused", "2,fast"} {
		if s, err := ParseSetting(text); err == nil {
			t.Errorf("%q is read as %v", text, s)
		}
	}
}
