package rest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/connector/rest"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// short is a mapping of a system whose answers are shorter than they are asked for.
const short = `
auth: none
find: { path: /records, query: { q: "ref = {{.Ref | doubled}} and id > {{.After | backslashed}}" }, items: records }
read: { path: "/records/{{.ID | path}}" }
create: { path: /records, body: "{}" }
update: { method: PUT, answer: list, path: "/records/{{.ID | path}}", body: '{"state": {{.State | json}}}' }
changes:
  path: /records
  query: { after: "{{.After}}", limit: "{{.Limit}}", since: "{{if .Since}}at {{.Since | unzoned | doubled}}{{end}}" }
  items: records
  more: next
  most: 4
check:
  - { path: "/me/{{.User | path}}", at: "rights[name=write].scope", contains: records, fix: "give the right" }
record: { id: id, reference: ref, state: state }
states: { opened: opened, contained: contained }
`

// dialShort returns a client of a handler by a mapping's text.
func dialShort(t *testing.T, mapping string, h http.HandlerFunc) *rest.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "m.yaml")
	if err := os.WriteFile(file, []byte(mapping), 0o600); err != nil {
		t.Fatal(err)
	}
	return dial(t, file, server.URL, token, zerolog.Nop())
}

// answer writes JSON.
func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}

func TestClient_Changes_ShortAnswers(t *testing.T) {
	const all = 23
	var asked []int
	c := dialShort(t, short, func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.Atoi(r.URL.Query().Get("after")) // none: 0
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil {
			t.Errorf("asked for %s", r.URL)
		}
		asked = append(asked, limit)
		body := map[string]any{"next": nil}
		records := []map[string]any{}
		for id := after + 1; id <= all && len(records) < min(limit, 3); id++ { // fewer than its own bound, where it likes
			records = append(records, map[string]any{"id": id, "ref": "", "state": "opened"})
			if id < all {
				body["next"] = "/records?page=2"
			} else {
				body["next"] = nil
			}
		}
		body["records"] = records
		answer(w, body)
	})
	for _, limit := range []int{1, 2, 7, 100} {
		asked = nil
		var cursor connector.Cursor
		var ids []string
		for more := true; more; {
			views, next, err := c.Changes(t.Context(), cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range views {
				ids = append(ids, v.ID)
			}
			cursor, more = next, len(views) == limit
		}
		if len(ids) != all || !slices.IsSortedFunc(ids, func(a, b string) int { return len(a) - len(b) }) {
			t.Errorf("by pages of %d: %d records, want %d each once: %v", limit, len(ids), all, ids)
		}
		if slices.Max(asked) > 4 {
			t.Errorf("asked for %d records at once", slices.Max(asked))
		}
	}
}

func TestClient_Changes_ErrNoProgress(t *testing.T) {
	c := dialShort(t, short, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"records": []any{}, "next": "/records?page=2"})
	})
	if views, _, err := c.Changes(t.Context(), "", 10); err == nil || !strings.Contains(err.Error(), "goes on, and holds nothing") {
		t.Errorf("%v, %v", views, err)
	}
}

func TestClient_Check_Probe(t *testing.T) {
	for _, c := range []struct {
		name, body, want string
		status           int
	}{
		{"there", `{"rights":[{"name":"read","scope":"all"},{"name":"write","scope":"records"}]}`, "", 200},
		{"not there", `{"rights":[{"name":"read","scope":"records"}]}`, "shows nothing at rights[name=write].scope", 200},
		{"otherwise", `{"rights":[{"name":"write","scope":"drafts"}]}`, `does not show "records"`, 200},
		{"forbidden", `{}`, "is refused", 403},
		{"unknown", `{}`, "is refused", 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := dialShort(t, short, func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasPrefix(r.URL.Path, "/me/") {
					answer(w, map[string]any{"records": []any{}})
					return
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body)) // a client that has gone needs no answer
			})
			found, err := client.Check(t.Context())
			switch {
			case err != nil || c.want == "" && len(found) != 0:
				t.Errorf("found %+v, %v", found, err)
			case c.want != "" && (len(found) != 1 || !found[0].Fatal || found[0].Fix != "give the right" || !strings.Contains(found[0].What, c.want)):
				t.Errorf("found %+v; want one fatal that says %q", found, c.want)
			}
		})
	}
}

// TestClient_Write_OtherAnswer: what does not answer as the system does has acknowledged nothing.
func TestClient_Write_OtherAnswer(t *testing.T) {
	for body, want := range map[string]event.Outcome{
		`["state changed"]`: "", `[]`: "", ``: "", `{"error":"busy"}`: event.Unknown, `"ok"`: event.Unknown, `null`: event.Unknown,
	} {
		c := dialShort(t, short, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			said := body
			if r.Method == http.MethodGet {
				said = `{"id":"1","ref":"","state":"opened"}`
			}
			_, _ = w.Write([]byte(said)) // a client that has gone needs no answer
		})
		e := suiteEffect(nil, "", 1)
		e.Kind, e.Record.State = "qms.nonconformance.advance", "contained"
		_, version, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectRecord, ID: "1"})
		if err != nil {
			t.Fatal(err)
		}
		if r := c.Write(t.Context(), e, version); r.Outcome != want {
			t.Errorf("answered %s: %v, want %q", body, r, want)
		}
	}
}

// TestClient_Read_MoreTasks: a lot of whose tasks only some are shown may have an open one.
func TestClient_Read_MoreTasks(t *testing.T) {
	const mapping = `
auth: none
tasks:
  list: { path: "/lots/{{.Lot | path}}/tasks", items: tasks, more: next }
  hold: { path: "/lots/{{.Lot | path}}/hold" }
  release: { path: "/lots/{{.Lot | path}}/release" }
  id: id
  state: status
  states: { held: blocked, open: ready }
`
	next := ""
	c := dialShort(t, mapping, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"tasks": []any{map[string]any{"id": "T-1", "status": "blocked"}}, "next": next})
	})
	o := connector.Object{Kind: connector.ObjectTasks, Lot: "lot::M:1"}
	if v, _, err := c.Read(t.Context(), o); err != nil || len(v.Tasks) != 1 {
		t.Errorf("a whole list: %+v, %v", v, err)
	}
	next = "/lots/1/tasks?page=2"
	if v, _, err := c.Read(t.Context(), o); err == nil || !strings.Contains(err.Error(), "may not be seen") {
		t.Errorf("a part of a list: %+v, %v", v, err)
	}
}
