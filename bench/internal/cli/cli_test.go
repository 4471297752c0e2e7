package cli

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args      string
		want, err string
	}{
		{"", "# 1 network\n", ""},
		{"-networks 2", "# 2 network\n", ""},
		{"-json -networks 2", "{\n  \"networks\": 2\n}\n", ""},
		{"-json more", "", `unexpected argument "more"`},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			cmd := newCommand("try", strings.Fields(c.args), &out, io.Discard)
			networks := cmd.Int("networks", 1, "how many")
			err := cmd.Parse()
			if err == nil {
				err = cmd.Print(map[string]int{"networks": *networks}, func(w io.Writer) { fmt.Fprintf(w, "# %d network\n", *networks) })
			}
			if got := fmt.Sprint(err); c.err != "" && got != c.err || c.err == "" && err != nil {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if out.String() != c.want {
				t.Errorf("printed %q, want %q", out.String(), c.want)
			}
		})
	}
}
