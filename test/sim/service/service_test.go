package service_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/book"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/service"
)

func call(t *testing.T, h http.Handler, method, path, body string, header ...string) (status int, raw string) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = nil
	server.Start()
	defer server.Close()
	req, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	all, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(all)
}

func TestService(t *testing.T) {
	touched := 0
	s, err := service.New(service.Config{Token: "T"}, map[string]func(){"touch": func() { touched++ }})
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("POST /things/{id}", func(w http.ResponseWriter, r *http.Request) {
		var in map[string]any
		if !service.Match(w, r, 3) || !service.Read(w, r, &in) {
			return
		}
		s.Enter(book.Entry{Key: r.PathValue("id"), Kind: "made"})
		service.Answer(w, http.StatusOK, in)
	})
	for _, c := range []struct {
		name, body, token, match string
		want                     int
	}{
		{"a wrong token", "{}", "X", `"3"`, http.StatusUnauthorized},
		{"no version", "{}", "T", "", http.StatusPreconditionRequired},
		{"another version", "{}", "T", `"2"`, http.StatusPreconditionFailed},
		{"no JSON", "x", "T", `"3"`, http.StatusBadRequest},
		{"in order", "{}", "T", `"3"`, http.StatusOK},
	} {
		header := []string{"Authorization", "Bearer " + c.token}
		if c.match != "" {
			header = append(header, "If-Match", c.match)
		}
		if got, raw := call(t, s.Handler, "POST", "/things/a%2Fb", c.body, header...); got != c.want {
			t.Errorf("%s: %d %s, want %d", c.name, got, raw, c.want)
		}
	}
	if s.BadTokens() != 1 || len(s.Of("a/b")) != 1 || len(s.Book()) != 1 {
		t.Errorf("%d bad tokens, book %+v", s.BadTokens(), s.Book())
	}
	if got, _ := call(t, s.Handler, "POST", "/control", `{"do":"touch"}`); got != http.StatusNoContent || touched != 1 {
		t.Errorf("control: %d, touched %d times", got, touched)
	}
	s.Faults.Add(fault.Fault{Kind: fault.LostAfter, Times: 1})
	if got, _ := call(t, s.Handler, "POST", "/things/c", "{}", "Authorization", "Bearer T", "If-Match", `"3"`); got != 0 || len(s.Of("c")) != 1 {
		t.Errorf("an answer that was lost: %d, %d effects", got, len(s.Of("c")))
	}
	if got, raw := call(t, s.Handler, "GET", "/book", ""); got != http.StatusOK || strings.Count(raw, "made") != 2 {
		t.Errorf("book: %d %s", got, raw)
	}
}

func TestFeed(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	items := []service.Item{{ID: "B", Changed: at, Body: "b"}, {ID: "A", Changed: at, Body: "a"}, {ID: "C", Changed: at.Add(-time.Hour), Body: "c"}}
	for query, want := range map[string]string{
		"": `["a","b","c"]`, "limit=1": `["a"]`, "after=A&limit=1": `["b"]`, "after=C": `[]`,
		"updated_since=2026-11-24T12:00:00Z": `["a","b"]`, "updated_since=2026-11-24T12:00:01Z": `[]`,
	} {
		w := httptest.NewRecorder()
		service.Feed(w, httptest.NewRequest("GET", "/things?"+query, nil), "things", items)
		var got struct{ Things json.RawMessage }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || string(got.Things) != want {
			t.Errorf("%q: %s, want %s", query, w.Body, want)
		}
	}
	w := httptest.NewRecorder()
	service.Feed(w, httptest.NewRequest("GET", "/things?updated_since=yesterday", nil), "things", items)
	if w.Code != http.StatusBadRequest {
		t.Errorf("a time that is none: %d", w.Code)
	}
}

func TestParts(t *testing.T) {
	if s, m, b := service.Parts("lot:p5:MAT%20100:L%2F1"); s != "p5" || m != "MAT 100" || b != "L/1" {
		t.Errorf("%q %q %q", s, m, b)
	}
}
