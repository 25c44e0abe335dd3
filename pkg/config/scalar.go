package config

import (
	"encoding"
	"errors"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// text decodes one value from its text, as it stands in a file or in the environment.
func (d *decoder) text(text string, v reflect.Value, path string) {
	if secretURL(text) {
		d.fail(path, problem.ConfigSecret, "the address at %s holds a password in plain text; put it into a file", show(path))
		return
	}
	if err := setText(v, text); err != nil {
		if errors.Is(err, errKind) {
			d.fail(path, problem.ConfigValue, "%s must be %s, not %s", show(path), describe(v.Type()), quote(path, text))
			return
		}
		d.fail(path, problem.ConfigValue, "%s: %s: %w", show(path), quote(path, text), err)
		return
	}
	switch target := v.Addr().Interface().(type) {
	case *Path:
		*target = Path(join(d.dir, string(*target)))
	case *SecretFile:
		*target = d.secretFile(*target)
	}
}

// errKind is returned by setText where the text is no value of the kind wanted.
var errKind = errors.New("wrong kind")

// setText sets v from text.
func setText(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		dur, err := time.ParseDuration(text)
		if err != nil {
			return errKind
		}
		v.SetInt(int64(dur))
		return nil
	}
	return setKind(v, text)
}

// setKind reads numbers in decimal only: what 010 or 0x10 means depends on whom one asks.
func setKind(v reflect.Value, text string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errKind
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil || leadingZero(text) {
			return errKind
		}
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil || leadingZero(text) {
			return errKind
		}
		v.SetUint(n)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil || f-f != 0 {
			return errKind
		}
		v.SetFloat(f)
	default:
		return errKind
	}
	return nil
}

func leadingZero(text string) bool {
	text = strings.TrimLeft(text, "+-")
	return len(text) > 1 && text[0] == '0'
}

func isText(v reflect.Value) bool {
	if !v.CanAddr() {
		return false
	}
	_, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return ok
}

func isNumber(v reflect.Value) bool {
	return v.Kind() >= reflect.Int && v.Kind() <= reflect.Float64 && v.Type() != reflect.TypeFor[time.Duration]() && !isText(v)
}

// secretURL tells whether text is an address with a password in it.
func secretURL(text string) bool {
	if !strings.Contains(text, "://") || !strings.Contains(text, "@") {
		return false
	}
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	_, has := u.User.Password()
	return has
}

// show names a path in a sentence.
func show(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

// quote shows a value in a finding, unless its key speaks of a secret. Long values are cut.
func quote(path, text string) string {
	if secretKey(path) {
		return "the value given"
	}
	if len(text) > 60 {
		text = strings.ToValidUTF8(text[:60], "") + "..."
	}
	return strconv.Quote(text)
}

// secretKey tells whether the last key of a path speaks of a secret.
func secretKey(path string) bool {
	key := strings.ToLower(path[strings.LastIndexAny(path, ".")+1:])
	return !strings.HasSuffix(key, "_file") && slices.ContainsFunc([]string{"password", "token", "secret", "passphrase"}, func(word string) bool {
		return strings.Contains(key, word)
	})
}

// describe says in words what a type takes.
func describe(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 5s or 168h"
	case reflect.TypeFor[ByteSize]():
		return "a size such as 8GiB or 500kB"
	case reflect.TypeFor[Percent]():
		return "a share such as 60%"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return describe(t.Elem())
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number from 0"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
			return "a single value"
		}
		return "keys with values"
	}
	return "a value"
}
