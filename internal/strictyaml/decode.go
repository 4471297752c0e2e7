package strictyaml

import (
	"encoding"
	"errors"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Decoder is a type that decodes itself.
type Decoder interface{ DecodeYAML(Node) error }

// Decode fills what v points to. Structs take their fields' names from yaml tags: "name" must be there, "name,omitempty" may be
// left out and then stays as it is, ",inline" embeds a struct, and "-" and fields without a tag take no part. edits change that for
// this struct: NAME makes a field unknown, NAME=OTHER calls it OTHER. Types that decode themselves are asked: Decoder,
// encoding.TextUnmarshaler and goccy/go-yaml's InterfaceUnmarshaler.
func (n Node) Decode(v any, edits ...string) error {
	return n.decode(reflect.ValueOf(v).Elem(), edits)
}

func (n Node) decode(v reflect.Value, edits []string) error {
	switch d := v.Addr().Interface().(type) {
	case Decoder:
		return n.wrap(d.DecodeYAML(n))
	case yaml.InterfaceUnmarshaler:
		if _, empty := n.node.(*ast.NullNode); empty {
			return n.Errorf("expected a value, got nothing")
		}
		err := d.UnmarshalYAML(func(into any) error { return n.Decode(into) })
		var placed *Error
		if errors.As(err, &placed) {
			return err
		}
		return n.wrap(gotten(err, n))
	case encoding.TextUnmarshaler:
		text, ok := n.text()
		if !ok {
			return n.Errorf("expected text, got %v", n)
		}
		return n.wrap(d.UnmarshalText([]byte(text)))
	}
	// Go has more kinds of types than settings use.
	//exhaustive:ignore
	switch v.Kind() {
	case reflect.Struct:
		return n.decodeStruct(v, edits)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return n.decode(v.Elem(), edits)
	case reflect.Slice:
		items, err := n.Items()
		if err != nil {
			return err
		}
		list := reflect.MakeSlice(v.Type(), len(items), len(items))
		for i, item := range items {
			if err := item.decode(list.Index(i), nil); err != nil {
				return err
			}
		}
		v.Set(list)
		return nil
	case reflect.Map:
		fields, err := n.Fields()
		if err != nil {
			return err
		}
		v.Set(reflect.MakeMap(v.Type()))
		for _, f := range fields {
			value := reflect.New(v.Type().Elem()).Elem()
			if err := f.Value.decode(value, nil); err != nil {
				return err
			}
			v.SetMapIndex(reflect.ValueOf(f.Key).Convert(v.Type().Key()), value)
		}
		return nil
	case reflect.String:
		text, ok := n.text()
		if !ok {
			return n.Errorf("expected text, got %v", n)
		}
		v.SetString(text)
		return nil
	case reflect.Bool:
		b, ok := n.node.(*ast.BoolNode)
		if !ok {
			return n.Errorf("expected true or false, got %v", n)
		}
		v.SetBool(b.Value)
		return nil
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return n.decodeInteger(v)
	case reflect.Float32, reflect.Float64:
		return n.decodeFloat(v)
	}
	return n.Errorf("a value of Go type %v cannot be read from YAML", v.Type())
}

// gotten adds what was found to the message of a type's own decoder.
func gotten(err error, n Node) error {
	if err == nil || n.IsString() {
		return err
	}
	return n.Errorf("%w, got %v", err, n)
}

func (n Node) decodeInteger(v reflect.Value) error {
	node, ok := n.node.(*ast.IntegerNode)
	if !ok {
		return n.Errorf("expected a whole number, got %v", n)
	}
	switch value := node.Value.(type) {
	case uint64:
		if v.CanUint() {
			v.SetUint(value)
			return nil
		}
		if value <= math.MaxInt64 {
			v.SetInt(int64(value))
			return nil
		}
	case int64:
		if v.CanInt() {
			v.SetInt(value)
			return nil
		}
	}
	if v.CanUint() {
		return n.Errorf("expected a whole number from 0 to %d, got %v", uint64(math.MaxUint64), n)
	}
	return n.Errorf("expected a whole number from %d to %d, got %v", math.MinInt64, math.MaxInt64, n)
}

func (n Node) decodeFloat(v reflect.Value) error {
	var text string
	switch node := n.node.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		text = strings.ReplaceAll(node.GetToken().Value, "_", "")
	case *ast.StringNode:
		// YAML 1.1 wants a dot in a number with an exponent; people write 1e-3.
		text = node.Value
		if node.GetToken().Value != text || !strings.ContainsAny(text, "eE") {
			return n.Errorf("expected a number, got %v", n)
		}
	default:
		return n.Errorf("expected a number, got %v", n)
	}
	f, err := strconv.ParseFloat(text, v.Type().Bits())
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return n.Errorf("expected a finite number, got %v", n)
	}
	v.SetFloat(f)
	return nil
}

func (n Node) decodeStruct(v reflect.Value, edits []string) error {
	fields, err := n.Fields()
	if err != nil {
		return err
	}
	tags := Tags(v.Type(), edits...)
	for _, f := range fields {
		i := slices.IndexFunc(tags, func(t Tag) bool { return t.Name == f.Key })
		if i < 0 {
			var known []string
			for _, t := range tags {
				known = append(known, t.Name)
			}
			return f.At.Errorf("unknown field %q; there are %s", f.Key, strings.Join(known, ", "))
		}
		field := v.FieldByIndex(tags[i].Index)
		if err := f.Value.decode(field, nil); err != nil {
			return named(err, f.Key, field)
		}
	}
	for _, t := range tags {
		if t.Required && !slices.ContainsFunc(fields, func(f Field) bool { return f.Key == t.Name }) {
			return n.Errorf("the field %s is missing", t.Name)
		}
	}
	return nil
}

// named adds the field's name to an error, unless something within the field has said what it concerns.
func named(err error, key string, field reflect.Value) error {
	var placed *Error
	var inner *fieldError
	if _, own := field.Addr().Interface().(Decoder); own || !errors.As(err, &placed) || errors.As(err, &inner) {
		return err
	}
	return &Error{placed.File, placed.Line, &fieldError{key, placed.Err}}
}

// fieldError says which field an error belongs to.
type fieldError struct {
	key string
	err error
}

func (e *fieldError) Error() string { return e.key + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// Tag is a field of a struct as a file names it.
type Tag struct {
	Name     string
	Required bool  // its tag has no omitempty
	Index    []int // for reflect.Value.FieldByIndex
}

// Tags lists the fields of a struct type that have a yaml tag, in order, those of inlined structs in their place.
func Tags(t reflect.Type, edits ...string) []Tag {
	var tags []Tag
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "" && options == "inline":
			for _, inner := range Tags(f.Type, edits...) {
				inner.Index = append([]int{i}, inner.Index...)
				tags = append(tags, inner)
			}
		case name != "" && name != "-" && !slices.Contains(edits, name):
			for _, edit := range edits {
				if other, ok := strings.CutPrefix(edit, name+"="); ok {
					name = other
					break
				}
			}
			tags = append(tags, Tag{name, options != "omitempty", []int{i}})
		}
	}
	return tags
}
