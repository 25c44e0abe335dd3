package config

import (
	"encoding"
	"reflect"
	"strings"
)

// override replaces scalars by variables of the environment.
func (d *Document) override(target reflect.Value) {
	if d.opts.LookupEnv != nil {
		(&decoder{doc: d, dir: d.dir}).environment(target, "", "HOLDFAST")
	}
}

// environment walks the struct v and tells whether a variable was set below it.
func (d *decoder) environment(v reflect.Value, path, prefix string) bool {
	set := false
	for _, f := range fieldsOf(v.Type()) {
		name := prefix + "_" + strings.ToUpper(strings.ReplaceAll(f.name, "-", "_"))
		set = d.variable(v.FieldByIndex(f.index), Key(path, f.name), name) || set
	}
	return set
}

func (d *decoder) variable(v reflect.Value, path, name string) bool {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		fresh := reflect.New(t.Elem())
		if !v.IsNil() {
			fresh.Elem().Set(v.Elem())
		}
		if !d.variable(fresh.Elem(), path, name) {
			return false
		}
		v.Set(fresh)
		return true
	}
	scalar := reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
	switch {
	case t.Kind() == reflect.Struct && !scalar:
		return d.environment(v, path, name)
	case !scalar && (t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t.Kind() == reflect.Interface):
		return false
	}
	text, ok := d.doc.opts.LookupEnv(name)
	if !ok {
		return false
	}
	d.doc.places[path] = Place{File: name}
	d.text(text, v, path)
	return true
}
