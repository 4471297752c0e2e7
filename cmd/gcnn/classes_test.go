package main

import (
	"slices"
	"strings"
	"testing"

	"gcnn/data"
)

func TestWithClassesOf(t *testing.T) {
	t.Parallel()
	pets := []string{"cat", "dog", "emu"}
	for _, c := range []struct {
		name        string
		set, net    []string
		outputs     int
		labels      []uint16
		wantLabels  []uint16
		wantClasses []string
		wantErr     string
	}{
		{"the same", pets, pets, 3, []uint16{0, 2}, []uint16{0, 2}, pets, ""},
		{"some of them", []string{"emu"}, pets, 3, []uint16{0, 0}, []uint16{2, 2}, pets, ""},
		{"another order", []string{"dog", "cat"}, pets, 3, []uint16{0, 1}, []uint16{1, 0}, pets, ""},
		{"numbers", []string{"0", "1"}, pets, 3, []uint16{1, 0}, []uint16{1, 0}, pets, ""},
		{"a network without names", pets, nil, 4, []uint16{2}, []uint16{2}, []string{"cat", "dog", "emu", "3"}, ""},
		{"others", []string{"cat", "cow"}, pets, 3, []uint16{0}, nil, nil, `set: its class "cow" is none of the network's: cat, dog, emu`},
		{"too many numbers", []string{"0", "1", "2", "3"}, pets, 3, []uint16{0}, nil, nil, "set: it has 4 classes, the network 3 outputs"},
		{"too many for a network without names", pets, nil, 2, []uint16{0}, nil, nil, "set: it has 3 classes, the network 2 outputs"},
	} {
		set := &data.Set{Name: "set", Height: 1, Width: 1, Channels: 1, Pixels: make([]uint8, len(c.labels)), Labels: slices.Clone(c.labels), Classes: c.set}
		got, err := withClassesOf(set, c.net, c.outputs)
		if c.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), c.wantErr) {
				t.Errorf("%s: %v, want %q", c.name, err, c.wantErr)
			}
			continue
		}
		if err != nil || !slices.Equal(got.Labels, c.wantLabels) || !slices.Equal(got.Classes, c.wantClasses) {
			t.Errorf("%s: %v, %v, want labels %v of %v", c.name, got, err, c.wantLabels, c.wantClasses)
		}
		if !slices.Equal(set.Labels, c.labels) {
			t.Errorf("%s: the set itself was changed", c.name)
		}
	}
}
