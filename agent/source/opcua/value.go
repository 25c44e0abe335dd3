package opcua

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/gopcua/opcua/ua"
)

// object is a value with named members in the order of its definition.
type object []member

type member struct {
	name  string
	value any
}

// get returns a member's value.
func (o object) get(name string) (any, bool) {
	for _, m := range o {
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
}

// maxNest bounds how deep a value may hold others.
const maxNest = 16

var (
	errNest   = fmt.Errorf("is nested deeper than %d levels", maxNest)
	errNumber = errors.New("is no number (NaN or infinite)")
	errText   = errors.New("is no UTF-8")
)

// appendJSON appends a value as JSON. The text is the same for equal values, whatever way they came: it enters the
// identity of facts.
func (s spaces) appendJSON(dst []byte, v any, depth int) ([]byte, error) {
	if depth > maxNest {
		return dst, errNest
	}
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool, int8, int16, int32, int64, int, uint8, uint16, uint32, uint64:
		return fmt.Append(dst, v), nil
	case float32:
		return appendFloat(dst, float64(v), v)
	case float64:
		return appendFloat(dst, v, v)
	case string:
		return appendText(dst, v)
	case time.Time:
		return appendText(dst, timeText(v))
	case object:
		return s.appendObject(dst, v, depth)
	case []any:
		return s.appendList(dst, len(v), func(i int) any { return v[i] }, depth)
	case []byte:
		return appendText(dst, base64.StdEncoding.EncodeToString(v))
	case ua.ByteArray: // an array of numbers, unlike a ByteString
		return s.appendList(dst, len(v), func(i int) any { return v[i] }, depth)
	}
	return s.appendBuiltin(dst, v, depth)
}

// appendBuiltin appends what only OPC UA knows.
func (s spaces) appendBuiltin(dst []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case *ua.LocalizedText:
		if v == nil {
			return append(dst, "null"...), nil
		}
		return s.appendObject(dst, object{{"locale", v.Locale}, {"text", v.Text}}, depth)
	case *ua.QualifiedName:
		if v == nil {
			return append(dst, "null"...), nil
		}
		uri := ""
		if int(v.NamespaceIndex) < len(s) && v.NamespaceIndex > 0 {
			uri = s[v.NamespaceIndex]
		}
		return s.appendObject(dst, object{{"namespace", uri}, {"name", v.Name}}, depth)
	case *ua.NodeID:
		return appendText(dst, s.name(v))
	case *ua.ExpandedNodeID:
		if v == nil {
			return append(dst, "null"...), nil
		}
		return appendText(dst, s.name(v.NodeID))
	case *ua.GUID:
		return appendText(dst, v.String())
	case ua.StatusCode:
		return appendText(dst, statusText(v))
	case ua.XMLElement:
		return appendText(dst, string(v))
	case *ua.Variant:
		if v == nil {
			return append(dst, "null"...), nil
		}
		return s.appendJSON(dst, v.Value(), depth+1)
	case *ua.DataValue:
		if v == nil || v.Value == nil {
			return append(dst, "null"...), nil
		}
		return s.appendJSON(dst, v.Value.Value(), depth+1)
	case *ua.ExtensionObject:
		if v == nil || v.Value == nil {
			return append(dst, "null"...), nil
		}
		return s.appendJSON(dst, v.Value, depth+1)
	}
	return s.appendReflected(dst, reflect.ValueOf(v), depth)
}

// appendReflected appends arrays, and structures that the library knows itself.
func (s spaces) appendReflected(dst []byte, v reflect.Value, depth int) ([]byte, error) {
	switch v.Kind() {
	case reflect.Slice:
		return s.appendList(dst, v.Len(), func(i int) any { return v.Index(i).Interface() }, depth)
	case reflect.Pointer:
		if v.IsNil() {
			return append(dst, "null"...), nil
		}
		if v.Elem().Kind() == reflect.Struct {
			return s.appendReflected(dst, v.Elem(), depth)
		}
	case reflect.Struct:
		var o object
		for _, f := range reflect.VisibleFields(v.Type()) {
			if f.IsExported() {
				o = append(o, member{f.Name, v.FieldByIndex(f.Index).Interface()})
			}
		}
		return s.appendObject(dst, o, depth)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Append(dst, v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Append(dst, v.Uint()), nil
	}
	return dst, fmt.Errorf("is of the type %s, which has no form here", v.Type())
}

func (s spaces) appendObject(dst []byte, o object, depth int) (_ []byte, err error) {
	dst = append(dst, '{')
	for i, m := range o {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendText(dst, m.name); err != nil {
			return dst, err
		}
		dst = append(dst, ':')
		if dst, err = s.appendJSON(dst, m.value, depth+1); err != nil {
			return dst, fmt.Errorf("%s %w", m.name, err)
		}
	}
	return append(dst, '}'), nil
}

func (s spaces) appendList(dst []byte, n int, at func(int) any, depth int) (_ []byte, err error) {
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = s.appendJSON(dst, at(i), depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

// appendFloat appends a number with the fewest digits that mean it in its own precision.
func appendFloat(dst []byte, f float64, v any) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return dst, errNumber
	}
	text, err := json.Marshal(v)
	return append(dst, text...), err
}

func appendText(dst []byte, text string) ([]byte, error) {
	if !utf8.ValidString(text) {
		return dst, errText
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		return dst, err
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...), nil
}

// timeText returns a time as it stands in signals; "" = missing. A server that has none sends 1601, or nothing.
func timeText(t time.Time) string {
	if missing(t) {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// missing tells whether a time stands for none.
func missing(t time.Time) bool { return t.IsZero() || t.Year() <= 1601 }

// number returns a whole number of any width.
func number(v any) (uint64, bool) {
	switch v := v.(type) {
	case uint8:
		return uint64(v), true
	case uint16:
		return uint64(v), true
	case uint32:
		return uint64(v), true
	case uint64:
		return v, true
	case int8:
		return uint64(v), v >= 0
	case int16:
		return uint64(v), v >= 0
	case int32:
		return uint64(v), v >= 0
	case int64:
		return uint64(v), v >= 0
	}
	return 0, false
}
