package model

import "fmt"

// Dropout zeroes each element with probability Rate in training and scales the others by 1/(1−Rate). Which elements fall is
// drawn by Philox from the seed, the layer, the step and the element's channels-last index: the same on every device.
type Dropout struct {
	Name   string   `yaml:"name,omitempty"`
	Inputs []string `yaml:"inputs,omitempty"`
	Rate   float32  `yaml:"rate"` // in [0, 1)
}

// Kind is "dropout".
func (Dropout) Kind() string { return "dropout" }

func (d Dropout) identity() (string, []string) { return d.Name, d.Inputs }

func (d Dropout) resolve(inputs []Shape) (resolved, error) {
	in, err := one(inputs)
	if err != nil {
		return resolved{}, err
	}
	if !(d.Rate >= 0 && d.Rate < 1) {
		return resolved{}, fmt.Errorf("rate lies in [0, 1), got %g", d.Rate)
	}
	return resolved{layer: d, out: in}, nil
}
