// Command gen writes ../table.go: for each entry point of the .cu files its name, its parameters and a Go struct that makes a
// Launch of it. What the sources say is checked against the parameters that the PTX declares.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// kernel is an entry point as its source declares it.
type kernel struct {
	name, module string
	doc          []string // the comment above it, without slashes
	launch       string   // the expression after "launch:"
	params       []param
}

type param struct{ ctype, name string }

// kind is how a C type looks in PTX and in Go.
type kind struct {
	ptx, goType string
	size        int
	cell        string // the expression for its cell; %s is the value
}

var kinds = map[string]kind{
	"u32":   {"u32", "uint32", 4, "uint64(%s)"},
	"int":   {"u32", "int32", 4, "uint64(uint32(%s))"},
	"float": {"f32", "float32", 4, "uint64(math.Float32bits(%s))"},
	"u64":   {"u64", "uint64", 8, "%s"},
}

var pointer = kind{"u64", "Pointer", 8, "uint64(%s)"}

func (p param) kind() (kind, error) {
	if strings.HasSuffix(p.ctype, "*") {
		return pointer, nil
	}
	k, ok := kinds[p.ctype]
	if !ok {
		return kind{}, fmt.Errorf("parameter %s is of the unknown type %q", p.name, p.ctype)
	}
	return k, nil
}

