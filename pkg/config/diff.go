package config

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// ChangeKind says what happened to a key between two configurations.
type ChangeKind string

// Kinds of changes.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// Change is one difference between two configurations.
type Change struct {
	// Path is the YAML path. An entry of a list that has an id or a name stands under it, such as
	// sources[press1].mqtt.broker, so that an entry that moves is none that changes.
	Path string     `json:"path"`
	Kind ChangeKind `json:"change"`
	Old  string     `json:"old,omitempty"` // "" where it was added, and for a whole entry of a list
	New  string     `json:"new,omitempty"` // "" where it was removed, and for a whole entry of a list
}

// String returns the change on one line.
func (c Change) String() string { return c.Path + " " + c.Words() }

// Words returns the change without its path.
func (c Change) Words() string {
	switch {
	case c.Old+c.New == "":
		return string(c.Kind)
	case c.Kind == Changed:
		return fmt.Sprintf("%s: %s -> %s", c.Kind, c.Old, c.New)
	}
	return string(c.Kind) + ": " + c.Old + c.New
}

// Diff returns what differs between two configurations of one type, in the order of their keys. What a default fills in
// counts as if it stood in the file. Long values are cut, and one whose key speaks of a secret is not shown.
func Diff[T any](before, after T) []Change {
	d := &differ{}
	d.value("", reflect.ValueOf(before), reflect.ValueOf(after))
	return d.changes
}

type differ struct{ changes []Change }

// value compares two values of one type.
func (d *differ) value(path string, a, b reflect.Value) {
	switch t := a.Type(); {
	case reflect.DeepEqual(a.Interface(), b.Interface()):
	case t.Kind() == reflect.Pointer && !single(t):
		d.pointer(path, a, b)
	case t.Kind() == reflect.Struct && !single(t):
		for _, f := range fieldsOf(t) {
			d.value(Key(path, f.name), a.FieldByIndex(f.index), b.FieldByIndex(f.index))
		}
	case t.Kind() == reflect.Map:
		d.mapping(path, a, b)
	case t.Kind() == reflect.Slice:
		d.list(path, a, b)
	case t.Kind() == reflect.Interface && isTree(a) && isTree(b):
		d.mapping(path, a.Elem(), b.Elem())
	default:
		d.scalar(path, a, b)
	}
}

// single tells whether a type stands as one value in a file.
func single(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func isTree(v reflect.Value) bool { return v.Elem().IsValid() && v.Elem().Kind() == reflect.Map }

// pointer compares a section that may be absent. One that is there with nothing in it is a change, too.
func (d *differ) pointer(path string, a, b reflect.Value) {
	known := len(d.changes)
	zero := reflect.Zero(a.Type().Elem())
	of := func(v reflect.Value) reflect.Value {
		if v.IsNil() {
			return zero
		}
		return v.Elem()
	}
	d.value(path, of(a), of(b))
	if len(d.changes) > known || a.IsNil() == b.IsNil() {
		return
	}
	kind := Added
	if b.IsNil() {
		kind = Removed
	}
	d.add(path, kind, "", "")
}

func (d *differ) mapping(path string, a, b reflect.Value) {
	keys := map[string]reflect.Value{}
	for _, k := range slices.Concat(a.MapKeys(), b.MapKeys()) {
		keys[k.String()] = k
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		at := Key(path, name)
		x, y := a.MapIndex(keys[name]), b.MapIndex(keys[name])
		switch {
		case !x.IsValid():
			d.add(at, Added, "", text(at, y))
		case !y.IsValid():
			d.add(at, Removed, text(at, x), "")
		default:
			d.value(at, x, y)
		}
	}
}

// list compares lists: by the names of their entries where they have some, else by what stands in them.
func (d *differ) list(path string, a, b reflect.Value) {
	before, named := names(a)
	after, too := names(b)
	if !named || !too {
		d.plainList(path, a, b)
		return
	}
	at := func(name string) string { return path + "[" + quoteName(name) + "]" }
	for i, name := range before {
		if j := slices.Index(after, name); j < 0 {
			d.add(at(name), Removed, "", "")
		} else {
			d.value(at(name), a.Index(i), b.Index(j))
		}
	}
	for _, name := range after {
		if !slices.Contains(before, name) {
			d.add(at(name), Added, "", "")
		}
	}
	kept := func(list, other []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(name string) bool { return !slices.Contains(other, name) })
	}
	if was, is := kept(before, after), kept(after, before); !slices.Equal(was, is) {
		d.add(path, Changed, cut(strings.Join(was, ", ")), cut(strings.Join(is, ", ")))
	}
}

