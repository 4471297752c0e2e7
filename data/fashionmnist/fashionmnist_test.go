package fashionmnist

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"gcnn/data"
)

// The official .gz files' own sums, from the project's mirrors.
var official = map[string]string{
	data.TrainImages: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
	data.TrainLabels: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
	data.TestImages:  "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
	data.TestLabels:  "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}

func TestFilesAreTheOfficialOnes(t *testing.T) {
	t.Parallel()
	for name, want := range official {
		raw, err := files.ReadFile(name + ".gz")
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(raw)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s.gz: sha256 %s, want %s", name, got, want)
		}
	}
	if !strings.Contains(License, "Copyright © 2017 Zalando SE") {
		t.Error("the licence notice lacks its copyright line")
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	train, test, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		set    *data.Set
		name   string
		n      int
		labels []uint16 // of the first images
	}{
		{train, "fashion-mnist train", 60000, []uint16{9, 0, 0, 3, 0, 2, 7, 2}},
		{test, "fashion-mnist test", 10000, []uint16{9, 2, 1, 1, 6, 1, 4, 6}},
	} {
		s := c.set
		if s.Name != c.name || s.Len() != c.n || s.Height != 28 || s.Width != 28 || s.Channels != 1 || len(s.Classes) != 10 {
			t.Errorf("%s: %d images of %d×%d×%d, %d classes", s.Name, s.Len(), s.Height, s.Width, s.Channels, len(s.Classes))
		}
		if got := s.Labels[:len(c.labels)]; !slices.Equal(got, c.labels) {
			t.Errorf("%s: first labels %v, want %v", s.Name, got, c.labels)
		}
		counts := make([]int, 10)
		for _, label := range s.Labels {
			counts[label]++
		}
		for class, n := range counts {
			if n != c.n/10 {
				t.Errorf("%s: %d images of %q, want %d", s.Name, n, s.ClassName(class), c.n/10)
			}
		}
	}
	alone, err := Test()
	if err != nil || !slices.Equal(alone.Pixels, test.Pixels) || !slices.Equal(alone.Labels, test.Labels) {
		t.Errorf("Test() differs from Load()'s test set: %v", err)
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, _, err := Load(); err != nil {
			b.Fatal(err)
		}
	}
}
