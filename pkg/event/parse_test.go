package event

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestParseJSON_Err: what is refused, and that the place is the one that a person has to look at.
func TestParseJSON_Err(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "is not JSON: byte 0: unexpected EOF"},
		{"white space alone", " \n", "is not JSON: byte 2: unexpected EOF"},
		{"cut in an object", `{"a":1`, "is not JSON: byte 6: unexpected EOF"},
		{"cut in a text", `{"a":"b`, "is not JSON: byte 7: unexpected EOF"},
		{"cut in an escape", `"a\`, "is not JSON: byte 3: unexpected EOF"},
		{"cut in a number", `-`, "is not JSON: byte 1: unexpected EOF"},
		{"no value", `{"a":NaN}`, "is not JSON: byte 5: invalid character 'N': want a value"},
		{"no literal", `tomorrow`, "is not JSON: byte 1: invalid character 'o': want true"},
		{"no name", `{a:1}`, "is not JSON: byte 1: invalid character 'a': want a name"},
		{"no colon", `{"a" 1}`, "is not JSON: byte 5: invalid character '1': want a colon"},
		{"comma at the end", `[1,]`, "is not JSON: byte 3: invalid character ']': want a value"},
		{"no comma", `[1 2]`, "is not JSON: byte 3: invalid character '2': want a comma or ]"},
		{"control character", "\"a\tb\"", `is not JSON: byte 2: invalid character '\t': want no control character in a text`},
		{"unknown escape", `"\x"`, "is not JSON: byte 0: invalid character 'x' in string escape code"},
		{"leading zero", `01`, "has more than one JSON value: at byte 1"},
		{"plus", `+1`, "is not JSON: byte 0: invalid character '+': want a value"},
		{"no fraction", `1.`, "is not JSON: byte 2: unexpected EOF"},
		{"no exponent", `1e+x`, "is not JSON: byte 3: invalid character 'x': want a digit"},
		{"beyond a float64", `[1e400]`, "number 1e400 is out of range: at byte 6"},
		{"a name twice", `{"a":1,"\u0061":2}`, `has the name "a" twice in one object`},
		{"too deep", deep, "is nested deeper than 64: at byte 64"},
		{"two values", `1 2`, "has more than one JSON value: at byte 2"},
		{"no UTF-8", "\"\xff\"", "is not UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if v, err := ParseJSON([]byte(c.text)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("gives %v, %v: want %s", v, err, c.want)
			}
		})
	}
}

// FuzzParseJSON holds the parser against the standard library's: what it reads has the same value there, and what it calls
// no JSON is none there.
func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{
		`null`, `true`, ` false `, `-0`, `0.10`, `1e-400`, `12E+3`, `"a\"\\\/\b\n\u00e9\ud83d\ude00\ud800"`, `[]`, `{}`, "[1,\r\n\t2]",
		`{"a":{"b":[null,{"c":""}]},"":1}`, `{"a":1,"a":2}`, `[1e999]`, `"\u12"`, `{"a":1}}`, "\"\x7f\u2028\"", `[-]`, `tru`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseJSON(b)
		if err != nil {
			if strings.HasPrefix(err.Error(), "is not JSON") && json.Valid(b) {
				t.Fatalf("%q: %v, and the standard library takes it", b, err)
			}
			if json.Valid(b) && utf8.Valid(b) && !own(err) {
				t.Fatalf("%q is refused for no reason of ours: %v", b, err)
			}
			return
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil || !json.Valid(b) {
			t.Fatalf("%q is read as %v, and the standard library refuses it: %v", b, got, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is read as %#v, by the standard library as %#v", b, got, want)
		}
		finite(t, got)
	})
}

// own tells whether JSON is refused by a rule that the standard library does not have.
func own(err error) bool {
	for _, rule := range []string{"twice in one object", "is nested deeper", "is out of range"} {
		if strings.Contains(err.Error(), rule) {
			return true
		}
	}
	return false
}

// finite fails on a number that no float64 holds.
func finite(t *testing.T, v any) {
	switch v := v.(type) {
	case json.Number:
		if f, err := strconv.ParseFloat(string(v), 64); err != nil || math.IsInf(f, 0) {
			t.Fatalf("number %s is read", v)
		}
	case []any:
		for _, e := range v {
			finite(t, e)
		}
	case map[string]any:
		for _, e := range v {
			finite(t, e)
		}
	}
}
