package event

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestEncode_WritesWhatEncodingJSONWrites spoils data at any place and compares. What is called sound, every reader takes.
func TestEncode_WritesWhatEncodingJSONWrites(t *testing.T) {
	for _, typ := range Types() {
		t.Run(string(typ), func(t *testing.T) {
			sound, unsound := 0, 0
			rapid.Check(t, func(t *rapid.T) {
				value := skeleton(typ, func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(t, what) })
				data, err := DecodeData(typ, []byte(value.String()))
				if err != nil {
					return // members that do not go together
				}
				for range rapid.IntRange(0, 3).Draw(t, "spoilt") {
					spoil(t, reflect.ValueOf(data).Elem())
				}
				var want bytes.Buffer
				enc := json.NewEncoder(&want)
				enc.SetEscapeHTML(false)
				if err := enc.Encode(data); err != nil {
					t.Fatal(err)
				}
				got, ok := encode(data)
				if string(got)+"\n" != want.String() {
					t.Fatalf("encoded it is\n%s, want\n%s", got, want.String())
				}
				if !ok {
					unsound++
					return
				}
				sound++
				if _, err := DecodeData(typ, got); err != nil {
					t.Fatalf("it is called sound, and refused: %v\n%s", err, got)
				}
			})
			if sound == 0 || unsound == 0 {
				t.Errorf("%d sound, %d not: the draws are one-sided", sound, unsound)
			}
		})
	}
}

// spoil changes one value at or below v.
func spoil(t *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(rapid.SampledFrom([]string{
			"", "x", "a\xffb", "\xe2\x80", "\u2028\u2029", "<&>", "\"\\/", "\b\f\n\r\t\x00\x1f\x7f", "\ufffd", "é😀", strings.Repeat("x", 257), "lot::M:%2D", "-0", "1.50", "pass", "variable",
		}).Draw(t, "text"))
	case reflect.Int64:
		v.SetInt(rapid.SampledFrom([]int64{-1, 0, 1, MaxInteger, MaxInteger + 1}).Draw(t, "number"))
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Map:
		v.Set(reflect.ValueOf(rapid.SampledFrom([]map[string]string{nil, {}, {"\xff": "a"}, {"b": "\xff", "a": "x", "<": "\n"}}).Draw(t, "map")))
	case reflect.Slice:
		if v.Len() == 0 || rapid.Bool().Draw(t, "nil") {
			v.SetZero()
			return
		}
		spoil(t, v.Index(rapid.IntRange(0, v.Len()-1).Draw(t, "element")))
	case reflect.Pointer:
		if v.IsNil() || rapid.Bool().Draw(t, "nil") {
			v.SetZero()
			return
		}
		spoil(t, v.Elem())
	case reflect.Struct:
		if v.Type() == timeType {
			zone := time.FixedZone("", 3600)
			v.Set(reflect.ValueOf(Time{rapid.SampledFrom([]time.Time{
				{}, time.Date(2026, 1, 1, 0, 30, 0, 120, zone), time.Date(10000, 1, 1, 0, 0, 0, 0, zone), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
				time.Date(0, 1, 1, 0, 0, 0, 0, zone), time.Date(1, 1, 1, 1, 0, 0, 0, zone),
			}).Draw(t, "time")}))
			return
		}
		if v.NumField() > 0 {
			spoil(t, v.Field(rapid.IntRange(0, v.NumField()-1).Draw(t, "member")))
		}
	}
}

