package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// decoder walks the YAML tree of one file against the Go type it is meant for. It walks on after a finding, so that
// one run names all of them.
type decoder struct {
	doc  *Document
	file string
	dir  string
	only []string // keys allowed at the top; nil = those of the struct
}

// value decodes node into v. The place of path is set already.
func (d *decoder) value(node ast.Node, v reflect.Value, path string) {
	switch n := node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.fail(path, problem.ConfigSyntax, "%s uses an anchor, alias or tag, which a configuration may not", show(path))
		return
	case nil, *ast.NullNode:
		d.null(v, path)
		return
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		d.container(n, v, path)
		return
	}
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		d.value(node, fresh.Elem(), path)
		v.Set(fresh)
		return
	}
	d.scalar(node, v, path)
}

// null leaves what v was: a key without a value states nothing. For a scalar that is more likely a slip.
func (d *decoder) null(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface:
	case reflect.Struct:
		if !isText(v) {
			return
		}
		fallthrough
	default:
		d.fail(path, problem.ConfigValue, "%s has no value", show(path))
	}
}

func (d *decoder) container(node ast.Node, v reflect.Value, path string) {
	if v.Kind() == reflect.Interface && v.NumMethod() == 0 {
		if got := d.any(node, path); got != nil {
			v.Set(reflect.ValueOf(got))
		}
		return
	}
	seq, isList := node.(*ast.SequenceNode)
	switch {
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.container(node, v.Elem(), path)
	case isText(v):
		d.wrong(node, v, path)
	case v.Kind() == reflect.Slice && isList:
		v.Set(reflect.MakeSlice(v.Type(), 0, len(seq.Values)))
		d.list(seq, v, path)
	case v.Kind() == reflect.Map && !isList:
		d.mapping(node, v, path)
	case v.Kind() == reflect.Struct && !isList:
		d.structure(node, v, path)
	default:
		d.wrong(node, v, path)
	}
}

// list appends the entries of seq to v, counting on from its length.
func (d *decoder) list(seq *ast.SequenceNode, v reflect.Value, path string) {
	for _, entry := range seq.Values {
		at := Index(path, v.Len())
		d.place(at, entry)
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		d.value(entry, v.Index(v.Len()-1), at)
	}
}

func (d *decoder) mapping(node ast.Node, v reflect.Value, path string) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for _, pair := range d.pairs(node, path) {
		one := reflect.New(v.Type().Elem()).Elem()
		d.value(pair.value, one, pair.path)
		v.SetMapIndex(reflect.ValueOf(pair.key).Convert(v.Type().Key()), one)
	}
}

func (d *decoder) structure(node ast.Node, v reflect.Value, path string) {
	if !isMapping(node) {
		d.wrongAt(node, path, "keys with values")
		return
	}
	fields := fieldsOf(v.Type())
	for _, pair := range d.pairs(node, path) {
		f, ok := find(fields, pair.key)
		if !ok || (path == "" && d.only != nil && !slices.Contains(d.only, pair.key)) {
			d.unknown(pair, fields, path)
			continue
		}
		field := v.FieldByIndex(f.index)
		if seq, isList := pair.value.(*ast.SequenceNode); isList && path == "" && d.only != nil && field.Kind() == reflect.Slice {
			d.list(seq, field, pair.path)
			continue
		}
		d.value(pair.value, field, pair.path)
	}
}

func (d *decoder) unknown(p pair, fields []field, path string) {
	where := ""
	if path != "" {
		where = " in " + path
	}
	if path == "" && d.only != nil {
		d.failAt(p, problem.ConfigUnknownKey, "key %q in an included file, which may hold %s only", p.key, strings.Join(d.only, " and "))
		return
	}
	if f, ok := find(fields, p.key+"_file"); ok {
		d.failAt(p, problem.ConfigSecret, "key %q%s would hold a secret in plain text; put it into a file and name that by %q", p.key, where, f.name)
		return
	}
	hint := ""
	if near := nearest(p.key, fields); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	d.failAt(p, problem.ConfigUnknownKey, "unknown key %q%s%s", p.key, where, hint)
}

