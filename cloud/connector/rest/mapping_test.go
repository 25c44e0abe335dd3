package rest

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/connector/httpcall"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

func good(t testing.TB) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/qms.rest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func load(t testing.TB, text string) (*Mapping, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "m.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadMapping(file)
}

func TestLoadMapping_Bad(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"an unknown key", "lock: exact", "lok: exact", "lok"},
		{"an unknown lock", "lock: exact", "lock: perhaps", `"perhaps" is none of none, second, exact`},
		{"a reference that does not fit", "reference_length: 64", "reference_length: 10", "16 characters"},
		{"a value in a body that is not escaped", "{{.Title | json}}", `"{{.Title}}"`, "must end in | json"},
		{"a value in a path that is not escaped", `"/records/{{.ID | path}}"`, `"/records/{{.ID}}"`, "must end in | path"},
		{"a value that does not exist", "{{.Title | json}}", "{{.Titel | json}}", "Titel"},
		{"a body that is no JSON", `"lots": {{.Lots | json}}`, `"lots": {{.Lots | json}},`, "no JSON"},
		{"a list without a place", "  items: records\nlocate:", "locate:", "find.items is missing"},
		{"a missing operation", "read:\n", "other_states: {}\nlocate2:\n", "read is missing"},
		{"a state that is not ours", "voided: voided", "void: voided", `"void" is none of`},
		{"one word for two states", "closed: closed", "closed: voided", "stands for closed already"},
		{"no path of the state", "  state: state\n", "", "record.state is missing"},
		{"a rule for everything", `{ status: 200, path: messages, body: "can't change state", outcome: rejected }`, `{ outcome: rejected }`, "fit every answer"},
		{"an outcome that only a read proves", "outcome: rejected", "outcome: applied", `"applied" is none of`},
		{"a path that is none", "  id: id\n  object", "  id: id[\n  object", "has a [ without its ]"},
		{"a value in a query's language", `query: { ref: "{{.Ref}}" }`, `query: { q: "ref = '{{.Ref}}'" }`, "must end in | backslashed or | doubled or | json"},
		{"a value escaped too early", `query: { ref: "{{.Ref}}" }`, `query: { q: "ref = {{.Ref | doubled | printf \"%s\"}}" }`, "must end in"},
		{"a value in a branch of a query", `query: { ref: "{{.Ref}}" }`, `query: { q: "{{if .Ref}}{{.Ref}}{{end}}" }`, "must end in"},
		{"an answer that is none", "update:\n", "update:\n  answer: text\n", `"text" is none of`},
		{"fewer records than none", "changes:\n", "changes:\n  most: -1\n", "is negative"},
		{"a probe for nothing", "lock: exact", "lock: exact\ncheck: [{ path: /me }]", "looks for nothing"},
		{"a probe without escapes", "lock: exact", "lock: exact\ncheck: [{ path: '/me/{{.User}}', at: id }]", "must end in | path"},
		{"a path without a slash", "  path: /records\n  query: { ref", "  path: records\n  query: { ref", "does not begin with /"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := good(t)
			if !strings.Contains(text, c.from) {
				t.Fatalf("the good mapping has no %q", c.from)
			}
			_, err := load(t, strings.Replace(text, c.from, c.to, 1))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "m.yaml:") {
				t.Errorf("%v; want the place and %q", err, c.want)
			}
		})
	}
}

