package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// member is one member of an event's data, in schema order.
type member struct {
	name     string
	kind     memberKind
	required bool
	members  []member // of an object
}

// memberKind says what a member's value is on the wire.
type memberKind int

const (
	kindText memberKind = iota
	kindInteger
	kindBool
	kindTime
	kindObject
	kindOther // lists and maps, which no mapping can make
)

// shapeOf returns the members of data, but for provenance.
func shapeOf(data event.Data) []member {
	return membersOf(reflect.TypeOf(data).Elem())
}

func membersOf(t reflect.Type) []member {
	var out []member
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "provenance" {
			continue
		}
		m := member{name: name, required: options == ""}
		m.kind, m.members = kindOf(f.Type)
		out = append(out, m)
	}
	return out
}

func kindOf(t reflect.Type) (memberKind, []member) {
	switch {
	case t == reflect.TypeFor[event.Time]():
		return kindTime, nil
	case t.Kind() == reflect.Pointer:
		return kindOf(t.Elem())
	case t.Kind() == reflect.Struct:
		return kindObject, membersOf(t)
	case t.Kind() == reflect.String:
		return kindText, nil
	case t.Kind() == reflect.Int64:
		return kindInteger, nil
	case t.Kind() == reflect.Bool:
		return kindBool, nil
	}
	return kindOther, nil
}

// wire returns a value of an expression as it stands in the data: what [event.FillData] reads. Nil stays nil.
func (k memberKind) wire(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch k {
	case kindText:
		switch n := v.(type) {
		case string:
			return v, nil
		case int:
			return strconv.Itoa(n), nil
		case Number:
			return n.text, nil
		}
		return nil, fmt.Errorf("is %s: want a text or a number", kind(v))
	case kindInteger:
		if n, ok := numeric(v); ok {
			return json.Number(n.plain()), nil
		}
		return nil, fmt.Errorf("is %s: want a whole number", kind(v))
	case kindBool:
		if b, ok := v.(bool); ok {
			return b, nil
		}
		return nil, fmt.Errorf("is %s: want true or false", kind(v))
	case kindTime:
		t, _, err := asTime(v)
		if err != nil {
			return nil, err
		}
		return event.At(t), nil
	}
	return nil, errors.New("cannot be made by an expression")
}
