package api_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestAPI_ScopeHold(t *testing.T) {
	f := newFixture(t)
	f.seed()
	var h api.Hold
	f.post("quality", "/holds", nil, map[string]any{
		"reason": "supplier recall", "kind": "recall", "scope": map[string]string{"kind": "material", "value": "MAT-100", "plant": "p1"},
	}).into(t, &h)
	var lot api.Lot
	f.get("viewer", lotPath(lotB)).into(t, &lot)
	if lot.MayMove || len(lot.OpenHolds) != 1 || lot.OpenHolds[0].Scope == nil {
		t.Errorf("lot of the scope: %+v", lot)
	}
	f.get("viewer", lotPath(lotC)).into(t, &lot)
	if len(lot.OpenHolds) != 0 {
		t.Errorf("lot outside of the scope: %+v", lot.OpenHolds)
	}
	var o api.Overview
	f.get("viewer", "/overview").into(t, &o)
	if o.Plants[0].Held != 2 || o.Plants[1].Held != 0 {
		t.Errorf("overview counts %+v", o.Plants)
	}
	var page api.LotPage
	f.get("viewer", "/lots?state=held").into(t, &page)
	if len(page.Lots) != 2 {
		t.Errorf("%d lots held, want 2", len(page.Lots))
	}
	var list api.HoldList
	f.get("viewer", "/holds").into(t, &list)
	if len(list.Holds) != 1 || list.Holds[0].ID != h.ID {
		t.Errorf("holds %+v", list.Holds)
	}
	reason := map[string]string{"reason": "cleared"}
	f.post("quality", lotPath(lotB)+"/holds/"+url.PathEscape(string(h.ID))+"/lift", nil, reason).
		refused(t, http.StatusConflict, problem.RuleRefused)
	f.post("quality", "/holds/"+url.PathEscape(string(h.ID))+"/lift", nil, reason).into(t, &h)
	if h.LiftedBy != "quality" {
		t.Errorf("hold %+v", h)
	}
	f.post("quality", "/holds", nil, map[string]any{"reason": "x", "scope": map[string]string{"kind": "material", "value": "MAT-100"}}).
		refused(t, http.StatusUnprocessableEntity, problem.EventInvalid)
}
