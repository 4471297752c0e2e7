// Package peer runs the Python programs under bench/python beside gcnn: it makes their environment once, starts them, and sends
// them requests.
package peer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// ErrAnswer is wrapped where a peer answers with an error of its own.
var ErrAnswer = errors.New("the peer failed")

// Root is the repository's folder: the nearest one above the working folder with gcnn's go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		mod, err := os.ReadFile(filepath.Join(d, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module gcnn\n") {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%s is not inside gcnn's repository: no go.mod of module gcnn there or above", dir)
		}
	}
}

// Python makes the peers' environment where it is missing (bench/python/setup.sh) and returns its interpreter. What the
// installation prints goes to log.
func Python(root string, log io.Writer) (string, error) {
	cmd := exec.Command(filepath.Join(root, "bench", "python", "setup.sh"))
	cmd.Stderr = log
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("bench/python/setup.sh: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Request is what a peer is asked: {"do": …} and what that takes (see bench/python/*_peer.py).
type Request map[string]any

// Answer is a peer's reply. Fields that a request does not fill are zero.
type Answer struct {
	Error   string  `json:"error"`
	Seconds float64 `json:"seconds"` // by the peer's own clock, without the request's way
	Steps   int     `json:"steps"`
	Samples int     `json:"samples"`
	Images  int     `json:"images"`
	Loss    float64 `json:"loss"`
	Classes []int   `json:"classes"`
	Version string  `json:"version"`
	ISA     string  `json:"isa"` // the instructions that PyTorch's own kernels use
	Backend string  `json:"backend"`
	PeakRSS float64 `json:"peak_rss_mb"`
}

// Peer is a running Python program that answers requests, one at a time.
type Peer struct {
	script string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	errors tail
}

// held are what holds PyTorch's, oneDNN's, MKL's and XLA's kernels to AVX2. What torch.compile makes is kept apart: its cache does not
// tell instructions apart.
var held = []string{
	"ATEN_CPU_CAPABILITY=avx2", "ONEDNN_MAX_CPU_ISA=AVX2", "MKL_ENABLE_INSTRUCTIONS=AVX2", "XLA_FLAGS=--xla_cpu_max_isa=AVX2",
	"TORCHINDUCTOR_CACHE_DIR=" + filepath.Join(os.TempDir(), "torchinductor-avx2"),
}

// Start runs a script of bench/python. env has further KEY=VALUE settings. Where GCNN_CPU holds gcnn to AVX2 the peer is held to it
// too, so that both run as on a processor without AVX-512.
func Start(root, python, script string, env ...string) (*Peer, error) {
	p := &Peer{script: script}
	p.cmd = exec.Command(python, filepath.Join(root, "bench", "python", script))
	p.cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if os.Getenv("GCNN_CPU") == "avx2" {
		p.cmd.Env = append(p.cmd.Env, held...)
	}
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stderr = &p.errors
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", script, err)
	}
	return p, nil
}

// PID is the process' number.
func (p *Peer) PID() int { return p.cmd.Process.Pid }

// Ask sends a request and waits for its answer. An error of the peer's own wraps ErrAnswer, and the peer lives on.
func (p *Peer) Ask(r Request) (Answer, error) {
	var a Answer
	line, err := json.Marshal(r)
	if err != nil {
		return a, fmt.Errorf("%s: %w", p.script, err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return a, fmt.Errorf("%s: %w; its last words: %s", p.script, err, p.errors.String())
	}
	reply, err := p.out.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("%s ended without an answer: %w; its last words: %s", p.script, err, p.errors.String())
	}
	if err := json.Unmarshal(reply, &a); err != nil {
		return a, fmt.Errorf("%s answered %q: %w", p.script, reply, err)
	}
	if a.Error != "" {
		return a, fmt.Errorf("%s: %w: %s", p.script, ErrAnswer, a.Error)
	}
	return a, nil
}

// Close ends the process and waits for it.
func (p *Peer) Close() error {
	if err := p.in.Close(); err != nil {
		return err
	}
	return p.cmd.Wait()
}

// tail keeps the last bytes that were written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// Write keeps the end of what was written.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const keep = 2000
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(0, len(t.buf)-keep):]
	return len(p), nil
}

// String is the last line or two.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.buf), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-2):], []byte(" / ")))
}
