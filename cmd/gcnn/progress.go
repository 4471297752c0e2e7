package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"gcnn/device"
	"gcnn/train"
)

const (
	redrawEvery = 50 * time.Millisecond
	widestBar   = 20
)

// progress shows a training in Keras' wording: on a terminal one line that is redrawn, else one line an epoch.
type progress struct {
	w        io.Writer
	terminal bool
	colour   bool
	columns  func() int
	now      func() time.Time
	epochs   int
	rates    bool // show the learning rate, which changes

	begin time.Time // of the epoch, in this process
	first int       // steps that were done before
	drawn time.Time
	open  bool // a line is drawn that has no end yet
}

func newProgress(w io.Writer, r train.Recipe) *progress {
	p := &progress{
		w: w, epochs: r.Epochs, now: time.Now, columns: func() int { return columns(w) },
		rates: !r.ConstantRate(),
	}
	p.terminal = isTerminal(w)
	p.colour = p.terminal && os.Getenv("NO_COLOR") == ""
	return p
}

// isTerminal reports whether lines can be redrawn.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

func (p *progress) observer() train.Observer {
	return train.Observer{EpochBegin: p.epochBegin, Progress: p.steps, EpochEnd: p.epochEnd}
}

func (p *progress) epochBegin(epoch, step int) {
	p.begin, p.first, p.drawn = p.now(), step, time.Time{}
	if p.terminal {
		fmt.Fprintf(p.w, "Epoch %d/%d\n", epoch+1, p.epochs)
	}
}

func (p *progress) steps(s train.Progress) {
	now := p.now()
	if !p.terminal || (now.Sub(p.drawn) < redrawEvery && s.Step < s.Steps) {
		return
	}
	p.drawn = now
	elapsed := now.Sub(p.begin)
	step := elapsed / time.Duration(max(1, s.Step-p.first))
	left := step * time.Duration(s.Steps-s.Step)
	head := fmt.Sprintf("%*d/%d ", len(fmt.Sprint(s.Steps)), s.Step, s.Steps)
	metrics := " - " + metricsText(s.Metrics)
	width := p.columns() - len("^C") - 1 // room for what the terminal shows of a Ctrl-C
	bar := 0
	var tail string
	for _, times := range []string{
		fmt.Sprintf(" %s %s ETA %s", clock(elapsed), perStep(step), clock(left)), fmt.Sprintf(" %s ETA %s", clock(elapsed), clock(left)), "",
	} {
		tail = times + metrics
		if bar = min(widestBar, width-utf8.RuneCountInString(head+tail)); bar >= 5 {
			break
		}
	}
	line := cut(head+p.bar(max(0, bar), s.Step, s.Steps)+tail, width)
	fmt.Fprintf(p.w, "\r%s\x1b[K", line)
	p.open = true
}

// bar draws the share of steps that are done.
func (p *progress) bar(width, step, steps int) string {
	done := width * step / max(1, steps)
	if p.colour {
		return "\x1b[32m" + strings.Repeat("━", done) + "\x1b[0m\x1b[37m" + strings.Repeat("━", width-done) + "\x1b[0m"
	}
	return strings.Repeat("━", done) + strings.Repeat("─", width-done)
}

// cut shortens a line to a number of columns, colours not counted.
func cut(line string, width int) string {
	var b strings.Builder
	escape := false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r == '[' || r >= '0' && r <= '9' || r == ';'
		case width <= 0:
			continue
		default:
			width--
		}
		b.WriteRune(r)
	}
	return b.String()
}

func metricsText(m device.Metrics) string {
	if m.Count == 0 {
		return ""
	}
	return fmt.Sprintf("accuracy: %s - loss: %s", number(m.Accuracy()), number(m.Loss()))
}

func (p *progress) epochEnd(e train.EpochEnd) error {
	elapsed := time.Duration(e.Seconds * float64(time.Second))
	times := []string{clock(elapsed), perStep(elapsed / time.Duration(e.Steps))}
	metrics := []string{"accuracy: " + number(e.Accuracy), "loss: " + number(e.Loss)}
	if e.Validated {
		metrics = append(metrics, "val_accuracy: "+number(e.ValAccuracy), "val_loss: "+number(e.ValLoss))
	}
	if p.rates {
		metrics = append(metrics, "learning_rate: "+number(e.LearningRate))
	}
	if !p.terminal {
		head := []string{fmt.Sprintf("Epoch %d/%d", e.Epoch+1, p.epochs), fmt.Sprintf("%d/%d", e.Steps, e.Steps)}
		fmt.Fprintln(p.w, strings.Join(append(append(head, times...), metrics...), " - "))
		return nil
	}
	steps := fmt.Sprintf("%d/%d ", e.Steps, e.Steps)
	tail := " " + strings.Join(times, " ")
	lines := joined(append([]string{steps + strings.Repeat("━", widestBar) + tail}, metrics...), len(steps), p.columns())
	lines = strings.Replace(lines, strings.Repeat("━", widestBar), p.bar(widestBar, 1, 1), 1)
	fmt.Fprintf(p.w, "\r%s\x1b[K\n", strings.ReplaceAll(lines, "\n", "\x1b[K\n"))
	p.open = false
	return nil
}

// joined puts " - " between parts, and a new line with an indent where the next part would not fit into width columns.
func joined(parts []string, indent, width int) string {
	var b strings.Builder
	column := 0
	for i, part := range parts {
		n := utf8.RuneCountInString(part)
		switch {
		case i == 0:
		case column+len(" - ")+n >= width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteString(" - ")
			column += len(" - ")
		}
		b.WriteString(part)
		column += n
	}
	return b.String()
}

// end leaves the line that was being drawn.
func (p *progress) end() {
	if p.open {
		fmt.Fprintln(p.w)
		p.open = false
	}
}
