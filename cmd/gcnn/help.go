package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

const (
	helpIndent = 3
	flagColumn = 27 // where the usage of a flag begins
)

// commandHelp is the library's template with flags as flagHelp writes them.
const commandHelp = `NAME:
   {{template "helpNameTemplate" .}}

USAGE:
   {{template "usageTemplate" .}}{{if .Description}}

DESCRIPTION:
{{description .Description}}{{end}}{{if .VisibleFlags}}

OPTIONS:{{range .VisibleFlags}}
{{flag .}}{{end}}{{end}}
`

// printHelp prints help in lines of at most 80 columns.
func printHelp(w io.Writer, template string, data any) {
	cli.HelpPrinterCustom(w, template, data, map[string]any{"flag": flagHelp, "description": description})
}

// description fills the paragraphs of a text to 80 columns. What is indented or in columns stays as it is.
func description(text string) string {
	indent := strings.Repeat(" ", helpIndent)
	var out, words []string
	end := func() {
		if len(words) > 0 {
			out = append(out, fill(words, indent, defaultColumns))
		}
		words = nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || strings.Contains(line, "  ") || strings.HasSuffix(line, ":") {
			end()
			out = append(out, strings.TrimRight(indent+line, " "))
			continue
		}
		words = append(words, strings.Fields(line)...)
	}
	end()
	return strings.Join(out, "\n")
}

// flagHelp is a flag with its usage beside it, in lines of at most 80 columns.
func flagHelp(f cli.Flag) (string, error) {
	doc, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return "", fmt.Errorf("the flag %v has no documentation", f.Names())
	}
	usage, value := doc.GetUsage(), "VALUE"
	if before, rest, found := strings.Cut(usage, "`"); found {
		if name, after, closed := strings.Cut(rest, "`"); closed {
			usage, value = before+name+after, name
		}
	}
	var names []string
	for _, n := range f.Names() {
		if len(n) == 1 {
			names = append(names, "-"+n)
		} else {
			names = append(names, "--"+n)
		}
	}
	head := strings.Repeat(" ", helpIndent) + strings.Join(names, ", ")
	if doc.TakesValue() {
		head += " " + value
		if d := doc.GetDefaultText(); d != "" {
			usage += " (default: " + strings.Trim(d, `"`) + ")" // the library quotes text
		}
	}
	lines := strings.Split(fill(strings.Fields(usage), "", defaultColumns-flagColumn), "\n")
	if utf8.RuneCountInString(head) >= flagColumn {
		lines = append([]string{head}, lines...)
	} else {
		lines[0] = pad(head, flagColumn) + lines[0]
	}
	for i := range lines[1:] {
		lines[i+1] = strings.Repeat(" ", flagColumn) + lines[i+1]
	}
	return strings.Join(lines, "\n"), nil
}
