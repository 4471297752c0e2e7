package model

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestSummary compares with Keras 3's own model.summary() of the lesson's networks, in its numbers and shapes.
func TestSummary(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		preset string
		want   []string
	}{
		{"cnn", []string{
			`Model: "cnn", input (None, 28, 28, 1)`,
			"│ conv2d (Conv2D)              │ (None, 26, 26, 8) │      80 │",
			"│ max_pooling2d (MaxPooling2D) │ (None, 13, 13, 8) │       0 │",
			"│ flatten (Flatten)            │ (None, 1352)      │       0 │",
			"│ dense (Dense)                │ (None, 28)        │  37,884 │",
			"│ dense_1 (Dense)              │ (None, 10)        │     290 │",
			" Total params: 38,254 (149.43 KB)",
			" Trainable params: 38,254 (149.43 KB)",
			" Non-trainable params: 0 (0.00 B)",
			" FLOPs of a sample: 173,616 (forward, 2 for a multiply-add)",
		}},
		{"lenet5", []string{" Total params: 61,610 (240.66 KB)", " FLOPs of a sample: 682,512 "}},
	} {
		n, err := Preset(c.preset, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := n.Summarize().Write(&b, 80); err != nil {
			t.Fatal(err)
		}
		for _, line := range c.want {
			if !strings.Contains(b.String(), line) {
				t.Errorf("%s: no line %q in\n%s", c.preset, line, b.String())
			}
		}
	}
}

func TestSummaryBranches(t *testing.T) {
	t.Parallel()
	n, err := Load("every.yaml", []byte(every))
	if err != nil {
		t.Fatal(err)
	}
	s := n.Summarize()
	var b strings.Builder
	if err := s.Write(&b, 80); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Connected to", "stem, activation", "(DepthwiseConv2D)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	// Longest words: 28 of LocalResponseNormalization and brackets, 23 of global_average_pooling2d.
	goesOn, before := false, false // whether a shape does, in this line and the one before
	for line := range strings.SplitSeq(b.String(), "\n") {
		if n := utf8.RuneCountInString(line); n > 97 {
			t.Errorf("%d columns: %s", n, line)
		}
		goesOn, before = false, goesOn
		if cells := strings.Split(line, "│"); len(cells) > 2 {
			goesOn = strings.HasSuffix(strings.TrimSpace(cells[2]), ",")
		}
		if goesOn && before {
			t.Errorf("a shape takes more than two lines: %s", line)
		}
	}
	// stem's kernel 3·5·2·8 is frozen, as are batch_normalization's 2·8 moving statistics.
	if s.NonTrainable != 240+16 || s.Trainable+s.NonTrainable != s.Params {
		t.Errorf("%d parameters, %d trainable, %d not", s.Params, s.Trainable, s.NonTrainable)
	}
	for _, l := range s.Layers {
		if l.Type == "" || l.Type == l.Name {
			t.Errorf("%s has no Keras class", l.Name)
		}
	}
}

func TestReadableSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0.00 B", 1023: "1023.00 B", 1024: "1.00 KB", 153016: "149.43 KB", 5 << 30: "5.00 GB"} {
		if got := readableSize(n); got != want {
			t.Errorf("readableSize(%d) = %s, want %s", n, got, want)
		}
	}
}

// TestSchemaFile keeps docs/model.schema.json equal to what `gcnn model schema` prints.
func TestSchemaFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "docs", "model.schema.json")
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s is out of date: go run ./cmd/gcnn model schema > docs/model.schema.json", path)
	}
}
