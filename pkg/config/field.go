package config

import (
	"reflect"
	"slices"
	"strings"
)

// field is one key that a struct takes.
type field struct {
	name  string
	doc   string
	index []int
	typ   reflect.Type
}

// fieldsOf returns the keys of struct type t in order. A field without a yaml tag takes none; an embedded struct
// without one lends its own.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for f := range structFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case name == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append(slices.Clone(f.Index), inner.index...)
				out = append(out, inner)
			}
		case name != "":
			out = append(out, field{name: name, doc: f.Tag.Get("doc"), index: f.Index, typ: f.Type})
		}
	}
	return out
}

func structFields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

func find(fields []field, name string) (field, bool) {
	for _, f := range fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

// nearest returns the key that was most likely meant, or nothing. A third of the letters may differ, two at least.
func nearest(key string, fields []field) string {
	best, bestDistance := "", max(2, len(key)/3)+1
	for _, f := range fields {
		if d := distance(key, f.name); d < bestDistance && d < len(f.name) {
			best, bestDistance = f.name, d
		}
	}
	return best
}

// distance counts the letters to add, drop, change or swap with a neighbour to make a from b.
func distance(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	if len(x) > 64 || len(y) > 64 {
		return 64
	}
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range y {
		rows[0][j+1] = j + 1
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