func TestLoadMapping_BadFamilies(t *testing.T) {
	for _, c := range []struct{ file, name, from, to, want string }{
		{"wms", "no way to hold", "  hold:\n", "  held:\n", "tasks.hold is missing"},
		{"wms", "a gate without words", "  gates: { held: closed, open: open }\n", "", "tasks.gates are missing"},
		{"wms", "a gate that is not ours", "gates: { held: closed", "gates: { shut: closed", `"shut" is none of held, open`},
		{"wms", "no word for held", "held: blocked, ", "", "no word for held"},
		{"wms", "a word that means two things", "cancelled: done", "ready: done", `"ready" stands for open already`},
		{"wms", "no path of a task's state", "  state: status\n", "", "tasks.state is missing"},
		{"wms", "a lot in a path that is not escaped", `"/lots/{{.Lot | path}}/tasks"`, `"/lots/{{.Lot}}/tasks"`, "must end in | path"},
		{"wms", "a gate with tasks one by one", "  gate: gate", "  each: true\n  gate: gate", "with each there is no call"},
		{"wms", "nothing at all", "tasks:", "task:", "the mapping has no operation"},
		{"notice", "no reference with the message", "  header: Message-ID\n", "", "carries the reference"},
		{"notice", "a header that is none", "header: Message-ID", "header: 'Message ID'", "no name of a header"},
		{"notice", "a look-up without a read", "  read: { path: \"/messages/{{.ID | path}}\" }\n", "", "notices.read is missing"},
		{"notice", "a body that is no JSON", `"possible_repeat": {{.Repeat | json}}`, `"possible_repeat": `, "no JSON"},
		{"notice", "a read to send with", "    path: /messages\n    id: id", "    path: /messages\n    method: GET\n    id: id", `method "GET" does not suit`},
		{"qms", "no way to make an inspection", "  create:\n    path: /inspections", "  make:\n    path: /inspections", "inspections.create is missing"},
		{"qms", "no path of an inspection's reference", "  reference: ref\n  verdicts", "  verdicts", "inspections.reference is missing"},
		{"qms", "no word for a verdict", ", indeterminate: inconclusive", "", "no word for indeterminate"},
		{"qms", "a verdict that is not ours", "indeterminate: inconclusive", "perhaps: inconclusive", `"perhaps" is none of pass`},
		{"qms", "one word for two verdicts", "indeterminate: inconclusive", "indeterminate: failed", "stands for fail already"},
		{"qms", "a decision that is not ours", "    scrap: scrapped", "    burn: scrapped", `"burn" is none of release`},
		{"qms", "one word for two decisions", "    scrap: scrapped", "    scrap: rejected", "stands for scrap already"},
		{"qms", "no signature", "  signed_by: signature.name\n", "", "decisions.signed_by is missing"},
		{"qms", "no lot", "  lot: { key: lot }\n", "", "want either key, or material and batch"},
		{"qms", "a lot named twice", "lot: { key: lot }", "lot: { key: lot, material: m, batch: b }", "want either key, or material and batch"},
		{"qms", "an overlap in the future", "lock: exact", "lock: exact\noverlap: -1s", "is negative"},
		{"order", "no version", "  version: version\n", "", ""},
		{"order", "neither version nor time", "  version: version\n", "  # ", "pass for the same"},
		{"order", "no customer", "  customer: customer\n", "", "allocations.customer is missing"},
		{"order", "no unit", ", unit: unit", "", "q.unit is missing"},
	} {
		t.Run(c.file+": "+c.name, func(t *testing.T) {
			raw, err := os.ReadFile("testdata/" + c.file + ".rest.yaml")
			if err != nil {
				t.Fatal(err)
			}
			text := string(raw)
			if !strings.Contains(text, c.from) {
				t.Fatalf("the good mapping has no %q", c.from)
			}
			text = strings.Replace(text, c.from, c.to, 1)
			if c.want == "pass for the same" {
				text = strings.Replace(text, "  changed_at: updated_at\n", "", 1)
			}
			_, err = load(t, text)
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "m.yaml") {
				t.Errorf("%v; want the file and %q", err, c.want)
			}
		})
	}
}

// TestLoadMapping_Shipped loads what a plant is given, as check-config does.
func TestLoadMapping_Shipped(t *testing.T) {
	for _, name := range []string{"qms", "rt"} {
		if _, err := LoadMapping("../../../deploy/config/" + name + ".yaml"); err != nil {
			t.Error(err)
		}
	}
}

func TestClient_Told(t *testing.T) {
	m, err := load(t, good(t))
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{mapping: m}
	for _, x := range []struct {
		name    string
		status  int
		body    string
		reading bool
		outcome event.Outcome
		message string
	}{
		{"a change that was made", 200, `{"messages":["state changed from 'opened' to 'contained'"]}`, false, "", "OK"},
		{"a change that was refused under 200", 200, `{"messages":["You can't change state from 'closed' to 'opened'"]}`, false, event.Rejected,
			`["You can't change state from 'closed' to 'opened'"]`},
		{"a record that says so in its text", 200, `{"id":"1","title":"they can't change state"}`, true, "", "OK"},
		{"a title that says so, echoed by a create", 200, `{"id":"1","title":"they can't change state"}`, false, "", "OK"},
		{"a refusal in the vendor's words", 422, `{"error":{"code":"title_missing","message":"A record needs a title"}}`, false, event.Rejected, "A record needs a title"},
		{"an error under 200", 200, `{"error":{"code":"x","message":"busy"}}`, false, event.Unknown, "busy"},
	} {
		t.Run(x.name, func(t *testing.T) {
			a := httpcall.Answer{Status: x.status, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(x.body), Sent: true}
			if r := c.told(&a, x.reading); r.Outcome != x.outcome || r.Message != x.message {
				t.Errorf("%q %q, want %q %q", r.Outcome, r.Message, x.outcome, x.message)
			}
		})
	}
}

