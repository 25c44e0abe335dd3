package config

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type diffEntry struct {
	ID     string         `yaml:"id"`
	Every  time.Duration  `yaml:"every"`
	Topics []string       `yaml:"topics"`
	TLS    *TLS           `yaml:"tls"`
	Data   map[string]any `yaml:"data"`
}

type diffDoc struct {
	Plant   string            `yaml:"plant"`
	Disk    ByteSize          `yaml:"disk"`
	Standby bool              `yaml:"standby"`
	Token   string            `yaml:"token"`
	Key     Secret            `yaml:"key"`
	Any     any               `yaml:"any"`
	Tables  map[string]Path   `yaml:"tables"`
	Entries []diffEntry       `yaml:"entries"`
	Rows    []struct{ A int } `yaml:"rows"`

	unseen int
}

func TestDiff(t *testing.T) {
	entry := func(id string, change func(*diffEntry)) diffEntry {
		e := diffEntry{ID: id, Every: time.Second, Topics: []string{"a", "b"}}
		if change != nil {
			change(&e)
		}
		return e
	}
	for name, c := range map[string]struct {
		before, after diffDoc
		want          []Change
	}{
		"nothing":             {diffDoc{Plant: "p1"}, diffDoc{Plant: "p1"}, nil},
		"what is no key":      {diffDoc{unseen: 1}, diffDoc{unseen: 2}, nil},
		"a text":              {diffDoc{Plant: "p1"}, diffDoc{Plant: "p2"}, []Change{{"plant", Changed, "p1", "p2"}}},
		"a new text":          {diffDoc{}, diffDoc{Plant: "p2"}, []Change{{"plant", Added, "", "p2"}}},
		"a text that is gone": {diffDoc{Plant: "p1"}, diffDoc{}, []Change{{"plant", Removed, "p1", ""}}},
		"a size from zero":    {diffDoc{}, diffDoc{Disk: GiB}, []Change{{"disk", Changed, "0B", "1GiB"}}},
		"true":                {diffDoc{}, diffDoc{Standby: true}, []Change{{"standby", Changed, "false", "true"}}},
		"a key of a secret":   {diffDoc{Token: "hunter2"}, diffDoc{Token: "hunter3"}, []Change{{"token", Changed, "(secret)", "(secret)"}}},
		"a secret":            {diffDoc{Key: NewSecret("hunter2")}, diffDoc{Key: NewSecret("hunter3")}, []Change{{"key", Changed, "(secret)", "(secret)"}}},
		"another kind":        {diffDoc{Any: "x"}, diffDoc{Any: []any{"x", "y"}}, []Change{{"any", Changed, "x", `["x","y"]`}}},
		"tables": {
			diffDoc{Tables: map[string]Path{"a": "/a", "b": "/b", "c d": "/c"}}, diffDoc{Tables: map[string]Path{"a": "/a2", "e": "/e", "c d": "/c2"}},
			[]Change{{"tables.a", Changed, "/a", "/a2"}, {"tables.b", Removed, "/b", ""}, {`tables["c d"]`, Changed, "/c", "/c2"}, {"tables.e", Added, "", "/e"}},
		},
		"entries by their ids": {
			diffDoc{Entries: []diffEntry{entry("x", nil), entry("y", nil), entry("z", nil)}},
			diffDoc{Entries: []diffEntry{entry("new", nil), entry("x", nil), entry("z", func(e *diffEntry) { e.Every = time.Minute })}},
			[]Change{{"entries[y]", Removed, "", ""}, {"entries[z].every", Changed, "1s", "1m0s"}, {"entries[new]", Added, "", ""}},
		},
		"an order": {
			diffDoc{Entries: []diffEntry{entry("x", nil), entry("y", nil)}}, diffDoc{Entries: []diffEntry{entry("y", nil), entry("x", nil)}},
			[]Change{{"entries", Changed, "x, y", "y, x"}},
		},
		"entries without": {diffDoc{Rows: []struct{ A int }{{1}}}, diffDoc{Rows: []struct{ A int }{{2}}}, []Change{{"rows", Removed, `{"A":1}`, ""}, {"rows", Added, "", `{"A":2}`}}},
		"an id that is no name": {
			diffDoc{Entries: []diffEntry{entry("a b", nil)}}, diffDoc{Entries: []diffEntry{entry("a b", func(e *diffEntry) { e.Topics = []string{"b"} })}},
			[]Change{{`entries["a b"].topics`, Removed, "a", ""}},
		},
		"an order of texts": {
			diffDoc{Entries: []diffEntry{entry("x", nil)}}, diffDoc{Entries: []diffEntry{entry("x", func(e *diffEntry) { e.Topics = []string{"b", "a"} })}},
			[]Change{{"entries[x].topics", Changed, "a, b", "b, a"}},
		},
		"a section": {
			diffDoc{Entries: []diffEntry{entry("x", nil)}}, diffDoc{Entries: []diffEntry{entry("x", func(e *diffEntry) { e.TLS = &TLS{CA: "/ca"} })}},
			[]Change{{"entries[x].tls.ca", Added, "", "/ca"}},
		},
		"an empty section": {
			diffDoc{Entries: []diffEntry{entry("x", func(e *diffEntry) { e.TLS = &TLS{} })}}, diffDoc{Entries: []diffEntry{entry("x", nil)}},
			[]Change{{"entries[x].tls", Removed, "", ""}},
		},
		"a tree": {
			diffDoc{Entries: []diffEntry{entry("x", func(e *diffEntry) { e.Data = map[string]any{"q": map[string]any{"value": "1", "unit": "kg"}} })}},
			diffDoc{Entries: []diffEntry{entry("x", func(e *diffEntry) { e.Data = map[string]any{"q": map[string]any{"value": "2", "unit": "kg"}} })}},
			[]Change{{"entries[x].data.q.value", Changed, "1", "2"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Diff(c.before, c.after)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("a long text is cut", func(t *testing.T) {
		long := make([]byte, 1000)
		for i := range long {
			long[i] = 'x'
		}
		if got := Diff(diffDoc{}, diffDoc{Plant: string(long)}); len(got) != 1 || len(got[0].New) != mostShown+3 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestChange_String(t *testing.T) {
	for want, c := range map[string]Change{
		"a.b changed: 1 -> 2": {"a.b", Changed, "1", "2"}, "a.b added: 2": {"a.b", Added, "", "2"}, "a[x] removed": {"a[x]", Removed, "", ""},
	} {
		if got := c.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
