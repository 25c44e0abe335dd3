package event

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// checker is a value type that knows its own range.
type checker interface{ check() error }

// A filler moves a parsed JSON value into a Go value and checks it. Name is the JSON path for errors.
type filler func(path string, from any, into reflect.Value) error

// MaxInteger is the largest integer an event may carry as a JSON number: every reader's float64 holds it exactly.
const MaxInteger = 1<<53 - 1

var timeType = reflect.TypeFor[Time]()

// compile returns the filler of t. Encoding uses encoding/json; decoding does not, since that matches names without
// regard to case, takes null for anything, and cannot tell an absent member from an empty one.
func compile(t reflect.Type) filler {
	switch {
	case t == timeType:
		return fillTime
	case t.Kind() == reflect.Struct:
		return compileStruct(t)
	case t.Kind() == reflect.Pointer:
		elem := compile(t.Elem())
		return func(path string, from any, into reflect.Value) error {
			into.Set(reflect.New(t.Elem()))
			return elem(path, from, into.Elem())
		}
	case t.Kind() == reflect.Slice:
		return compileSlice(t)
	case t.Kind() == reflect.Map:
		return fillTextMap
	case t.Kind() == reflect.String:
		return fillString
	case t.Kind() == reflect.Int64:
		return fillInteger
	case t.Kind() == reflect.Bool:
		return fillBool
	}
	panic("event: no filler for " + t.String())
}

type member struct {
	name     string
	index    []int
	required bool
	fill     filler
}

func compileStruct(t reflect.Type) filler {
	var members []member
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		members = append(members, member{name, f.Index, options == "", compile(f.Type)})
	}
	return func(path string, from any, into reflect.Value) error {
		object, ok := from.(map[string]any)
		if !ok {
			return fmt.Errorf("%sis %s: want an object", at(path), kindOf(from))
		}
		for _, m := range members {
			v, present := object[m.name]
			if !present {
				if m.required {
					return fmt.Errorf("%slacks the member %q", at(path), m.name)
				}
				continue
			}
			if err := m.fill(join(path, m.name), v, into.FieldByIndex(m.index)); err != nil {
				return err
			}
		}
		if c, ok := into.Interface().(checker); ok {
			return wrap(path, c.check())
		}
		return nil
	}
}

func compileSlice(t reflect.Type) filler {
	elem := compile(t.Elem())
	return func(path string, from any, into reflect.Value) error {
		array, ok := from.([]any)
		if !ok {
			return fmt.Errorf("%sis %s: want an array", at(path), kindOf(from))
		}
		into.Set(reflect.MakeSlice(t, len(array), len(array)))
		for i, v := range array {
			if err := elem(fmt.Sprintf("%s[%d]", path, i), v, into.Index(i)); err != nil {
				return err
			}
		}
		return nil
	}
}

func fillTextMap(path string, from any, into reflect.Value) error {
	object, ok := from.(map[string]any)
	if !ok {
		return fmt.Errorf("%sis %s: want an object of texts", at(path), kindOf(from))
	}
	texts := make(map[string]string, len(object))
	for name, v := range object {
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("%sis %s: want a text", at(join(path, name)), kindOf(v))
		}
		texts[name] = s
	}
	into.Set(reflect.ValueOf(texts))
	return nil
}

func fillString(path string, from any, into reflect.Value) error {
	s, ok := from.(string)
	if !ok {
		return fmt.Errorf("%sis %s: want a text", at(path), kindOf(from))
	}
	into.SetString(s)
	if c, ok := into.Interface().(checker); ok {
		return wrap(path, c.check())
	}
	return wrap(path, checkText(s))
}

func fillTime(path string, from any, into reflect.Value) error {
	s, ok := from.(string)
	if !ok {
		return fmt.Errorf("%sis %s: want a time", at(path), kindOf(from))
	}
	t, err := ParseTime(s)
	if err != nil {
		return wrap(path, err)
	}
	into.Set(reflect.ValueOf(t))
	return nil
}

// fillInteger takes 4, 4.0 and 4e0 alike, as JSON Schema does.
func fillInteger(path string, from any, into reflect.Value) error {
	n, ok := from.(json.Number)
	if !ok {
		return fmt.Errorf("%sis %s: want an integer", at(path), kindOf(from))
	}
	v, ok := parseInteger(string(n))
	if !ok {
		return fmt.Errorf("%sis %.40s: want an integer from 0 to %d", at(path), n, int64(MaxInteger))
	}
	into.SetInt(v)
	return nil
}

// parseInteger reads a JSON number that is an integer from 0 to [MaxInteger], however it is written. It works on the
// digits: a float64 takes 1e-400 for 0, and an exact number with a large exponent takes memory without bound.
func parseInteger(text string) (int64, bool) {
	mantissa, exponent := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		var err error
		mantissa = text[:i]
		if exponent, err = strconv.Atoi(text[i+1:]); err != nil {
			exponent = math.MinInt / 2 // beyond what any number of zeros makes up for; only 0 survives it
		}
	}
	unsigned := strings.TrimPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(unsigned, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return 0, whole != ""
	}
	significant := strings.TrimRight(digits, "0")
	zeros := exponent - len(fraction) + len(digits) - len(significant)
	if len(unsigned) < len(mantissa) || zeros < 0 || len(significant)+zeros > len("9007199254740991") {
		return 0, false
	}
	v, err := strconv.ParseInt(significant+strings.Repeat("0", zeros), 10, 64)
	return v, err == nil && v <= MaxInteger
}

func fillBool(path string, from any, into reflect.Value) error {
	b, ok := from.(bool)
	if !ok {
		return fmt.Errorf("%sis %s: want true or false", at(path), kindOf(from))
	}
	into.SetBool(b)
	return nil
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "an object"
	case []any:
		return "an array"
	case string:
		return "a text"
	case bool:
		return "true or false"
	}
	return "a number"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func at(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

func wrap(path string, err error) error {
	if err == nil || path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
