package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/quality"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// TestAPI_Takeback: a lot was shipped in part and begun to be picked between its release and a hold.
func TestAPI_Takeback(t *testing.T) {
	f := newFixture(t)
	f.seed()
	const lot = event.LotKey("lot:1000:MAT-100:L-88600")
	f.mustApply("lot-g", "p1", created(lot))
	f.settle(applied)
	f.answer("p1")
	f.timers("the lot is granted", func() bool { return f.release(lot) == quality.Releasing })
	f.settle(applied)
	if got := f.release(lot); got != quality.Released {
		t.Fatalf("the lot is %s", got)
	}
	f.now = f.now.Add(20 * time.Minute)
	f.post("quality", lotPath(lot)+"/holds", http.Header{"Idempotency-Key": {"late"}}, map[string]string{"reason": "customer complaint 119"})

	words := func() string {
		var l api.Lot
		f.get("viewer", lotPath(lot)).into(t, &l)
		return strings.Join(l.Words, "\n")
	}
	if got := words(); !strings.Contains(got, "What moved meanwhile is not known yet") {
		t.Errorf("before a system was read the words are\n%s", got)
	}
	var moved []event.Movement
	restrict := func(r *store.EffectRow) workflow.Settlement {
		s := applied(r)
		if r.Kind == quality.LotUsageSet && r.Lot == lot {
			s.Usage, s.UsageRaw, s.Own = event.Restricted, "batch restricted", event.Restricted
			s.MovedSince, s.Moved = f.now.Add(-20*time.Minute), moved
		}
		return s
	}
	f.settle(restrict)
	if got := words(); !strings.Contains(got, "Nothing of it moved meanwhile, as s4 shows.") {
		t.Errorf("nothing moved, and the words are\n%s", got)
	}
	moved = []event.Movement{
		{Document: "2026/4900000119/1", Kind: "601", To: "80001234", Q: event.Quantity{Value: "120", Unit: "kg"}, At: event.At(f.now.Add(-10 * time.Minute))},
		{Document: "T-7", Kind: "pick", To: "SO-1/10", UnderWay: true, Warehouse: true},
		{Document: "T-8", Kind: "pick", To: "SO-2/10", Warehouse: true},
	}
	f.post("quality", lotPath(lot)+"/holds", http.Header{"Idempotency-Key": {"later"}}, map[string]string{"reason": "customer complaint 120"})
	f.settle(restrict)
	golden(t, "lot-takeback", f.get("viewer", lotPath(lot)))
}