// TestGrammars holds what reads keys and decimals against the grammars of the schemas, on texts near to what they accept.
func TestGrammars(t *testing.T) {
	const part = `(?:[A-Za-z0-9._~-]|%(?:2[0-9A-CF]|3[A-F]|40|5[B-E]|60|7[B-D]|[89A-F][0-9A-F]))`
	grammars := map[string]struct {
		pattern *regexp.Regexp
		is      func(string) bool
		seeds   []string
	}{
		"LotKey":    {regexp.MustCompile(`^lot:` + part + `*:` + part + `+:` + part + `+$`), isLotKey, []string{"lot::M:L", "lot:a:b:c", "lot:%C3%84:%20:~._-"}},
		"ObjectID":  {regexp.MustCompile(`^[a-z][a-z_]{0,31}:(?:` + part + `+:)?` + part + `+$`), isObjectID, []string{"a:b", "nc_x:mes1:%2F7", strings.Repeat("a", 32) + ":x"}},
		"ID":        {regexp.MustCompile(`^(?:n-[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$`), isID, []string{"n-32a482b26791ea8c88f3e8e225202ab4", "0193f3a0-0000-7000-8000-000000000001"}},
		"Plant":     {regexp.MustCompile(`^[a-z][a-z0-9-]{1,15}$`), func(s string) bool { return PlantID(s).check() == nil }, []string{"p1", "a23456789-123456"}},
		"Equipment": {regexp.MustCompile(`^[a-z0-9-]{1,64}$`), isEquipment, []string{"press4", strings.Repeat("9", 64)}},
		"Decimal":   {regexp.MustCompile(`^-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,9})?$`), isDecimal, []string{"-0.5", "61.20", "123456789012345678.123456789"}},
		"Unit":      {regexp.MustCompile(`^[!-~]{1,32}$`), func(s string) bool { return Unit(s).check() == nil }, []string{"N.m", strings.Repeat("~", 32)}},
		"Hash":      {regexp.MustCompile(`^[0-9a-f]{64}$`), func(s string) bool { return Hash(s).check() == nil }, []string{strings.Repeat("0a", 32)}},
	}
	pieces := []string{"", "a", "A", "0", "9", "f", "g", "-", ".", "_", "~", ":", "%", "%2F", "%2f", "%2D", "%41", "%7F", "%00", "%1F", "%80", "%5B", "%60", "lot:", "n-", " ", "\n", "é", "\xff", "/", "{"}
	for name, g := range grammars {
		t.Run(name, func(t *testing.T) {
			yes, no := 0, 0
			rapid.Check(t, func(t *rapid.T) {
				s := rapid.SampledFrom(g.seeds).Draw(t, "seed")
				for range rapid.IntRange(0, 3).Draw(t, "changes") {
					from := rapid.IntRange(0, len(s)).Draw(t, "from")
					to := rapid.IntRange(from, min(from+2, len(s))).Draw(t, "to")
					s = s[:from] + rapid.SampledFrom(pieces).Draw(t, "piece") + s[to:]
				}
				want := g.pattern.MatchString(s)
				if got := g.is(s); got != want {
					t.Fatalf("%q: %t, want %t", s, got, want)
				}
				if want {
					yes++
				} else {
					no++
				}
			})
			if yes == 0 || no == 0 {
				t.Errorf("%d accepted, %d refused: the draws are one-sided", yes, no)
			}
		})
	}
}

// TestFillData_Object: an object in the order of the schema fills data as a map does.
func TestFillData_Object(t *testing.T) {
	at := clock("6h30m0s")
	provenance := Member{"provenance", Object{{"source", "mes"}}}
	good := Object{{"lot", "lot::M:L"}, {"hold_id", "hold:h:1"}, {"hold_kind", "quality"}, {"reason", "oil"}, {"placed_by", "anna"}, {"placed_at", at}, {"authority", "quality"}, provenance}
	without := func(name string) Object {
		return slices.DeleteFunc(slices.Clone(good), func(m Member) bool { return m.Name == name })
	}
	with := func(name string, v any) Object {
		changed := slices.Clone(good)
		changed[slices.IndexFunc(changed, func(m Member) bool { return m.Name == name })].Value = v
		return changed
	}
	for name, c := range map[string]struct {
		object Object
		want   string
	}{
		"OK":           {good, ""},
		"ErrRequired":  {without("reason"), `lacks the member "reason"`},
		"ErrOrder":     {append(Object{provenance}, without("provenance")...), "lacks the member"},
		"ErrInside":    {with("provenance", Object{{"source", ""}}), "provenance.source: has 0 characters"},
		"ErrTimeFar":   {with("placed_at", Time{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}), `placed_at: "10000-01-01T00:00:00Z" is no time`},
		"ErrTimeZero":  {with("placed_at", Time{}), `placed_at: "" is no time`},
		"ErrNoObject":  {with("provenance", "mes"), "provenance: is a text: want an object"},
		"ErrNotBoth":   {without("lot"), "exactly one of lot and scope"},
		"ErrTextWants": {with("reason", Object{}), "reason: is an object: want a text"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := FillData(TypeHoldPlaced, c.object)
			switch {
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error is %v, want one with %q", err, c.want)
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want == "":
				read, err := DecodeData(TypeHoldPlaced, []byte(`{"lot":"lot::M:L","hold_id":"hold:h:1","hold_kind":"quality","reason":"oil","placed_by":"anna","placed_at":"`+at.String()+`","authority":"quality","provenance":{"source":"mes"}}`))
				if err != nil || !reflect.DeepEqual(data, read) {
					t.Errorf("filled it is %+v, read %+v, %v", data, read, err)
				}
			}
		})
	}
}

func BenchmarkEvent_Seal(b *testing.B) {
	data, err := DecodeData(TypeCharacteristicRecorded, []byte(pressValue))
	if err != nil {
		b.Fatal(err)
	}
	e := &Event{ID: pressID, Source: "/p1/mes1", Time: time.Unix(1, 0), Recorded: time.Unix(2, 0), Plant: "p1", Data: data}
	for b.Loop() {
		if err := e.Seal("gw1"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEvent_Message(b *testing.B) {
	data, err := DecodeData(TypeCharacteristicRecorded, []byte(pressValue))
	if err != nil {
		b.Fatal(err)
	}
	e := &Event{ID: pressID, Source: "/p1/mes1", Time: time.Unix(1, 0), Recorded: time.Unix(2, 0), Plant: "p1", Data: data}
	if err := e.Seal("gw1"); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if m := e.Message(); len(m.Headers) == 0 {
			b.Fatal("no headers")
		}
	}
}