func FuzzLoadMapping(f *testing.F) {
	f.Add(good(f))
	for _, file := range []string{"wms", "notice", "order"} {
		raw, err := os.ReadFile("testdata/" + file + ".rest.yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(raw))
	}
	f.Add("auth: bearer\ncreate: {path: /x, body: '{{range .Lots}}{{. | json}}{{end}}'}\n")
	f.Add("create: {path: /x, body: '{{define \"a\"}}{{template \"a\" .}}{{end}}{{template \"a\" .}}'}\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = load(t, text)
	})
}

// FuzzFeed decodes what a feed or a warehouse may show.
func FuzzFeed(f *testing.F) {
	read := func(file string) *Mapping {
		m, err := LoadMapping("testdata/" + file + ".rest.yaml")
		if err != nil {
			f.Fatal(err)
		}
		return m
	}
	qms, orders := &Client{mapping: read("qms")}, &Client{mapping: read("order")}
	f.Add([]byte(`{"id":"DSP-1","lot":"lot::M:1","quantity":"500","unit":"kg","outcome":"accepted","revision":1,"signature":{"name":"Eve","at":"2026-11-24T08:00:00Z"}}`))
	f.Add([]byte(`{"id":7,"lot":{},"quantity":1e9,"outcome":null,"revision":-1,"signature":[]}`))
	f.Add([]byte(`{"id":"AL-1","lot":"lot:x","order":"SO","quantity":0,"promised_at":"never"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		item, err := decode(body)
		if err != nil {
			return
		}
		v := qms.mapping.Decisions.view(qms, item)
		if v.Disposition.Version < 1 || v.Disposition.Decision != "" && qms.mapping.Decisions.Words[string(v.Disposition.Decision)] != v.Disposition.Raw {
			t.Errorf("decision %+v", v.Disposition)
		}
		w := orders.mapping.Allocations.view(orders, item)
		for _, lot := range []event.LotKey{v.Lot, w.Lot} {
			if _, _, _, err := lot.Parts(); lot != "" && err != nil {
				t.Errorf("lot %q is no lot key", lot)
			}
		}
	})
}

func FuzzRecord(f *testing.F) {
	m, err := load(f, good(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(200, "application/json", []byte(`{"id":"QE-1","ref":"HF","state":"opened","updated_at":null,"created_at":"2026-11-24T08:00:00Z"}`))
	f.Add(200, "application/json", []byte(`{"records":[{"id":7}],"messages":["can't change state"]}`))
	f.Add(422, "text/html", []byte(`{"error":{"code":1,"message":{}}}`))
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		c := &Client{mapping: m}
		a := httpcall.Answer{Status: status, Header: http.Header{"Content-Type": {kind}}, Body: body, Sent: true}
		for _, reading := range []bool{true, false} {
			if r := c.told(&a, reading); r.Outcome == event.Applied || r.Outcome == event.AlreadyApplied {
				t.Errorf("a connector said %q", r.Outcome)
			}
		}
		record, err := decode(body)
		if err != nil {
			return
		}
		v := c.view(record)
		if v.Reached != "" && m.States[string(v.Reached)] != v.State {
			t.Errorf("state %q was read as %q", v.State, v.Reached)
		}
		_, _ = at(record, "records").([]any)
	})
}

func TestForm_Fill(t *testing.T) {
	f, err := newForm(&Operation{
		Path: "/r/{{.ID | path}}/{{path .Object}}", Query: map[string]string{"q": "ref = {{.Ref | backslashed}} AND id > {{doubled .ID}} LIMIT {{.Limit}}", "after": "{{.After}}"},
		Body: `{{if .Lots}}{"lots": {{.Lots | json}}, "state": {{json .State}}}{{end}}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	path, query, body, err := f.fill(values{ID: "a/b?c", Object: "nc:é", Ref: `it's \ HF`, Lots: []string{`l"1`}, State: "<open>"})
	if err != nil {
		t.Fatal(err)
	}
	if want := "/r/a%2Fb%3Fc/nc:%C3%A9"; path != want {
		t.Errorf("path %s, want %s", path, want)
	}
	if got, want := query.Get("q"), `ref = 'it\'s \\ HF' AND id > 'a/b?c' LIMIT 0`; got != want || query.Has("after") {
		t.Errorf("query %s, want %s", got, want)
	}
	if want := `{"lots": ["l\"1"], "state": "<open>"}`; string(body) != want {
		t.Errorf("body %s, want %s", body, want)
	}
	if _, _, body, _ := f.fill(values{}); body != nil {
		t.Errorf("an empty body came out as %q", body)
	}
}

func TestByID(t *testing.T) {
	if byID("9", "10") >= 0 || byID("QE-00002", "QE-00010") >= 0 || byID("7", "7") != 0 {
		t.Error("ids are not in the order in which they were given")
	}
}
