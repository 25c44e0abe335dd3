package qms_test

import (
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/test/sim/qms"
)

const inspected = `{"external_id":"inspection:mes1:I-1","ref":"HF1","lot":"lot::M:1","verdict":"failed","results":12,"colour":"red"}`

func TestSimulator_Inspections(t *testing.T) {
	s, call := start(t, qms.Config{Token: "T"})
	made := call("POST", "/inspections", inspected)
	if made.status != 201 || made.body["id"] != "INS-00001" || made.body["verdict"] != "failed" || made.body["colour"] != nil {
		t.Fatalf("made: %d %s", made.status, made.raw)
	}
	if got := call("GET", "/inspections/INS-00001", ""); got.status != 200 || got.body["ref"] != "HF1" {
		t.Errorf("read: %d %s", got.status, got.raw)
	}
	if again := call("POST", "/inspections", inspected); again.status != 201 || again.body["id"] != "INS-00002" {
		t.Errorf("a repeated create: %d %s; want a second record", again.status, again.raw)
	}
	if got := call("GET", "/inspections?ref=HF1", ""); !strings.Contains(got.raw, "INS-00002") {
		t.Errorf("by reference: %s", got.raw)
	}
	for query, want := range map[string]string{"ref=HF2": "[]", "lot=lot::M:1": "INS-00001", "lot=lot::M:2": "[]"} {
		if got := call("GET", "/inspections?"+query, ""); !strings.Contains(got.raw, want) {
			t.Errorf("%s: %s, want %s", query, got.raw, want)
		}
	}
	entries := s.Of("lot::M:1#inspection:mes1:I-1")
	if len(entries) != 2 || entries[0].Kind != "inspection_recorded" || entries[0].Detail != "failed" || entries[1].Record != "INS-00002" {
		t.Errorf("book: %+v", entries)
	}
	if got := s.Inspections("lot::M:1"); len(got) != 2 || got[0].Results != 12 {
		t.Errorf("the lot has %+v", got)
	}
	for body, want := range map[string]int{`{"lot":"lot::M:1","verdict":"perhaps"}`: 422, `{"verdict":"passed"}`: 422, `{`: 400} {
		if got := call("POST", "/inspections", body); got.status != want {
			t.Errorf("%s: %d, want %d", body, got.status, want)
		}
	}
	if got := call("GET", "/inspections/INS-09999", ""); got.status != 404 {
		t.Errorf("one that is not there: %d", got.status)
	}
	s.Snapshot()
	call("POST", "/inspections", inspected)
	if s.Restore(); len(s.Inspections("lot::M:1")) != 2 || len(s.Of("lot::M:1#inspection:mes1:I-1")) != 3 {
		t.Error("a restored backup has what came after it, or its book lost it")
	}
}

func TestSimulator_InspectionsLoseReferences(t *testing.T) {
	_, call := start(t, qms.Config{Token: "T", References: "dropped"})
	if made := call("POST", "/inspections", inspected); made.status != 201 || made.body["ref"] != nil {
		t.Errorf("made: %d %s", made.status, made.raw)
	}
	_, call = start(t, qms.Config{Token: "T", References: "missing"})
	if got := call("GET", "/inspections?ref=HF1", ""); got.status != 400 {
		t.Errorf("a query by a field that does not exist: %d", got.status)
	}
}
