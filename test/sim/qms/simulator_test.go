package qms_test

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
)

type answer struct {
	status int
	etag   string
	body   map[string]any
	raw    string
}

func start(t *testing.T, cfg qms.Config) (*qms.Simulator, func(method, path, body string, header ...string) answer) {
	t.Helper()
	s, err := qms.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(s.Handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	return s, func(method, path, body string, header ...string) answer {
		t.Helper()
		req, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer T")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return answer{}
		}
		defer func() { _ = resp.Body.Close() }()
		raw, _ := io.ReadAll(resp.Body)
		a := answer{status: resp.StatusCode, etag: resp.Header.Get("ETag"), raw: string(raw)}
		_ = json.Unmarshal(raw, &a.body)
		return a
	}
}

const record = `{"external_id":"nc:1","ref":"HF1","title":"Torque","severity":"major","colour":"red"}`

func TestSimulator_Records(t *testing.T) {
	s, call := start(t, qms.Config{Token: "T"})
	made := call("POST", "/records", record)
	if made.status != 201 || made.body["id"] != "QE-00001" || made.body["state"] != "opened" || made.body["colour"] != nil {
		t.Fatalf("made %s", made.raw)
	}
	if again := call("POST", "/records", record); again.status != 201 || again.body["id"] != "QE-00002" {
		t.Errorf("the same reference again: %s; want a second record", again.raw)
	}
	if found := call("GET", "/records?ref=HF1&limit=1", ""); found.body["total"] != 2.0 || len(found.body["records"].([]any)) != 1 {
		t.Errorf("by reference: %s", found.raw)
	}
	for name, x := range map[string]struct {
		path, body, match string
		want              int
	}{
		"no version":    {"/records/QE-00001", `{"state":"contained"}`, "", 428},
		"an old one":    {"/records/QE-00001", `{"state":"contained"}`, `"0"`, 412},
		"no JSON":       {"/records/QE-00001", `x`, made.etag, 400},
		"a missing one": {"/records/QE-1", `{}`, made.etag, 404},
	} {
		if got := call("PATCH", x.path, x.body, "If-Match", x.match); got.status != x.want {
			t.Errorf("%s: %d, want %d", name, got.status, x.want)
		}
	}
	if got := call("POST", "/records", `{"ref":"HF2"}`); got.status != 422 {
		t.Errorf("a record without a title: %d", got.status)
	}
	if got := call("PATCH", "/records/QE-00001", `{"state":"contained","severity":"minor"}`, "If-Match", made.etag); got.status != 200 || got.etag == made.etag {
		t.Errorf("changed: %d %s", got.status, got.raw)
	}
	if n := s.Records("nc:1"); n != 2 {
		t.Errorf("%d records, want two", n)
	}
	if book := s.Nonconformance("nc:1"); len(book) != 4 || book[0].Kind != "record_created" || book[3].Detail != "contained" {
		t.Errorf("book %+v", book)
	}
}

func TestSimulator_IllegalTransitionsAreAcknowledged(t *testing.T) {
	s, call := start(t, qms.Config{Token: "T"})
	id := s.AddRecord("nc:1", "Torque")
	for state, words := range map[string]string{"closed": "can't change state", "nonsense": "isn't a valid state"} {
		etag := call("GET", "/records/"+id, "").etag
		got := call("PATCH", "/records/"+id, `{"state":"`+state+`"}`, "If-Match", etag)
		if got.status != 200 || !strings.Contains(got.raw, words) {
			t.Errorf("%s: %d %s", state, got.status, got.raw)
		}
		if after := call("GET", "/records/"+id, ""); after.body["state"] != "opened" || after.etag != etag {
			t.Errorf("%s changed the record: %s", state, after.raw)
		}
	}
}

func TestSimulator_References(t *testing.T) {
	_, call := start(t, qms.Config{Token: "T", References: "dropped"})
	if got := call("POST", "/records", record); got.status != 201 || got.body["ref"] != nil {
		t.Errorf("dropped: %s", got.raw)
	}
	_, call = start(t, qms.Config{Token: "T", References: "missing"})
	if got := call("GET", "/records?ref=HF1", ""); got.status != 400 {
		t.Errorf("missing: %d", got.status)
	}
}

func TestSimulator_TokenAndFaults(t *testing.T) {
	s, call := start(t, qms.Config{Token: "other"})
	if got := call("GET", "/records", ""); got.status != 401 || s.BadTokens() != 1 {
		t.Errorf("a wrong token: %d", got.status)
	}
	s, call = start(t, qms.Config{Token: "T"})
	s.Snapshot()
	s.Faults.Add(fault.Fault{Kind: fault.LostAfter, Times: 1})
	if got := call("POST", "/records", record); got.status != 0 || len(s.Book()) != 1 {
		t.Errorf("an answer that was lost: %d, %d effects", got.status, len(s.Book()))
	}
	s.Restore()
	if got := call("GET", "/records", ""); got.body["total"] != 0.0 || len(s.Book()) != 1 {
		t.Errorf("restored: %s", got.raw)
	}
}