// plainList compares lists of single values, or of entries without a name. A new order alone is a change.
func (d *differ) plainList(path string, a, b reflect.Value) {
	before, after := texts(path, a), texts(path, b)
	known := len(d.changes)
	for _, gone := range without(before, after) {
		d.add(path, Removed, cut(gone), "")
	}
	for _, fresh := range without(after, before) {
		d.add(path, Added, "", cut(fresh))
	}
	if len(d.changes) == known {
		d.add(path, Changed, cut(strings.Join(before, ", ")), cut(strings.Join(after, ", ")))
	}
}

func texts(path string, v reflect.Value) []string {
	all := make([]string, v.Len())
	for i := range all {
		all[i] = whole(path, v.Index(i))
	}
	return all
}

// without returns the entries of a list less those of another, each counted.
func without(list, less []string) []string {
	left := slices.Clone(list)
	for _, x := range less {
		if i := slices.Index(left, x); i >= 0 {
			left = slices.Delete(left, i, i+1)
		}
	}
	return left
}

// names returns what the entries of a list are known by; false where not each has a name of its own.
func names(v reflect.Value) (all []string, ok bool) {
	t := v.Type().Elem()
	if t.Kind() != reflect.Struct {
		return nil, false
	}
	fields := fieldsOf(t)
	for _, key := range []string{"id", "name", "node"} {
		f, found := find(fields, key)
		if !found || f.typ.Kind() != reflect.String {
			continue
		}
		for i := range v.Len() {
			name := v.Index(i).FieldByIndex(f.index).String()
			if name == "" || slices.Contains(all, name) {
				return nil, false
			}
			all = append(all, name)
		}
		return all, true
	}
	return nil, false
}

func quoteName(name string) string {
	if plain(name) {
		return name
	}
	return fmt.Sprintf("%q", name)
}

func (d *differ) scalar(path string, a, b reflect.Value) {
	kind := Changed
	if k := a.Kind(); k == reflect.String || k == reflect.Interface || k == reflect.Pointer { // a number and false are values, too
		switch {
		case a.IsZero():
			kind = Added
		case b.IsZero():
			kind = Removed
		}
	}
	d.add(path, kind, text(path, a), text(path, b))
}

func (d *differ) add(path string, kind ChangeKind, before, after string) {
	switch kind {
	case Added:
		before = ""
	case Removed:
		after = ""
	}
	d.changes = append(d.changes, Change{path, kind, before, after})
}

// text shows a value on one line, cut where it is long.
func text(path string, v reflect.Value) string { return cut(whole(path, v)) }

func whole(path string, v reflect.Value) string {
	if secretKey(path) {
		return "(secret)"
	}
	switch x := v.Interface().(type) {
	case encoding.TextMarshaler:
		if t, err := x.MarshalText(); err == nil {
			return string(t)
		}
	case time.Duration:
		return x.String()
	}
	if v.Kind() == reflect.Interface && v.Elem().Kind() == reflect.String {
		return v.Elem().String()
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Pointer, reflect.Interface:
		if t, err := json.Marshal(v.Interface()); err == nil {
			return string(t)
		}
	}
	return fmt.Sprint(v.Interface())
}

// mostShown bounds a value that is shown, in characters.
const mostShown = 80

func cut(s string) string {
	if r := []rune(s); len(r) > mostShown {
		return string(r[:mostShown]) + "..."
	}
	return s
}
