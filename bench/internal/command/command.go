// Package command runs whole commands, gcnn's own and Python scripts, as a user would, and takes their time and memory.
package command

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Build compiles cmd/gcnn into a folder and returns the binary's path.
func Build(ctx context.Context, root, dir string) (string, error) {
	binary := filepath.Join(dir, "gcnn")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/gcnn")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/gcnn: %w: %s", err, bytes.TrimSpace(out))
	}
	return binary, nil
}

// Usage is what a command took.
type Usage struct {
	Seconds float64 `json:"seconds"`     // from its start to its end
	First   float64 `json:"first_step"`  // from its start to the first step that it showed; 0 where that was not asked
	Memory  float64 `json:"peak_rss_mb"` // 0 where the system does not tell
	Output  []byte  `json:"-"`           // standard output
}

// Run runs a command to its end. An error holds the end of what it wrote to standard error.
func Run(ctx context.Context, name string, args ...string) (Usage, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	start := time.Now()
	err := cmd.Run()
	u := Usage{Seconds: time.Since(start).Seconds(), Output: out.Bytes()}
	if err != nil {
		return u, fmt.Errorf("%s: %w: %s", filepath.Base(name), err, last(errs.Bytes()))
	}
	u.Memory = peakMemory(cmd.ProcessState)
	return u, nil
}

// last is the last 500 bytes of a text.
func last(text []byte) []byte { return bytes.TrimSpace(text[max(0, len(text)-500):]) }

// History is the last row of a history.csv, by column.
func History(file string) (map[string]float64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(rows) < 2 {
		return nil, fmt.Errorf("%s: expected a head and an epoch or more, got %d rows", file, len(rows))
	}
	values := map[string]float64{}
	for i, name := range rows[0] {
		if values[name], err = strconv.ParseFloat(rows[len(rows)-1][i], 64); err != nil {
			return nil, fmt.Errorf("%s: column %s: %w", file, name, err)
		}
	}
	return values, nil
}
