package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func TestFaultsOf(t *testing.T) {
	const value = `{"lot":"lot:1000:MAT-100:L-13","material":"MAT-100","q":{"value":"120","unit":"lb"},"results":[{"value":"x"},{"value":"7"}],"provenance":{"source":"press-4"}}`
	for name, c := range map[string]struct {
		cause, value string
		want         []Fault
	}{
		"a path":                  {`record n-1: q.unit: "lb" is no UCUM unit`, value, []Fault{{Path: "q.unit"}}},
		"a path into an array":    {`record n-1: results[1].value: is a text: want a number`, value, []Fault{{Path: "results[1].value"}}},
		"an index that is not":    {`record n-1: results[2].value: is a text`, value, []Fault{}},
		"a path that is not":      {`record n-1: q.weight: is a text`, value, []Fault{}},
		"a member that lacks":     {`record n-1: q: lacks the member "scale"`, value, []Fault{{Path: "q", Missing: "scale"}}},
		"a member of the whole":   {`record n-1: lacks the member "origin"`, value, []Fault{{Missing: "origin"}}},
		"a byte":                  {`record n-1: value is not JSON: byte 12: unexpected`, `{"lot":"lot:`, []Fault{{Byte: 12}}},
		"a byte behind the end":   {`record n-1: value is not JSON: byte 13: unexpected`, `{"lot":"lot:`, []Fault{}},
		"a header":                {`record n-1: header ce_time: "yesterday" is no time`, value, []Fault{{Header: "ce_time"}}},
		"a header twice":          {`record n-1: header "ce_id" stands twice`, value, []Fault{{Header: "ce_id"}}},
		"a rule's values":         {`event n-1: quantity is in lb, the base unit of material MAT-100 is kg`, value, []Fault{{Path: "material", Hint: true}, {Path: "q.unit", Hint: true}}},
		"no part of a word":       {`event n-1: 1203 albs of press-4 for lot:1000:MAT-100:L-13x`, `{"a":"120","b":"lb","lot":"lot:1000:MAT-100:L-13"}`, []Fault{}},
		"nothing":                 {`the lot is closed`, value, []Fault{}},
		"a value that is no JSON": {`the lot is closed`, "\xff\x00", []Fault{}},
		"too many hints":          {`kg kg`, `{"a":"kg","b":"kg","c":"kg","d":"kg","e":"kg","f":"kg"}`, []Fault{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := faultsOf(c.cause, []byte(c.value)); !slices.Equal(got, c.want) {
				t.Errorf("%q: %+v, want %+v", c.cause, got, c.want)
			}
		})
	}
}

// What the decoder says of every member that it refuses is found again in the value.
func TestFaultsOf_Decoder(t *testing.T) {
	for cause, value := range map[string]string{
		"q.unit":   `{"lot":"lot:1000:MAT-100:L-13","material":"MAT-100","q":{"value":"120","unit":""},"origin":"order:mes:4711","provenance":{"source":"press-4"}}`,
		"q.value":  `{"lot":"lot:1000:MAT-100:L-13","material":"MAT-100","q":{"value":12,"unit":"kg"},"origin":"order:mes:4711","provenance":{"source":"press-4"}}`,
		"material": `{"lot":"lot:1000:MAT-100:L-13","material":null,"q":{"value":"12","unit":"kg"},"origin":"order:mes:4711","provenance":{"source":"press-4"}}`,
	} {
		_, err := event.DecodeData("inventory.lot.created.v1", []byte(value))
		if err == nil {
			t.Fatalf("%s is taken", cause)
		}
		if got := faultsOf("record n-1: "+err.Error(), []byte(value)); len(got) != 1 || got[0].Path != cause {
			t.Errorf("%v: %+v, want %s", err, got, cause)
		}
	}
}

func TestChangesOf(t *testing.T) {
	for name, c := range map[string]struct{ was, now, want string }{
		"nothing":           {`{"a":1,"b":[1,2]}`, `{"b":[1,2], "a":1}`, `[]`},
		"a value":           {`{"q":{"value":"120","unit":"lb"}}`, `{"q":{"value":"54.4","unit":"kg"}}`, `[{"path":"q.unit","was":"lb","now":"kg"},{"path":"q.value","was":"120","now":"54.4"}]`},
		"added, removed":    {`{"a":1}`, `{"b":null}`, `[{"path":"a","was":1},{"path":"b","now":null}]`},
		"an element":        {`{"a":[{"x":1},{"x":2}]}`, `{"a":[{"x":1},{"x":3}]}`, `[{"path":"a[1].x","was":2,"now":3}]`},
		"a longer array":    {`{"a":[1]}`, `{"a":[1,2]}`, `[{"path":"a","was":[1],"now":[1,2]}]`},
		"another kind":      {`{"a":{"x":1}}`, `{"a":"1"}`, `[{"path":"a","was":{"x":1},"now":"1"}]`},
		"how it is written": {`{"a":1.0}`, `{"a":1}`, `[{"path":"a","was":1.0,"now":1}]`},
		"no JSON before":    {"\xff", `{"a":1}`, `[{"path":"","now":{"a":1}}]`},
	} {
		t.Run(name, func(t *testing.T) {
			changes, err := changesOf([]byte(c.was), []byte(c.now))
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(changes)
			if err != nil || string(got) != c.want {
				t.Errorf("%s, %v, want %s", got, err, c.want)
			}
		})
	}
	if _, err := changesOf([]byte(`{}`), []byte(`{`)); err == nil {
		t.Error("a correction that is no JSON has changes")
	}
}

func TestShapeOf(t *testing.T) {
	for cause, want := range map[string]string{
		"event n-270e83f98b55891577dbcc264b70bf64: quantity is in lb, the base unit of material MAT-100 is kg": "quantity is in lb, the base unit of material … is kg",
		`record n-1: results[12].value: "1,5" is no decimal number`:                                            "results[].value: … is no decimal number",
		`record n-1: q: lacks the member "unit"`:                                                               `q: lacks the member "unit"`,
		"event n-1: hold hold:mes:77 is not known":                                                             "hold … is not known",
		"": "",
	} {
		if got := shapeOf(cause); got != want {
			t.Errorf("%q has the shape %q, want %q", cause, got, want)
		}
	}
}

func FuzzFaultsOf(f *testing.F) {
	f.Add(`record n-1: q.unit: "lb" is no UCUM unit`, []byte(`{"q":{"unit":"lb"}}`))
	f.Add(`a[0][1].b: x`, []byte(`{"a":[[1,{"b":2}]]}`))
	f.Add(`byte 3`, []byte("\xff\xfe\x00"))
	f.Fuzz(func(t *testing.T, cause string, value []byte) {
		for _, x := range faultsOf(cause, value) {
			tree, err := event.ParseJSON(value)
			if x.Path != "" && (err != nil || !resolve(tree, x.Path)) {
				t.Errorf("%+v is no place of %q", x, value)
			}
			if x.Byte < 0 || x.Byte > len(value) {
				t.Errorf("%+v lies outside of %d bytes", x, len(value))
			}
		}
		if s := shapeOf(cause); len(s) > maxShape+len("…") {
			t.Errorf("shape of %d bytes", len(s))
		}
		if changes, err := changesOf(value, value); err == nil && len(changes) != 0 {
			if _, err := event.ParseJSON(value); err == nil {
				t.Errorf("a value differs from itself: %s", fmt.Sprint(changes))
			}
		}
	})
}
