package model

import "fmt"

// ZeroPadding2D surrounds a feature map with zeros.
type ZeroPadding2D struct {
	Name    string   `yaml:"name,omitempty"`
	Inputs  []string `yaml:"inputs,omitempty"`
	Padding Margins  `yaml:"padding,omitempty"` // default 1 on every side
}

// Margins are rows and columns added around a feature map.
type Margins struct{ Top, Bottom, Left, Right int }

// Kind is "zero_padding2d".
func (ZeroPadding2D) Kind() string { return "zero_padding2d" }

func (z ZeroPadding2D) identity() (string, []string) { return z.Name, z.Inputs }

func (z ZeroPadding2D) resolve(inputs []Shape) (resolved, error) {
	in, err := oneMap(inputs)
	if err != nil {
		return resolved{}, err
	}
	if z.Padding == (Margins{}) {
		z.Padding = Margins{1, 1, 1, 1}
	}
	p := z.Padding
	const most = 1 << 16
	if min(p.Top, p.Bottom, p.Left, p.Right) < 0 || max(p.Top, p.Bottom, p.Left, p.Right) > most {
		return resolved{}, fmt.Errorf("padding is from 0 to %d on every side, got %+v", most, p)
	}
	return resolved{layer: z, out: Shape{in[0] + p.Top + p.Bottom, in[1] + p.Left + p.Right, in[2]}}, nil
}