// scalar decodes a single value. Text types come first, since some of them are integers or structs underneath.
func (d *decoder) scalar(node ast.Node, v reflect.Value, path string) {
	if v.Kind() == reflect.Interface && v.NumMethod() == 0 {
		if got := d.any(node, path); got != nil {
			v.Set(reflect.ValueOf(got))
		}
		return
	}
	text, isText := textOf(node)
	_, quoted := node.(*ast.StringNode)
	switch b, isBool := node.(*ast.BoolNode); {
	case isBool && v.Kind() == reflect.Bool:
		v.SetBool(b.Value)
	case !isText, v.Kind() == reflect.Bool, quoted && isNumber(v):
		d.wrong(node, v, path)
	default:
		d.text(text, v, path)
	}
}

// any decodes node into maps, lists, strings, bools and json.Number, noting the place of each.
func (d *decoder) any(node ast.Node, path string) any {
	switch n := node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		out := map[string]any{}
		for _, pair := range d.pairs(n, path) {
			out[pair.key] = d.any(pair.value, pair.path)
		}
		return out
	case *ast.SequenceNode:
		out := make([]any, 0, len(n.Values))
		for i, entry := range n.Values {
			at := Index(path, i)
			d.place(at, entry)
			out = append(out, d.any(entry, at))
		}
		return out
	case *ast.BoolNode:
		return n.Value
	case nil, *ast.NullNode:
		return nil
	case *ast.IntegerNode, *ast.FloatNode:
		text, _ := textOf(node)
		if json.Valid([]byte(text)) {
			return json.Number(text)
		}
		d.fail(path, problem.ConfigValue, "%s is the number %s; write it as a decimal number, or quote it", show(path), text)
		return nil
	case *ast.StringNode, *ast.LiteralNode:
		return d.anyText(n, path)
	}
	d.fail(path, problem.ConfigSyntax, "%s uses an anchor, alias, tag or special number, which a configuration may not", show(path))
	return nil
}

// anyText returns a text, or the number that an unquoted text is where it has more digits than 64 bits hold.
func (d *decoder) anyText(node ast.Node, path string) any {
	text, _ := textOf(node)
	if secretURL(text) {
		d.fail(path, problem.ConfigSecret, "the address at %s holds a password in plain text; put it into a file", show(path))
		return nil
	}
	plain := node.GetToken().Type == token.StringType
	if plain && strings.IndexAny(text, "-0123456789") == 0 && json.Valid([]byte(text)) {
		return json.Number(text)
	}
	return text
}

func (d *decoder) wrong(node ast.Node, v reflect.Value, path string) {
	d.wrongAt(node, path, describe(v.Type()))
}

func (d *decoder) wrongAt(node ast.Node, path, want string) {
	got := "another kind of value"
	switch n := node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		got = "keys with values"
	case *ast.SequenceNode:
		got = "a list"
	case *ast.BoolNode:
		got = strconv.FormatBool(n.Value) + " without quotes"
	default:
		if text, ok := textOf(node); ok {
			got = quote(path, text)
		}
	}
	if path == "" {
		line, column := position(node)
		d.syntax(line, column, "the file must hold keys with values, not "+got)
		return
	}
	d.fail(path, problem.ConfigValue, "%s must be %s, not %s", show(path), want, got)
}

func (d *decoder) fail(path string, code problem.Code, format string, args ...any) {
	d.doc.errs = append(d.doc.errs, &Error{Place: d.doc.At(path), Path: path, Problem: problem.New(code, format, args...)})
}

func (d *decoder) failAt(p pair, code problem.Code, format string, args ...any) {
	d.doc.errs = append(d.doc.errs, &Error{Place: p.at, Path: p.path, Problem: problem.New(code, format, args...)})
}
