package data

import (
	"math"
	"testing"
)

func TestChannelStats(t *testing.T) {
	t.Parallel()
	const u = 0x1p-52
	for _, c := range []struct {
		name      string
		set       *Set
		mean, std []float64
	}{
		{"bytes", &Set{Height: 1, Width: 2, Channels: 2, Pixels: []uint8{0, 10, 255, 10, 255, 10, 0, 10}},
			[]float64{127.5, 10}, []float64{127.5, 0}},
		{"floats", &Set{Height: 1, Width: 1, Channels: 1, Floats: []float32{1, 2, 3, 4}}, []float64{2.5}, []float64{math.Sqrt(1.25)}},
		// A large mean with a small deviation: Σx²/n − mean² would lose it.
		{"offset", &Set{Height: 1, Width: 1, Channels: 1, Floats: []float32{1e6 - 1, 1e6 + 1}}, []float64{1e6}, []float64{1}},
	} {
		mean, std, err := c.set.ChannelStats()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for i := range c.mean {
			if math.Abs(mean[i]-c.mean[i]) > 2*u*c.mean[i] || math.Abs(std[i]-c.std[i]) > 2*u*c.std[i] {
				t.Errorf("%s, channel %d: mean %v, std %v, want %v and %v", c.name, i, mean[i], std[i], c.mean[i], c.std[i])
			}
		}
	}
	if _, _, err := (&Set{Name: "none", Height: 1, Width: 1, Channels: 1}).ChannelStats(); err == nil || err.Error() != "none: no images to compute a mean and a standard deviation of" {
		t.Errorf("an empty set: %v", err)
	}
}

// Published figures for Fashion-MNIST's training set in [0, 1]: mean 0.2860, std 0.3530.
func TestChannelStatsOfFashionMNIST(t *testing.T) {
	t.Parallel()
	s, err := IDX{Path: "fashionmnist", Files: fashionFiles}.Train()
	if err != nil {
		t.Fatal(err)
	}
	mean, std, err := s.ChannelStats()
	if err != nil || math.Abs(mean[0]/255-0.2860) > 5e-5 || math.Abs(std[0]/255-0.3530) > 5e-5 {
		t.Errorf("mean %v, std %v, %v, want 0.2860 and 0.3530 of 255", mean, std, err)
	}
}
