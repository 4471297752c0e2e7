package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gcnn/data"
)

// withClassesOf gives a labelled set the classes of the network that is to be evaluated on it. They are matched by name, so that
// a folder may hold some of the classes alone; where the set or the network has but numbers for names, by number. outputs is the
// number of the network's classes, names what they are called, nil where nobody says.
func withClassesOf(set *data.Set, names []string, outputs int) (*data.Set, error) {
	if names == nil {
		names = numbered(nil, outputs)
	}
	out := *set
	out.Classes = names
	switch {
	case slices.Equal(set.Classes, names):
		return set, nil
	case slices.Equal(set.Classes, numbered(nil, len(set.Classes))) || slices.Equal(names, numbered(nil, outputs)):
		if len(set.Classes) > outputs {
			return nil, fmt.Errorf("%s: it has %d classes, the network %d outputs", set.Name, len(set.Classes), outputs)
		}
		if slices.Equal(names, numbered(nil, outputs)) {
			out.Classes = numbered(set.Classes, outputs)
		}
		return &out, nil
	}
	to := make([]uint16, len(set.Classes))
	for i, class := range set.Classes {
		k := slices.Index(names, class)
		if k < 0 {
			return nil, fmt.Errorf("%s: its class %q is none of the network's: %s", set.Name, class, strings.Join(names, ", "))
		}
		to[i] = uint16(k)
	}
	out.Labels = make([]uint16, len(set.Labels))
	for i, l := range set.Labels {
		out.Labels[i] = to[l]
	}
	return &out, nil
}

// numbered completes names by decimal numbers to n.
func numbered(names []string, n int) []string {
	all := slices.Clone(names)
	for i := len(all); i < n; i++ {
		all = append(all, strconv.Itoa(i))
	}
	return all
}