func main() {
	out := flag.String("out", "table.go", "file to write")
	dir := flag.String("dir", ".", "folder of the .cu files, with ptx/ in it")
	flag.Parse()
	if err := run(*dir, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(dir, out string) error {
	sources, err := filepath.Glob(filepath.Join(dir, "*.cu"))
	if err != nil || len(sources) == 0 {
		return fmt.Errorf("no .cu files in %s", dir)
	}
	var all []kernel
	for _, path := range sources {
		kernels, err := parse(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		ptx, err := os.ReadFile(filepath.Join(dir, "ptx", kernels[0].module+".ptx"))
		if err != nil {
			return err
		}
		if err := check(kernels, string(ptx)); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, kernels...)
	}
	text, err := render(all)
	if err != nil {
		return err
	}
	return os.WriteFile(out, text, 0o644)
}

var (
	entry     = regexp.MustCompile(`(?s)((?:// [^\n]*\n)+)KERNEL (\w+)\((.*?)\) \{`)
	parameter = regexp.MustCompile(`^(.*?[ *])(\w+)$`)
)

// parse finds the kernels of a source.
func parse(path string) ([]kernel, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var kernels []kernel
	for _, m := range entry.FindAllStringSubmatch(string(text), -1) {
		k := kernel{name: m[2], module: strings.TrimSuffix(filepath.Base(path), ".cu")}
		for line := range strings.Lines(m[1]) {
			line = strings.TrimSpace(strings.TrimPrefix(line, "//"))
			if expr, ok := strings.CutPrefix(line, "launch: "); ok {
				k.launch = expr
			} else {
				k.doc = append(k.doc, line)
			}
		}
		if k.launch == "" {
			return nil, fmt.Errorf("the comment of %s lacks a line \"launch: …\"", k.name)
		}
		for p := range strings.SplitSeq(m[3], ",") {
			f := parameter.FindStringSubmatch(strings.Join(strings.Fields(p), " "))
			if f == nil {
				return nil, fmt.Errorf("%s: cannot read the parameter %q", k.name, p)
			}
			k.params = append(k.params, param{strings.TrimSpace(f[1]), f[2]})
		}
		kernels = append(kernels, k)
	}
	if n := strings.Count(string(text), "\nKERNEL "); n != len(kernels) || n == 0 {
		return nil, fmt.Errorf("it holds %d kernels, of which %d have a comment that says how to launch them", n, len(kernels))
	}
	return kernels, nil
}

var (
	ptxEntry = regexp.MustCompile(`(?s)\.entry (\w+)\(\n(.*?)\n\)`)
	ptxParam = regexp.MustCompile(`\.param \.(\w+) \w+`)
	inexact  = regexp.MustCompile(`\b\w+[.\w]*\.(approx|ftz)\b[.\w]*`)
)

// check compares the sources' parameters with the PTX's, and refuses operations that are not correctly rounded.
func check(kernels []kernel, ptx string) error {
	if op := inexact.FindString(ptx); op != "" {
		return fmt.Errorf("the PTX uses %s, which GPUs may round differently", op)
	}
	declared := map[string][]string{}
	for _, m := range ptxEntry.FindAllStringSubmatch(ptx, -1) {
		for _, p := range ptxParam.FindAllStringSubmatch(m[2], -1) {
			declared[m[1]] = append(declared[m[1]], p[1])
		}
	}
	if len(declared) != len(kernels) {
		return fmt.Errorf("the PTX has %d entry points, the source %d", len(declared), len(kernels))
	}
	for _, k := range kernels {
		var want []string
		for _, p := range k.params {
			kind, err := p.kind()
			if err != nil {
				return fmt.Errorf("%s: %w", k.name, err)
			}
			want = append(want, kind.ptx)
		}
		if got := declared[k.name]; strings.Join(got, " ") != strings.Join(want, " ") {
			return fmt.Errorf("%s: the PTX declares parameters %v, the source %v", k.name, got, want)
		}
	}
	return nil
}

var about = regexp.MustCompile(`^[a-z_0-9]+(, [a-z_0-9]+)*(,? and [a-z]+)?: `)

var identifier = regexp.MustCompile(`\b[a-z]\w*\b`)

func render(kernels []kernel) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("// Code generated by kernels/gen from the .cu files; DO NOT EDIT.\n\npackage kernels\n\nimport \"math\"\n\n")
	b.WriteString("// All are the kernels of all modules.\nfunc All() []*Kernel { return []*Kernel{")
	for _, k := range kernels {
		fmt.Fprintf(&b, "&kernel%s, ", camel(k.name))
	}
	b.WriteString("} }\n\n")
	for _, k := range kernels {
		name := camel(k.name)
		fmt.Fprintf(&b, "var kernel%s = Kernel{Name: %q, Module: %q, Params: []Param{\n", name, k.name, k.module)
		var fields, cells strings.Builder
		for _, p := range k.params {
			kind, err := p.kind()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", k.name, err)
			}
			fmt.Fprintf(&b, "{%q, %q, %d},\n", p.name, p.ctype, kind.size)
			comment := ""
			if kind == pointer {
				comment = " // " + strings.TrimSuffix(p.ctype, " *")
			}
			fmt.Fprintf(&fields, "%s %s%s\n", camel(p.name), kind.goType, comment)
			fmt.Fprintf(&cells, "%s,", fmt.Sprintf(kind.cell, "a."+camel(p.name)))
		}
		b.WriteString("}}\n\n")
		indent, list := "", false
		for i, line := range k.doc {
			switch {
			case i == 0:
				line = name + strings.TrimPrefix(line, k.name)
			case about.MatchString(line): // "x: what it is" of one or several parameters: an item of a list
				if !list {
					fmt.Fprintln(&b, "//")
				}
				line, indent, list = "  - "+line, "", true
			case list:
				indent = "    "
			}
			fmt.Fprintf(&b, "// %s%s\n", indent, line)
		}
		fmt.Fprintf(&b, "type %s struct {\n%s}\n\n", name, fields.String())
		open := strings.Index(k.launch, "(")
		args := identifier.ReplaceAllStringFunc(k.launch[open:], func(s string) string { return "int(a." + camel(s) + ")" })
		fmt.Fprintf(&b, "// Launch is the launch of %s.\nfunc (a %s) Launch() Launch {\ng := %s%s\n", k.name, name, k.launch[:open], args)
		fmt.Fprintf(&b, "return Launch{&kernel%s, g.grid, g.block, []uint64{%s}}\n}\n\n", name, strings.TrimSuffix(cells.String(), ","))
	}
	text, err := format.Source(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%w in\n%s", err, b.String())
	}
	return text, nil
}

// camel is a C name in Go's spelling; short C names of tensors keep their letters together (dx is DX).
func camel(s string) string {
	switch s {
	case "dx", "dy", "dz", "ema", "lrn", "sgd":
		return strings.ToUpper(s)
	case "rmsprop":
		return "RMSprop"
	}
	var b strings.Builder
	for part := range strings.SplitSeq(s, "_") {
		if part == "lrn" {
			part = "LRN"
		}
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}
