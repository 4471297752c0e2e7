package data

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestGather(t *testing.T) {
	t.Parallel()
	const n, size = 5000, 2 * 3 * 100 // large enough for several goroutines
	s := &Set{Name: "numbers", Height: 2, Width: 3, Channels: 100, Labels: make([]uint16, n), Pixels: make([]uint8, n*size)}
	for i := range s.Pixels {
		s.Pixels[i] = uint8(i / size * 31)
	}
	order := make([]int32, n)
	for i := range order {
		s.Labels[i], order[i] = uint16(i), int32(i*7%n)
	}
	floats := *s
	floats.Pixels, floats.Floats = nil, make([]float32, len(s.Pixels))
	for i, v := range s.Pixels {
		floats.Floats[i] = float32(v)
	}
	for _, c := range []struct {
		order  []int32
		lo, hi int
	}{{nil, 0, n}, {nil, 17, 18}, {order, 3, n - 5}, {order, 7, 7}} {
		pixels, values, labels := make([]uint8, (c.hi-c.lo)*size), make([]float32, (c.hi-c.lo)*size), make([]uint16, c.hi-c.lo)
		if err := errors.Join(s.Gather(c.order, c.lo, c.hi, pixels, nil, labels), floats.Gather(c.order, c.lo, c.hi, nil, values, nil)); err != nil {
			t.Fatal(err)
		}
		for i := range labels {
			k := c.lo + i
			if c.order != nil {
				k = int(order[k])
			}
			if labels[i] != uint16(k) || !slices.Equal(pixels[i*size:(i+1)*size], s.Image(k)) || !slices.Equal(values[i*size:(i+1)*size], floats.FloatImage(k)) {
				t.Fatalf("%d to %d: sample %d is not image %d", c.lo, c.hi, i, k)
			}
		}
	}
}

// TestGatherFromAFileThatWasCut reads images of a mapped file after the file has become shorter.
func TestGatherFromAFileThatWasCut(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not cut a file that is mapped")
	}
	name := filepath.Join(t.TempDir(), "pixels")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	content, err := contentOf(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &Set{Name: "cut", Height: 1, Width: 1, Channels: 1 << 10, Pixels: content}
	if err := os.Truncate(name, 1<<19); err != nil {
		t.Fatal(err)
	}
	pixels := make([]uint8, len(content))
	if err := s.Gather(nil, 0, 1<<9, pixels, nil, nil); err != nil {
		t.Errorf("what is left of the file: %v", err)
	}
	if err := Reading(func() { copy(pixels, content) }); !errors.Is(err, ErrUnreadable) {
		t.Errorf("reading: %v, want %v", err, ErrUnreadable)
	}
	if err := s.Gather(nil, 0, s.Len(), pixels, nil, nil); !errors.Is(err, ErrUnreadable) || !strings.HasPrefix(err.Error(), name+": ") {
		t.Errorf("%v, want %v of %s", err, ErrUnreadable, name)
	}
}
