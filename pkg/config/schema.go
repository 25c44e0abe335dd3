package config

import (
	"encoding"
	"fmt"
	"reflect"
)

// KeyDoc describes one key that a configuration may hold.
type KeyDoc struct {
	Path    string // with [] for the entries of a list and * for any key
	Type    string // what the value must be, in words
	Default string // empty for lists, for what a list holds, and where the default is empty
	Doc     string // from the tag doc
}

// Schema lists every key of the struct that defaults points to, in order, with the default it holds there.
func Schema(defaults any) []KeyDoc {
	return schemaOf(nil, reflect.ValueOf(defaults).Elem(), "")
}

func schemaOf(out []KeyDoc, v reflect.Value, path string) []KeyDoc {
	for _, f := range fieldsOf(v.Type()) {
		at := Key(path, f.name)
		value := v.FieldByIndex(f.index)
		out = append(out, KeyDoc{Path: at, Type: describe(f.typ), Default: defaultText(value), Doc: f.doc})
		out = below(out, value, at)
	}
	return out
}

// below goes into what a key holds: a struct, or the zero value of a list's or map's entries.
func below(out []KeyDoc, v reflect.Value, path string) []KeyDoc {
	t := v.Type()
	switch {
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
	case t.Kind() == reflect.Struct:
		return schemaOf(out, v, path)
	case t.Kind() == reflect.Pointer && v.IsNil():
		return below(out, reflect.New(t.Elem()).Elem(), path)
	case t.Kind() == reflect.Pointer:
		return below(out, v.Elem(), path)
	case t.Kind() == reflect.Slice:
		return below(out, reflect.New(t.Elem()).Elem(), path+"[]")
	case t.Kind() == reflect.Map:
		return below(out, reflect.New(t.Elem()).Elem(), path+".*")
	}
	return out
}

func defaultText(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface:
		return ""
	case reflect.Struct:
		if _, ok := v.Interface().(fmt.Stringer); !ok {
			return ""
		}
	}
	if v.IsZero() && v.Kind() == reflect.String {
		return ""
	}
	return fmt.Sprint(v.Interface())
}
