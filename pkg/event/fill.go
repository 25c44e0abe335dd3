package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// checker is a value type that knows its own range.
type checker interface{ check() error }

// A filler moves a parsed JSON value into an addressable Go value and checks it. Its error is a [*misfit] where it does not
// concern the value as a whole.
type filler func(from any, into reflect.Value) error

// Object is a JSON object whose members stand in the order of the schema, each once: what [FillData] takes instead of a
// map from those that make data anew.
type Object []Member

// Member is one member of an [Object].
type Member struct {
	Name  string
	Value any
}

// MaxInteger is the largest integer an event may carry as a JSON number: every reader's float64 holds it exactly.
const MaxInteger = 1<<53 - 1

var timeType = reflect.TypeFor[Time]()

// compile returns the filler of t. It does not use encoding/json, since that matches names without regard to case, takes
// null for anything, and cannot tell an absent member from an empty one.
func compile(t reflect.Type) filler {
	switch {
	case t == timeType:
		return fillTime
	case t.Kind() == reflect.Struct:
		return compileStruct(t)
	case t.Kind() == reflect.Pointer:
		elem := compile(t.Elem())
		return func(from any, into reflect.Value) error {
			into.Set(reflect.New(t.Elem()))
			return elem(from, into.Elem())
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
	_, checks := reflect.Zero(t).Interface().(checker)
	return func(from any, into reflect.Value) error {
		ordered, isOrdered := from.(Object)
		object, isObject := from.(map[string]any)
		if !isObject && !isOrdered {
			return fmt.Errorf("is %s: want an object", kindOf(from))
		}
		for i := range members {
			m := &members[i]
			var v any
			var present bool
			if isOrdered {
				v, present, ordered = ordered.next(m.name)
			} else {
				v, present = object[m.name]
			}
			if !present {
				if m.required {
					return fmt.Errorf("lacks the member %q", m.name)
				}
				continue
			}
			if err := m.fill(v, into.FieldByIndex(m.index)); err != nil {
				return below(m.name, err)
			}
		}
		if checks {
			return checkValue(into)
		}
		return nil
	}
}

// next returns the value of the first member, if it has this name, and the members behind it.
func (o Object) next(name string) (v any, present bool, rest Object) {
	if len(o) == 0 || o[0].Name != name {
		return nil, false, o
	}
	return o[0].Value, true, o[1:]
}

// checkValue asks an addressable value whether it is in its range. Asked by its address, it is not copied.
func checkValue(v reflect.Value) error {
	if c, ok := v.Addr().Interface().(checker); ok {
		return c.check()
	}
	return nil
}

func compileSlice(t reflect.Type) filler {
	elem := compile(t.Elem())
	return func(from any, into reflect.Value) error {
		array, ok := from.([]any)
		if !ok {
			return fmt.Errorf("is %s: want an array", kindOf(from))
		}
		into.Set(reflect.MakeSlice(t, len(array), len(array)))
		for i, v := range array {
			if err := elem(v, into.Index(i)); err != nil {
				return below(fmt.Sprintf("[%d]", i), err)
			}
		}
		return nil
	}
}

func fillTextMap(from any, into reflect.Value) error {
	object, ok := from.(map[string]any)
	if !ok {
		return fmt.Errorf("is %s: want an object of texts", kindOf(from))
	}
	texts := make(map[string]string, len(object))
	for name, v := range object {
		s, ok := v.(string)
		if !ok {
			return below(name, fmt.Errorf("is %s: want a text", kindOf(v)))
		}
		texts[name] = s
	}
	into.Set(reflect.ValueOf(texts))
	return nil
}

func fillString(from any, into reflect.Value) error {
	s, ok := from.(string)
	if !ok {
		return fmt.Errorf("is %s: want a text", kindOf(from))
	}
	into.SetString(s)
	return checkString(into)
}

// checkString asks an addressable text whether it is in its range.
func checkString(v reflect.Value) error {
	if c, ok := v.Addr().Interface().(checker); ok {
		return c.check()
	}
	return checkText(v.String())
}

// fillTime takes a [Time], too, which stands for its text.
func fillTime(from any, into reflect.Value) error {
	var err error
	t, ok := from.(Time)
	if !ok || !t.fits() {
		text, isText := from.(string)
		switch {
		case ok:
			text = t.String()
		case !isText:
			return fmt.Errorf("is %s: want a time", kindOf(from))
		}
		if t, err = ParseTime(text); err != nil {
			return err
		}
	}
	*into.Addr().Interface().(*Time) = t
	return nil
}

// fillInteger takes 4, 4.0 and 4e0 alike, as JSON Schema does.
func fillInteger(from any, into reflect.Value) error {
	n, ok := from.(json.Number)
	if !ok {
		return fmt.Errorf("is %s: want an integer", kindOf(from))
	}
	v, ok := parseInteger(string(n))
	if !ok {
		return fmt.Errorf("is %.40s: want an integer from 0 to %d", n, int64(MaxInteger))
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

func fillBool(from any, into reflect.Value) error {
	b, ok := from.(bool)
	if !ok {
		return fmt.Errorf("is %s: want true or false", kindOf(from))
	}
	into.SetBool(b)
	return nil
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case map[string]any, Object:
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

// misfit is an error with the place of what does not fit, as a path from the value as a whole: provenance.errors[2].
type misfit struct {
	path string
	err  error
}

// Error returns the path and what does not fit there.
func (m *misfit) Error() string { return m.path + ": " + m.err.Error() }

// Unwrap returns what does not fit.
func (m *misfit) Unwrap() error { return m.err }

// below says that an error, if there is one, lies below a member or an element.
func below(name string, err error) error {
	if err == nil {
		return nil
	}
	m, ok := errors.AsType[*misfit](err)
	switch {
	case !ok:
		return &misfit{name, err}
	case strings.HasPrefix(m.path, "["):
		return &misfit{name + m.path, m.err}
	}
	return &misfit{name + "." + m.path, m.err}
}
