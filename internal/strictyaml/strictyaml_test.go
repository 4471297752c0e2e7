package strictyaml

import (
	"errors"
	"strings"
	"testing"
)

type sample struct {
	Count int                `yaml:"count"`
	Share float32            `yaml:"share,omitempty"`
	Names []string           `yaml:"names,omitempty"`
	Map   map[string]float64 `yaml:"map,omitempty"`
}

func TestDecode(t *testing.T) {
	t.Parallel()
	const text = "base: &b {x: 1e-3, y: 2}\n"
	var s struct {
		Base map[string]float64 `yaml:"base"`
		Copy map[string]float64 `yaml:"copy,omitempty"`
	}
	node, err := Parse("f.yaml", []byte(text+"copy: *b\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Decode(&s); err != nil {
		t.Fatal(err)
	}
	if s.Copy["x"] != 1e-3 || s.Copy["y"] != 2 {
		t.Errorf("got %+v", s)
	}
}

func TestErrorsGiveFileAndLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"count: 1\nshare: 1e99":        `f.yaml:2: share: expected a finite number, got "1e99"`,
		"count: 1\nshare: x":           `f.yaml:2: share: expected a number, got "x"`,
		"count: 1\nnames: a":           `f.yaml:2: names: expected a list, got "a"`,
		"count: 1\nnames: [a, [b]]":    "f.yaml:2: names: expected text, got a list",
		"count: 1\nother: 2":           `f.yaml:2: unknown field "other"; there are count, share, names, map`,
		"count: 1\nmap: {a: b}":        `f.yaml:2: map: expected a number, got "b"`,
		"count: 9223372036854775808":   "f.yaml:1: count: expected a whole number from -9223372036854775808 to 9223372036854775807, got 9223372036854775808",
		"count: true":                  "f.yaml:1: count: expected a whole number, got true",
		"count: ~":                     "f.yaml:1: count: expected a whole number, got nothing",
		"share: 1":                     "f.yaml:1: the field count is missing",
		"count: *nowhere":              "f.yaml:1: count: expected a whole number",
		"count: 1\n<<: {share: 1}":     "f.yaml:2: merge keys (<<) are not part of this format",
		"\n\ncount: 1\n  count: 2":     "f.yaml:",
		"count: 1\n---\ncount: 2\n":    "f.yaml:3: a second document begins",
		strings.Repeat("- ", 10_000):   "nested more than 64 levels deep",
		strings.Repeat("{a: ", 10_000): "nested more than 64 levels deep",
	} {
		node, err := Parse("f.yaml", []byte(text))
		var s sample
		if err == nil {
			err = node.Decode(&s)
		}
		var placed *Error
		if !errors.As(err, &placed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, want an error with %q", text, err, want)
		}
	}
}

// A struct may stand for several kinds of mappings, whose fields differ in part.
func TestEdits(t *testing.T) {
	t.Parallel()
	var v struct {
		Kernel string `yaml:"kernel,omitempty"`
		Groups int    `yaml:"groups,omitempty"`
	}
	decode := func(text string) error {
		node, err := Parse("f.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return node.Decode(&v, "groups", "kernel=depthwise")
	}
	if err := decode("depthwise: ones"); err != nil || v.Kernel != "ones" {
		t.Errorf("%+v, %v", v, err)
	}
	for _, text := range []string{"kernel: ones", "groups: 2"} {
		if err := decode(text); err == nil || !strings.Contains(err.Error(), "there are depthwise") {
			t.Errorf("%s: %v, want that only depthwise is known", text, err)
		}
	}
}
