// Package strictyaml decodes YAML files that people write by hand: whatever does not fit is an error with file and line.
//
// It walks the syntax tree of goccy/go-yaml. That library's own strict mode cuts 6.5 to 6 for an int, takes an empty value for
// zero and says no line where a type's own decoder fails.
package strictyaml

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// MaxSize is the largest file that Parse takes, in bytes.
const MaxSize = 1 << 20

// maxDepth bounds nesting, whose cost in the parser grows with its square.
const maxDepth = 64

// Error is what is wrong at a line of a file.
type Error struct {
	File string
	Line int // from 1; 0 where it concerns the whole file
	Err  error
}

// Error is file:line: message.
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap is the error without its place.
func (e *Error) Unwrap() error { return e.Err }

// Node is a value of a file, with aliases resolved.
type Node struct {
	doc  *document
	node ast.Node
}

// Field is an entry of a mapping.
type Field struct {
	Key   string
	At    Node // of the key, for messages
	Value Node
}

type document struct {
	file    string
	anchors map[string]ast.Node
}

// Parse reads a file of one document. file is its name in messages.
func Parse(file string, text []byte) (Node, error) {
	fail := func(line int, format string, args ...any) (Node, error) {
		return Node{}, &Error{file, line, fmt.Errorf(format, args...)}
	}
	if len(text) > MaxSize {
		return fail(0, "%d bytes are too many for a YAML file of settings, at most %d are allowed", len(text), MaxSize)
	}
	if line := tooDeep(string(text)); line > 0 {
		return fail(line, "nested more than %d levels deep", maxDepth)
	}
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			return fail(at.GetToken().Position.Line, "%s", at.GetMessage())
		}
		return fail(0, "%w", err)
	}
	doc := &document{file: file, anchors: map[string]ast.Node{}}
	var body ast.Node
	for _, d := range parsed.Docs {
		if d.Body == nil {
			continue
		}
		if _, comment := d.Body.(*ast.CommentGroupNode); comment {
			continue
		}
		if body != nil {
			return fail(lineOf(d.Body), "a second document begins, expected one")
		}
		body = d.Body
	}
	if body == nil {
		return fail(0, "the file is empty")
	}
	ast.Walk(anchors{doc}, body)
	return doc.at(body), nil
}

// tooDeep is the first line that nests brackets, or block markers on the line itself, deeper than maxDepth; 0 if none does.
// Brackets within quotes count too: a file of settings has few.
func tooDeep(text string) int {
	depth := 0
	for i, line := range strings.Split(text, "\n") {
		depth += strings.Count(line, "[") + strings.Count(line, "{")
		markers := strings.Count(line, "- ") + strings.Count(line, "? ") + strings.Count(line, ": ") + strings.Count(line, "!")
		indent := len(line) - len(strings.TrimLeft(line, " \t"))
		if depth > maxDepth || (markers > 4*maxDepth && depth == 0) || indent > 8*maxDepth {
			return i + 1
		}
		depth = max(0, depth-strings.Count(line, "]")-strings.Count(line, "}"))
	}
	return 0
}

type anchors struct{ doc *document }

// Visit notes an anchor.
func (a anchors) Visit(n ast.Node) ast.Visitor {
	if anchor, ok := n.(*ast.AnchorNode); ok && anchor.Name != nil {
		a.doc.anchors[anchor.Name.GetToken().Value] = anchor.Value
	}
	return a
}

func (d *document) at(n ast.Node) Node {
	for range 2 * maxDepth { // a chain of aliases may be a circle
		switch v := n.(type) {
		case *ast.AliasNode:
			target, ok := d.anchors[v.Value.GetToken().Value]
			if !ok {
				return Node{d, n}
			}
			n = target
		case *ast.AnchorNode:
			n = v.Value
		default:
			return Node{d, n}
		}
	}
	return Node{d, n}
}

// Line is the value's line in the file, from 1.
func (n Node) Line() int { return lineOf(n.node) }

func lineOf(n ast.Node) int {
	if n == nil {
		return 0
	}
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		return lineOf(m.Values[0].Key) // the token of a block mapping is that of its first colon
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// Errorf is an error at the value's line.
func (n Node) Errorf(format string, args ...any) error {
	return n.wrap(fmt.Errorf(format, args...))
}

// wrap gives an error its line, unless it has one.
func (n Node) wrap(err error) error {
	var placed *Error
	if err == nil || errors.As(err, &placed) {
		return err
	}
	return &Error{n.doc.file, n.Line(), err}
}

// String describes the value in messages.
func (n Node) String() string {
	switch v := n.node.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		return fmt.Sprintf("%q", v.Value)
	case *ast.LiteralNode:
		return fmt.Sprintf("%q", v.Value.Value)
	}
	return n.node.GetToken().Value
}

// IsString reports whether the value is text.
func (n Node) IsString() bool { _, ok := n.text(); return ok }

// IsMapping reports whether the value has fields.
func (n Node) IsMapping() bool {
	switch n.node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

// IsList reports whether the value is a list.
func (n Node) IsList() bool { _, ok := n.node.(*ast.SequenceNode); return ok }

func (n Node) text() (string, bool) {
	switch v := n.node.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	}
	return "", false
}

// Fields lists a mapping's entries. A key that comes twice is an error.
func (n Node) Fields() ([]Field, error) {
	var values []*ast.MappingValueNode
	switch m := n.node.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		return nil, n.Errorf("expected a mapping, got %v", n)
	}
	var fields []Field
	seen := map[string]bool{}
	for _, v := range values {
		key := n.doc.at(v.Key)
		name, ok := key.text()
		if !ok {
			if name = v.Key.GetToken().Value; v.Key.IsMergeKey() {
				return nil, key.Errorf("merge keys (<<) are not part of this format")
			}
		}
		if seen[name] {
			return nil, key.Errorf("%s comes twice", name)
		}
		seen[name] = true
		fields = append(fields, Field{name, key, n.doc.at(v.Value)})
	}
	return fields, nil
}

// Items lists a list's values.
func (n Node) Items() ([]Node, error) {
	list, ok := n.node.(*ast.SequenceNode)
	if !ok {
		return nil, n.Errorf("expected a list, got %v", n)
	}
	var items []Node
	for _, v := range list.Values {
		items = append(items, n.doc.at(v))
	}
	return items, nil
}

// OneOf reads a choice: a name alone, or a mapping of one name to its options. Without options it returns an empty mapping.
// what describes the choice in messages.
func (n Node) OneOf(what string) (name string, options Node, err error) {
	if name, ok := n.text(); ok {
		empty := ast.Mapping(n.node.GetToken(), true)
		return name, Node{n.doc, empty}, nil
	}
	if !n.IsMapping() {
		return "", n, n.Errorf("%s is a mapping of its name to its options, or its name alone, got %v", what, n)
	}
	fields, err := n.Fields()
	if err != nil {
		return "", n, err
	}
	if len(fields) != 1 {
		return "", n, n.Errorf("%s is a mapping of one name to its options, got %d keys", what, len(fields))
	}
	return fields[0].Key, fields[0].Value, nil
}
