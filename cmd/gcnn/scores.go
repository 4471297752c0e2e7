package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"gcnn/data"
)

// scores are the figures of an evaluation.
type scores struct {
	Data      string       `json:"data"`
	Images    int          `json:"images"`
	Loss      float64      `json:"loss"`
	Accuracy  float64      `json:"accuracy"`
	Classes   []classScore `json:"classes"`
	Confusion [][]int      `json:"confusion"` // by true class, then by predicted class
	MacroF1   float64      `json:"macro_f1"`
}

// classScore are the figures of a class. What would divide by zero is 0, as in scikit-learn.
type classScore struct {
	Class     string  `json:"class"`
	Precision float64 `json:"precision"` // share of the predictions of this class that are right
	Recall    float64 `json:"recall"`    // share of the images of this class that are found
	F1        float64 `json:"f1"`        // harmonic mean of both
	Images    int     `json:"images"`
}

func score(set *data.Set, predicted []int) scores {
	n := len(set.Classes)
	s := scores{Data: set.Name, Images: set.Len(), Confusion: make([][]int, n)}
	for i := range s.Confusion {
		s.Confusion[i] = make([]int, n)
	}
	for i, p := range predicted {
		s.Confusion[set.Labels[i]][p]++
	}
	for k, name := range set.Classes {
		c := classScore{Class: name}
		found := 0
		for j := range n {
			c.Images += s.Confusion[k][j]
			found += s.Confusion[j][k]
		}
		right := float64(s.Confusion[k][k])
		if found > 0 {
			c.Precision = right / float64(found)
		}
		if c.Images > 0 {
			c.Recall = right / float64(c.Images)
		}
		if right > 0 {
			c.F1 = 2 * c.Precision * c.Recall / (c.Precision + c.Recall)
		}
		s.MacroF1 += c.F1 / float64(n)
		s.Classes = append(s.Classes, c)
	}
	return s
}

// write prints the scores for a terminal of so many columns.
func (s scores) write(w io.Writer, width int) {
	fmt.Fprintf(w, "%s: %s images - accuracy: %s - loss: %s\n\n", s.Data, thousands(s.Images), number(s.Accuracy), number(s.Loss))
	name := len("macro mean")
	for _, c := range s.Classes {
		name = max(name, utf8.RuneCountInString(c.Class))
	}
	name = min(name, 32)
	fmt.Fprintf(w, "%s  precision  recall      F1  images\n", pad("", name))
	for _, c := range s.Classes {
		fmt.Fprintf(w, "%s  %9.4f  %6.4f  %6.4f  %6d\n", pad(c.Class, name), c.Precision, c.Recall, c.F1, c.Images)
	}
	var precision, recall float64
	for _, c := range s.Classes {
		precision += c.Precision / float64(len(s.Classes))
		recall += c.Recall / float64(len(s.Classes))
	}
	fmt.Fprintf(w, "%s  %9.4f  %6.4f  %6.4f  %6d\n\n", pad("macro mean", name), precision, recall, s.MacroF1, s.Images)
	s.writeConfusion(w, name, width)
}

// writeConfusion prints the matrix, or the most frequent errors where it is too wide.
func (s scores) writeConfusion(w io.Writer, name, width int) {
	cell := 3
	for _, row := range s.Confusion {
		cell = max(cell, len(fmt.Sprint(slices.Max(row))))
	}
	n := len(s.Classes)
	cell = max(cell, len(fmt.Sprint(n-1)))
	if name+4+n*(cell+1) > width {
		s.writeErrors(w, width)
		return
	}
	fmt.Fprintln(w, "Confusion matrix: a row for each true class, a column for each predicted one")
	index := len(fmt.Sprint(n - 1))
	fmt.Fprint(w, strings.Repeat(" ", name+1+index))
	for j := range n {
		fmt.Fprintf(w, " %*d", cell, j)
	}
	fmt.Fprintln(w)
	for i, row := range s.Confusion {
		fmt.Fprintf(w, "%s %*d", pad(s.Classes[i].Class, name), index, i)
		for _, v := range row {
			if v == 0 {
				fmt.Fprintf(w, " %*s", cell, "·")
			} else {
				fmt.Fprintf(w, " %*d", cell, v)
			}
		}
		fmt.Fprintln(w)
	}
}

// writeErrors lists the most frequent errors.
func (s scores) writeErrors(w io.Writer, width int) {
	type pair struct{ truth, predicted, count int }
	var pairs []pair
	for i, row := range s.Confusion {
		for j, v := range row {
			if i != j && v > 0 {
				pairs = append(pairs, pair{i, j, v})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.count, a.count) })
	const most = 20
	fmt.Fprintln(w, "Most frequent errors (the whole matrix: --json or --confusion FILE)")
	for _, p := range pairs[:min(most, len(pairs))] {
		line := fmt.Sprintf("%6d  %s taken for %s", p.count, s.Classes[p.truth].Class, s.Classes[p.predicted].Class)
		fmt.Fprintln(w, cut(line, width))
	}
}

// pad makes text so many columns wide.
func pad(text string, width int) string {
	if n := utf8.RuneCountInString(text); n < width {
		return text + strings.Repeat(" ", width-n)
	}
	return cut(text, width)
}
