package event

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An appender appends an addressable Go value as JSON: members in schema order, without white space. Sound is false where
// a reader might refuse the value; only reading it tells then, and says why.
type appender func(b []byte, from reflect.Value) (out []byte, sound bool)

// compileAppender returns the appender of t. It writes what encoding/json writes, without escapes for HTML.
func compileAppender(t reflect.Type) appender {
	switch {
	case t == timeType:
		return appendTime
	case t.Kind() == reflect.Struct:
		return compileStructAppender(t)
	case t.Kind() == reflect.Pointer:
		elem := compileAppender(t.Elem())
		return func(b []byte, from reflect.Value) ([]byte, bool) {
			if from.IsNil() {
				return append(b, "null"...), false
			}
			return elem(b, from.Elem())
		}
	case t.Kind() == reflect.Slice:
		return compileSliceAppender(t)
	case t.Kind() == reflect.Map:
		return appendTextMap
	case t.Kind() == reflect.String:
		return func(b []byte, from reflect.Value) ([]byte, bool) {
			b, valid := appendText(b, from.String())
			return b, valid && checkString(from) == nil
		}
	case t.Kind() == reflect.Int64:
		return func(b []byte, from reflect.Value) ([]byte, bool) {
			n := from.Int()
			return strconv.AppendInt(b, n, 10), 0 <= n && n <= MaxInteger
		}
	case t.Kind() == reflect.Bool:
		return func(b []byte, from reflect.Value) ([]byte, bool) { return strconv.AppendBool(b, from.Bool()), true }
	}
	panic("event: no appender for " + t.String())
}

// field is a member of a struct with what stands in front of its value.
type field struct {
	name   string // with quotes and colon
	index  []int
	may    bool // it is left out where it is empty
	append appender
}

func compileStructAppender(t reflect.Type) appender {
	var fields []field
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields = append(fields, field{`"` + name + `":`, f.Index, options != "", compileAppender(f.Type)})
	}
	_, checks := reflect.Zero(t).Interface().(checker)
	return func(b []byte, from reflect.Value) ([]byte, bool) {
		sound := true
		b = append(b, '{')
		empty := len(b)
		for i := range fields {
			f := &fields[i]
			v := from.FieldByIndex(f.index)
			if f.may && isEmpty(v) {
				continue
			}
			if len(b) > empty {
				b = append(b, ',')
			}
			var ok bool
			b, ok = f.append(append(b, f.name...), v)
			sound = sound && ok
		}
		return append(b, '}'), sound && (!checks || checkValue(from) == nil)
	}
}

// isEmpty tells whether an optional member is absent.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		if t, isTime := v.Addr().Interface().(*Time); isTime {
			return t.IsZero()
		}
	}
	return v.IsZero()
}

func compileSliceAppender(t reflect.Type) appender {
	elem := compileAppender(t.Elem())
	return func(b []byte, from reflect.Value) ([]byte, bool) {
		if from.IsNil() {
			return append(b, "null"...), false
		}
		sound := true
		b = append(b, '[')
		for i := range from.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			var ok bool
			b, ok = elem(b, from.Index(i))
			sound = sound && ok
		}
		return append(b, ']'), sound
	}
}

// appendTextMap writes the names in order.
func appendTextMap(b []byte, from reflect.Value) ([]byte, bool) {
	texts := *from.Addr().Interface().(*map[string]string)
	if texts == nil {
		return append(b, "null"...), false
	}
	sound := true
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(texts)) {
		if i > 0 {
			b = append(b, ',')
		}
		var named, said bool
		b, named = appendText(b, name)
		b, said = appendText(append(b, ':'), texts[name])
		sound = sound && named && said
	}
	return append(b, '}'), sound
}

func appendTime(b []byte, from reflect.Value) ([]byte, bool) {
	t := from.Addr().Interface().(*Time)
	return append(t.appendTo(append(b, '"')), '"'), t.fits()
}

// appendText writes a text as JSON. Valid is false where it is not UTF-8: what is not is replaced.
func appendText(b []byte, s string) (out []byte, valid bool) {
	b, valid = append(b, '"'), true
	plain := 0 // where what has not been written begins
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		escaped := ""
		switch {
		case r == utf8.RuneError && size == 1:
			escaped, valid = `\ufffd`, false
		case r == '\u2028' || r == '\u2029' || r < ' ' || r == '"' || r == '\\':
			escaped = escapeOf(r)
		}
		if escaped != "" {
			b = append(append(b, s[plain:i]...), escaped...)
			plain = i + size
		}
		i += size
	}
	return append(append(b, s[plain:]...), '"'), valid
}

// escapeOf returns how a character that cannot stand for itself in a text is written.
func escapeOf(r rune) string {
	switch r {
	case '"':
		return `\"`
	case '\\':
		return `\\`
	case '\b':
		return `\b`
	case '\f':
		return `\f`
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	case '\u2028':
		return `\u2028`
	case '\u2029':
		return `\u2029`
	}
	const hex = "0123456789abcdef"
	return `\u00` + hex[r>>4:r>>4+1] + hex[r&15:r&15+1]
}
