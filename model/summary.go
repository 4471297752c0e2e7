package model

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Summary is what `gcnn summary` tells of a network.
type Summary struct {
	Name         string         `json:"name"`
	Input        Shape          `json:"input"`
	Layers       []SummaryLayer `json:"layers"`
	Params       int64          `json:"params"`
	Trainable    int64          `json:"trainable_params"`
	NonTrainable int64          `json:"non_trainable_params"`
	FLOPs        int64          `json:"flops"` // of one sample, forward: 2 for each multiply-add of convolutions and dense layers
	branched     bool
}

// SummaryLayer is a layer in a Summary.
type SummaryLayer struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`
	Output Shape    `json:"output"`
	Params int64    `json:"params"`
	FLOPs  int64    `json:"flops"`
	Inputs []string `json:"inputs"`
}

// Summarize counts a network.
func (n *Network) Summarize() Summary {
	s := Summary{Name: n.Name, Input: n.Input}
	for i, node := range n.Nodes {
		if node.Separable == nil || i == 0 || n.Nodes[i-1].Separable != node.Separable {
			s.Layers = append(s.Layers, SummaryLayer{})
		}
		l := &s.Layers[len(s.Layers)-1] // of several nodes in turn where a layer is made of several
		l.Name, l.Type, l.Output, l.FLOPs = node.Name, kerasClass(node.Layer), node.Out, l.FLOPs+2*node.MACs
		for _, p := range node.Params {
			l.Params += int64(p.Size())
			s.Params += int64(p.Size())
			if p.Trainable {
				s.Trainable += int64(p.Size())
			}
		}
		s.FLOPs += 2 * node.MACs
		if l.Inputs != nil {
			l.Type = kerasClass(*node.Separable)
			continue
		}
		for _, j := range node.Inputs {
			if l.Inputs = append(l.Inputs, n.nameOf(j)); j != i-1 {
				s.branched = true
			}
		}
		s.branched = s.branched || len(node.Inputs) > 1
	}
	s.NonTrainable = s.Params - s.Trainable
	return s
}

func (n *Network) nameOf(node int) string {
	if node == Input {
		return InputName
	}
	return n.Nodes[node].Name
}

// kerasClass is the name of the Keras class that a layer is.
func kerasClass(l Layer) string {
	switch l := l.(type) {
	case Conv2D:
		if l.DepthMultiplier > 0 {
			return "DepthwiseConv2D"
		}
		return "Conv2D"
	case SeparableConv2D:
		return "SeparableConv2D"
	case MaxPool2D:
		return "MaxPooling2D"
	case AveragePool2D:
		return "AveragePooling2D"
	case GlobalMaxPool2D:
		return "GlobalMaxPooling2D"
	case GlobalAveragePool2D:
		return "GlobalAveragePooling2D"
	case Flatten:
		return "Flatten"
	case Dense:
		return "Dense"
	case Activation:
		return "Activation"
	case BatchNormalization:
		return "BatchNormalization"
	case Dropout:
		return "Dropout"
	case LocalResponseNormalization:
		return "LocalResponseNormalization"
	case ZeroPadding2D:
		return "ZeroPadding2D"
	case Add:
		return "Add"
	case Concatenate:
		return "Concatenate"
	}
	return l.Kind()
}

// Write prints the table of Keras' model.summary, at most width columns wide where names allow it, and the FLOPs of a sample.
// A network with branches has a column that says what each layer reads.
func (s Summary) Write(w io.Writer, width int) error {
	head := []string{"Layer (type)", "Output Shape", "Param #"}
	if s.branched {
		head = append(head, "Connected to")
	}
	var rows [][]string
	for _, l := range s.Layers {
		row := []string{fmt.Sprintf("%s (%s)", l.Name, l.Type), batchShape(l.Output), thousands(l.Params)}
		if s.branched {
			row = append(row, strings.Join(l.Inputs, ", "))
		}
		rows = append(rows, row)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Model: %q, input %s\n", s.Name, batchShape(s.Input))
	writeTable(&b, head, rows, width)
	for _, c := range []struct {
		what string
		n    int64
	}{{"Total", s.Params}, {"Trainable", s.Trainable}, {"Non-trainable", s.NonTrainable}} {
		fmt.Fprintf(&b, " %s params: %s (%s)\n", c.what, thousands(c.n), readableSize(4*c.n))
	}
	fmt.Fprintf(&b, " FLOPs of a sample: %s (forward, 2 for a multiply-add)\n", thousands(s.FLOPs))
	_, err := io.WriteString(w, b.String())
	return err
}

// Columns of the table: shapes take two lines at most, numbers one, and align right.
const shapeColumn, paramColumn = 1, 2

// writeTable draws a box with a rule under the head. Columns shrink to width from the widest on, down to their
// longest word, and longer text goes on in the next line.
func writeTable(b *strings.Builder, head []string, rows [][]string, width int) {
	widths, words := make([]int, len(head)), make([]int, len(head)) // of the longest cell and of the longest word
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			for word := range strings.FieldsSeq(cell) {
				words[i] = max(words[i], utf8.RuneCountInString(word))
			}
		}
		for len(wrap(row[shapeColumn], words[shapeColumn])) > 2 {
			words[shapeColumn]++
		}
	}
	for total := sum(widths) + 3*len(widths) + 1; total > width; total-- {
		widest := -1
		for i := range widths {
			if widths[i] > words[i] && i != paramColumn && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	rule := func(left, mid, end, dash string) {
		for i, w := range widths {
			b.WriteString(left + strings.Repeat(dash, w+2))
			left = mid
			if i == len(widths)-1 {
				b.WriteString(end + "\n")
			}
		}
	}
	line := func(row []string, bar string) {
		cells := make([][]string, len(row))
		lines := 0
		for i, cell := range row {
			cells[i] = wrap(cell, widths[i])
			lines = max(lines, len(cells[i]))
		}
		for k := range lines {
			for i, w := range widths {
				text := ""
				if k < len(cells[i]) {
					text = cells[i][k]
				}
				pad := strings.Repeat(" ", w-utf8.RuneCountInString(text))
				if i == paramColumn {
					text = pad + text
				} else {
					text += pad
				}
				b.WriteString(bar + " " + text + " ")
			}
			b.WriteString(bar + "\n")
		}
	}
	rule("┏", "┳", "┓", "━")
	line(head, "┃")
	rule("┡", "╇", "┩", "━")
	for i, row := range rows {
		if i > 0 {
			rule("├", "┼", "┤", "─")
		}
		line(row, "│")
	}
	rule("└", "┴", "┘", "─")
}

// wrap breaks text into lines of at most width, after a space or a comma where there is one.
func wrap(text string, width int) []string {
	var lines []string
	for utf8.RuneCountInString(text) > width {
		r := []rune(text)
		at := width
		for i := width; i > 0; i-- {
			if r[i] == ' ' {
				at = i
				break
			}
		}
		lines = append(lines, strings.TrimRight(string(r[:at]), " "))
		text = strings.TrimLeft(string(r[at:]), " ")
	}
	return append(lines, text)
}

func sum(v []int) int {
	total := 0
	for _, n := range v {
		total += n
	}
	return total
}

func batchShape(s Shape) string {
	dims := []string{"None"}
	for _, d := range s {
		dims = append(dims, strconv.Itoa(d))
	}
	return "(" + strings.Join(dims, ", ") + ")"
}

// thousands writes 38254 as 38,254.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// readableSize writes a number of bytes as Keras does: 149.43 KB, in powers of 1024.
func readableSize(n int64) string {
	v := float64(n)
	for _, unit := range []string{"B", "KB", "MB", "GB", "TB"} {
		if v < 1024 || unit == "TB" {
			return fmt.Sprintf("%.2f %s", v, unit)
		}
		v /= 1024
	}
	return ""
}
