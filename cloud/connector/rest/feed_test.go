package rest_test

import (
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/connector"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/test/sim/order"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
	"github.com/holdfast-mesh/holdfast/test/sim/service"
)

// sweep reads a feed to the end of a sweep, two views at a time, and calls between after each page.
func sweep(t *testing.T, s connector.System, cursor connector.Cursor, between func(page int)) (map[string]connector.View, connector.Cursor) {
	t.Helper()
	found := map[string]connector.View{}
	for page := range 50 {
		views, next, err := s.Changes(t.Context(), cursor, 2)
		if err != nil {
			t.Fatalf("changes: %v", err)
		}
		for _, v := range views {
			found[string(v.Kind)+" "+v.ID] = v
		}
		cursor = next
		if len(views) < 2 {
			return found, cursor
		}
		if between != nil {
			between(page)
		}
	}
	t.Fatal("the sweep does not end")
	return nil, ""
}

func TestClient_Changes_Decisions(t *testing.T) {
	at := time.Now().UTC().Truncate(time.Second) // one stamp for all
	sim, err := qms.New(qms.Config{Token: token, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	c := dialSim(t, "testdata/qms.rest.yaml", sim.Service)
	var ids []string
	for range 5 {
		ids = append(ids, sim.AwaitDisposition("lot:p1:M%20A:L%2F7", "500", "kg"))
	}
	sim.AddRecord("nc:1", "Torque")
	sign := func(id, decision string) {
		t.Helper()
		if err := sim.Sign(id, qms.Signature{Decision: decision, Name: "Eve Q", Reason: "all good", Condition: ""}); err != nil {
			t.Fatal(err)
		}
	}
	sign(ids[0], qms.Accepted)
	first, cursor := sweep(t, c, "", func(page int) {
		if page == 1 {
			sign(ids[1], qms.Scrapped) // behind the sweep
			sign(ids[4], qms.Rejected) // before it
		}
	})
	if len(first) != 6 {
		t.Fatalf("the sweep found %v, want five decisions and a record", first)
	}
	d := first["decision "+ids[0]]
	want := connector.Disposition{
		Version: 1, Q: event.Quantity{Value: "500", Unit: "kg"}, Decision: quality.Release, Raw: "accepted", SignedBy: "Eve Q", Reason: "all good", DecidedAt: at,
	}
	if d.Lot != "lot:p1:M%20A:L%2F7" || *d.Disposition != want || d.Ref.Kind != "decision" {
		t.Errorf("decision %+v, %+v; want %+v", d, *d.Disposition, want)
	}
	if open := first["decision "+ids[2]]; open.Disposition.SignedBy != "" || !open.Disposition.DecidedAt.IsZero() || open.Disposition.Decision != "" || open.ChangedAt.IsZero() {
		t.Errorf("what waits for a signature shows as %+v", open.Disposition)
	}
	second, _ := sweep(t, c, cursor, nil)
	if got := second["decision "+ids[1]]; got.Disposition == nil || got.Disposition.Decision != quality.Scrap {
		t.Errorf("the second sweep missed what was signed behind the first: %+v", second)
	}
	revised, err := sim.Revise(ids[0], qms.Signature{Decision: qms.Rework, Name: "Eve Q", Reason: "scratches"})
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectDecision, ID: revised})
	if err != nil || v.Disposition.Supersedes != ids[0] || v.Disposition.Decision != quality.ReworkLot {
		t.Errorf("revised: %+v, %v", v.Disposition, err)
	}
	if v, _, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectDecision, ID: "DSP-9"}); err != nil || v.Exists {
		t.Errorf("a decision that is not there: %+v, %v", v, err)
	}
}

func TestClient_Changes_Allocations(t *testing.T) {
	sim, err := order.New(order.Config{Config: service.Config{Token: token}})
	if err != nil {
		t.Fatal(err)
	}
	c := dialSim(t, "testdata/order.rest.yaml", sim.Service)
	if len(c.Kinds()) != 0 || !c.Caps().Feed {
		t.Errorf("an order system takes effects %v, feed %t", c.Kinds(), c.Caps().Feed)
	}
	promised := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	sim.AddLine(order.Line{Order: "SO-1", Line: "10", Customer: "ACME", Promised: promised})
	sim.AddLine(order.Line{Order: "SO-2", Line: "10", Customer: "Bolt"})
	id := sim.Allocate("SO-1", "10", "lot::M:1", "20", "kg")
	sim.Allocate("SO-2", "10", "lot::M:1", "5", "kg")
	sim.Allocate("SO-2", "10", "lot::M:2", "5", "kg")
	found, cursor := sweep(t, c, "", nil)
	want := connector.Allocation{
		Version: "1", Order: "SO-1", Line: "10", Customer: "ACME", Q: event.Quantity{Value: "20", Unit: "kg"}, PromisedAt: promised,
	}
	if got := found["allocation "+id]; len(found) != 3 || got.Lot != "lot::M:1" || *got.Allocation != want || got.ChangedAt.IsZero() {
		t.Errorf("found %+v", found)
	}
	sim.Release("SO-1", "10", "lot::M:1")
	found, _ = sweep(t, c, cursor, nil)
	if got := found["allocation "+id].Allocation; got == nil || got.Q.Value != "0" || got.Version != "2" {
		t.Errorf("taken back: %+v", got)
	}
}

func TestClient_Changes_Err(t *testing.T) {
	sim := newWarehouse(t, true)
	c := dialSim(t, "testdata/wms.rest.yaml", sim.Service)
	if _, _, err := c.Changes(t.Context(), "", 10); err == nil || c.Caps().Feed {
		t.Errorf("a system without a feed: %v", err)
	}
	if _, _, err := c.Read(t.Context(), connector.Object{Kind: connector.ObjectDecision, ID: "1"}); err == nil {
		t.Error("a decision was read from a warehouse")
	}
	q, _ := newRig(t)
	if _, _, err := q.Changes(t.Context(), "not a cursor", 10); err == nil {
		t.Error("a cursor of someone else was followed")
	}
}
