package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// TestHelpWidth wants the help of every command in 80 columns.
func TestHelpWidth(t *testing.T) { // not parallel: the library's help is printed through variables
	var visit func(path []string, commands []*cli.Command)
	visit = func(path []string, commands []*cli.Command) {
		var out, errs bytes.Buffer
		if code := run(append(append([]string{"gcnn"}, path...), "--help"), &out, &errs); code != 0 {
			t.Errorf("gcnn %v --help: exit code %d, %s", path, code, &errs)
		}
		for line := range strings.SplitSeq(out.String(), "\n") {
			if n := utf8.RuneCountInString(line); n > defaultColumns {
				t.Errorf("gcnn %v --help has a line of %d columns: %s", path, n, line)
			}
		}
		for _, c := range commands {
			visit(append(path[:len(path):len(path)], c.Name), c.Subcommands)
		}
	}
	visit(nil, newApp().Commands)
}
