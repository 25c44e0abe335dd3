package order_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/order"
)

func TestSimulator(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	s, err := order.New(order.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s.AddLine(order.Line{Order: "SO-1", Line: "10", Customer: "ACME", Promised: now})
	if id := s.Allocate("SO-9", "10", "lot::M:1", "1", "kg"); id != "" {
		t.Errorf("a line that is not there counts on a lot: %s", id)
	}
	id := s.Allocate("SO-1", "10", "lot::M:1", "20", "kg")
	get := func() (found map[string]any) {
		t.Helper()
		w := httptest.NewRecorder()
		s.Handler.ServeHTTP(w, httptest.NewRequest("GET", "/allocations", nil))
		var body struct{ Allocations []map[string]any }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body.Allocations) != 1 {
			t.Fatalf("%s, %v", w.Body, err)
		}
		return body.Allocations[0]
	}
	if a := get(); a["id"] != id || a["version"] != 1.0 || a["updated_at"] != nil || a["quantity"] != "20" || a["batch"] != "1" {
		t.Errorf("fresh: %v", a)
	}
	s.Promise("SO-1", "10", now.Add(time.Hour))
	if a := get(); a["version"] != 2.0 || a["promised_at"] != "2026-11-24T13:00:00Z" || a["updated_at"] == nil {
		t.Errorf("another date: %v", a)
	}
	s.AddLine(order.Line{Order: "SO-1", Line: "10", Customer: "Bolt", Promised: now})
	if got := s.AllocatedTo("lot::M:1"); len(got) != 1 || got[0].Customer != "Bolt" || got[0].Version != 3 {
		t.Errorf("another customer: %+v", got)
	}
	if again := s.Allocate("SO-1", "10", "lot::M:1", "5", "kg"); again != id {
		t.Errorf("allocated again under %s", again)
	}
	s.Release("SO-1", "10", "lot::M:1")
	if a := get(); a["quantity"] != "0" || len(s.AllocatedTo("lot::M:1")) != 0 || len(s.Allocations()) != 1 {
		t.Errorf("taken back: %v", a)
	}
	w := httptest.NewRecorder()
	s.Handler.ServeHTTP(w, httptest.NewRequest("GET", "/allocations/AL-9", nil))
	if w.Code != 404 {
		t.Errorf("one that is not there: %d", w.Code)
	}
}
