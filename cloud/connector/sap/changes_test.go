package sap_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/fault"
	simulator "github.com/holdfast-mesh/holdfast/test/sim/sap"
)

func TestClient_Changes_InspectionLots(t *testing.T) {
	clock := newClock()
	r := inspected(t, simulator.Config{Now: clock.now, PageSize: 2})
	for n := range 5 {
		if _, err := r.sim.Receive(material, fmt.Sprintf("X-%d", n), "", "10"); err != nil {
			t.Fatal(err)
		}
	}
	cursor := connector.Cursor("")
	sweep := func() map[string]connector.View {
		t.Helper()
		found := map[string]connector.View{}
		for range 50 {
			views, next, err := r.Changes(t.Context(), cursor, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range views {
				found[string(v.Lot)] = v
			}
			cursor = next
			if len(views) < 3 {
				return found
			}
		}
		t.Fatal("the sweep does not end")
		return nil
	}
	if got := sweep(); len(got) != 6 {
		t.Errorf("the first sweep found %d lots, want 6", len(got))
	}
	clock.hour()
	if got := sweep(); len(got) != 0 { // by the answers' date, which is of today, nothing changed
		t.Errorf("a sweep without changes found %v", got)
	}
	if err := r.sim.DecideByHand(material, "X-3", "R"); err != nil {
		t.Fatal(err)
	}
	if err := r.sim.SetByHand(material, "X-1", event.Restricted); err != nil {
		t.Fatal(err)
	}
	got := sweep()
	decided, restricted := got[string(lotKey(t, material, "X-3"))], got[string(lotKey(t, material, "X-1"))]
	if len(got) != 2 || decided.Usage != event.InInspection || len(decided.Inspections) != 1 ||
		!slices.Contains(decided.Inspections[0].Decisions, quality.Reject) || restricted.Usage != event.Restricted {
		t.Errorf("after a decision and a restriction by hand: %+v", got)
	}
}

func TestClient_Changes_InspectionServiceFails(t *testing.T) {
	clock := newClock()
	r := inspected(t, simulator.Config{Now: clock.now})
	sweep := func(cursor connector.Cursor) ([]connector.View, connector.Cursor) {
		t.Helper()
		views, next, err := r.Changes(t.Context(), cursor, 10)
		if err != nil {
			t.Fatal(err)
		}
		return views, next
	}
	_, cursor := sweep("")
	clock.hour()
	r.decideByHand(t, "R")
	r.sim.AddBatch(material, "NEW", "1010", "1", "01")
	r.sim.Faults.Add(fault.Fault{Kind: fault.Status, Status: 500, On: "read", Path: "INSPECTIONLOT"})
	views, cursor := sweep(cursor)
	if len(views) != 1 || views[0].Lot != lotKey(t, material, "NEW") {
		t.Errorf("batches while the inspection service fails: %+v", views)
	}
	r.sim.Faults.Clear()
	var position map[string]any
	if err := json.Unmarshal([]byte(cursor), &position); err != nil {
		t.Fatal(err)
	}
	position["since"] = time.Now().Add(time.Hour) // other sweeps have gone by, far beyond the overlap
	late, err := json.Marshal(position)
	if err != nil {
		t.Fatal(err)
	}
	views, cursor = sweep(connector.Cursor(late))
	if !slices.ContainsFunc(views, func(v connector.View) bool { return v.Lot == lotKey(t, material, batch) }) {
		t.Errorf("what changed while it failed was not made up for: %+v", views)
	}
	if strings.Contains(string(cursor), "owed") {
		t.Errorf("cursor %s still owes something", cursor)
	}
}

func TestClient_Changes_OneBadBatchStopsNoOther(t *testing.T) {
	sim, err := simulator.New(simulator.Config{User: user, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []string{" A", "B", "C"} {
		sim.AddBatch(material, b, "1010", "10", "01")
	}
	views, _, err := altered(t, sim, "none", "", "").Changes(t.Context(), "", 10)
	if err != nil || len(views) != 2 || views[0].Lot != lotKey(t, material, "B") || views[1].Usage != event.Unrestricted {
		t.Errorf("a batch that can be no lot: %+v, %v", views, err)
	}
	views, _, err = altered(t, sim, "API_BATCH_SRV", `"MatlBatchIsInRstrcdUseStock"`, `"Other"`).Changes(t.Context(), "", 10)
	if err != nil || len(views) != 2 || views[1].Usage != event.OtherUsage || len(views[1].Also) != 0 {
		t.Errorf("batches that lack their flag: %+v, %v; want a usage that is not guessed", views, err)
	}
}

func TestClient_Changes_AsksForManyTogether(t *testing.T) {
	sim, err := simulator.New(simulator.Config{User: user, Password: password, QM: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 40 {
		if _, err := sim.Receive(material, fmt.Sprintf("X-%d", n), "", "10"); err != nil {
			t.Fatal(err)
		}
	}
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		sim.Handler.ServeHTTP(w, r)
	}))
	defer server.Close()
	views, _, err := dial(t, server.URL, password).Changes(t.Context(), "", 40)
	if err != nil || len(views) != 40 || len(views[39].Stock) != 1 || len(views[39].Inspections) != 1 {
		t.Fatalf("%d views, %v", len(views), err)
	}
	if calls > 6 {
		t.Errorf("%d calls for 40 batches: the system's rate would be spent on reading", calls)
	}
}
