package command

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	t.Parallel()
	u, err := Run(t.Context(), "go", "env", "GOOS")
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(u.Output)) != runtime.GOOS || u.Seconds <= 0 {
		t.Errorf("%q in %v s", u.Output, u.Seconds)
	}
	if runtime.GOOS == "linux" && (u.Memory < 1 || u.Memory > 1000) {
		t.Errorf("go env took %v MB", u.Memory)
	}
	if _, err := Run(t.Context(), "go", "frobnicate"); err == nil || !strings.Contains(err.Error(), "unknown command") {
		t.Errorf("got %v, want the command's own words", err)
	}
}

func TestRunOnTerminal(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no RunOnTerminal on " + runtime.GOOS)
	}
	t.Parallel()
	script := `test -t 1 || exit 3; sleep 0.2; printf '\r 1/1875'; sleep 0.2; echo done`
	u, err := RunOnTerminal(t.Context(), regexp.MustCompile(`1/1875`), "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	if u.First < 0.2 || u.First > u.Seconds-0.15 || !strings.Contains(string(u.Output), "done") {
		t.Errorf("the first step came after %.2f of %.2f s: %q", u.First, u.Seconds, u.Output)
	}
	if _, err := RunOnTerminal(t.Context(), regexp.MustCompile("never"), "echo", "x"); err == nil {
		t.Error("a pattern that never came is found")
	}
	if _, err := RunOnTerminal(t.Context(), regexp.MustCompile("x"), "sh", "-c", "echo x; exit 4"); err == nil {
		t.Error("an exit status is lost")
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "history.csv")
	text := "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.8,0.5,0.81,0.49\n1,0.85,0.4,0.86,0.39\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	h, err := History(file)
	if err != nil || h["epoch"] != 1 || h["val_accuracy"] != 0.86 || h["val_loss"] != 0.39 {
		t.Errorf("got %v, %v", h, err)
	}
	if err := os.WriteFile(file, []byte("epoch,loss\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := History(file); err == nil {
		t.Error("a history without epochs is read")
	}
}
