package parity

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// Number is a float64 whose JSON is null where JSON has no number for it.
type Number float64

// MarshalJSON writes a number or null.
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// String writes an error as 1.2e-07 (3.4%): absolute, and as a share of the bound.
func (e Error) String() string {
	if e == (Error{}) {
		return "0"
	}
	mark := ""
	if !e.within() {
		mark = " !"
	}
	return fmt.Sprintf("%.1e (%.3g%%)%s", float64(e.Absolute), 100*float64(e.Share), mark)
}

// WriteTable writes the report for people.
func (r Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, batch %d: %s against float64.\nErrors are the largest, absolute and as a share of the derived bound.\n\n",
		r.Model, r.Batch, strings.Join(r.Devices, " and "))
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "layer\tdevice\toutput\tgradient\tparameters")
	for _, layer := range r.Layers {
		for i, e := range layer.Errors {
			fmt.Fprintf(t, "%s\t%s\t%v\t%v\t%v\n", layer.Name, r.Devices[i], e.Output, e.Gradient, e.Parameters)
		}
	}
	for i, e := range r.Loss {
		fmt.Fprintf(t, "loss\t%s\t%v\t\t\n", r.Devices[i], e)
	}
	fmt.Fprintln(t)
	if len(r.Steps) > 0 {
		fmt.Fprintln(t, "step\tdevice\tloss\tdrift of the weights\tbetween devices")
	}
	for k, s := range r.Steps {
		for i := range s.Drift {
			fmt.Fprintf(t, "%d\t%s\t%.6f\t%v\t%.1e\n", k+1, r.Devices[i], float64(s.Loss[i]), s.Drift[i], float64(s.Between))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Within {
		b.WriteString("\nEverything is within its bound.\n")
	} else {
		b.WriteString("\nWhat is marked with ! is beyond its bound.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
