package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/test/sim/qms"
)

// lot returns a lot as the cloud shows it.
func (c *firm) lot(b *batch) (found api.Lot) {
	c.t.Helper()
	out, _, code := cloudCLI(c.t, c.Stack, "lots", "show", string(b.key), "-o", "json")
	if err := json.Unmarshal([]byte(out), &found); code != 0 || err != nil {
		c.t.Fatalf("lots show exits %d: %v", code, err)
	}
	return found
}

// TestF16_LateHoldListsWhatMoved: part of a released lot is delivered to a customer and another part issued to an order;
// then a hold comes. It takes the release back, and says by document and quantity what has left meanwhile.
func TestF16_LateHoldListsWhatMoved(t *testing.T) {
	t.Parallel()
	c := startFirm(t, 1, nil)
	lots := c.lots(2, 0)
	late, other := lots[0], lots[1]
	c.make(lots)
	for _, b := range lots {
		c.release(b)
	}
	c.await(30*time.Second, lots, quality.Released)
	for _, b := range lots {
		// The record of its inspection is in the QMS, once.
		eventually(t, 10*time.Second, "the inspection is recorded in the QMS", func() bool { return len(c.QMS.Inspections(string(b.key))) > 0 })
		if got := c.QMS.Inspections(string(b.key)); len(got) != 1 || got[0].Verdict != qms.Passed {
			t.Errorf("lot %s has the inspections %+v in the QMS, want one that passed", b.key, got)
		}
	}
	erp := c.erp(late)
	delivered, err := erp.Deliver(material, late.number, "", "20.5", "80001234")
	if err != nil {
		t.Fatal(err)
	}
	issued, err := erp.Issue(material, late.number, "", "30", "1000042")
	if err != nil {
		t.Fatal(err)
	}
	c.say(0, c.hold(late))
	c.await(20*time.Second, []*batch{late}, quality.Held)
	eventually(t, 20*time.Second, "the hold takes the release back", func() bool { return !c.free(late) })
	var moved []api.Movement
	eventually(t, 20*time.Second, "the lot says what moved", func() bool {
		if v := c.lot(late).Takeback; v != nil {
			moved = v.Moved
		}
		return len(moved) > 0
	})
	for _, want := range []struct{ document, kind, to, quantity string }{{delivered, "601", "80001234", "20.5"}, {issued, "261", "1000042", "30"}} {
		if !slices.ContainsFunc(moved, func(m api.Movement) bool {
			return strings.Contains(m.Document, "/"+want.document+"/") && m.Kind == want.kind && m.To == want.to && m.Quantity != nil && string(m.Quantity.Value) == want.quantity
		}) {
			t.Errorf("movements %+v lack %+v", moved, want)
		}
	}
	if len(moved) != 2 {
		t.Errorf("%d movements, want 2: %+v", len(moved), moved)
	}
	if v := c.lot(other).Takeback; v != nil {
		t.Errorf("the other lot's release was taken back: %+v", v)
	}
	if _, err := erp.Deliver(material, late.number, "", "1", "80001235"); err == nil {
		t.Error("more of the lot was delivered after the hold")
	}
}
