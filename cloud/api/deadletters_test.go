package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestAPI_Deadletters(t *testing.T) {
	f := newFixture(t)
	f.seed()
	// A quantity in another unit than the material's makes the handler fail: the key parks.
	lot := event.LotKey("lot:1000:MAT-100:L-13")
	bad := created(lot)
	bad.Q.Unit = "lb"
	if r := f.apply("bad", "p1", bad); r.Outcome != workflow.Parked {
		t.Fatalf("outcome %s: %v", r.Outcome, r.Cause)
	}
	golden(t, "deadletters", f.get("quality", "/deadletters"))
	golden(t, "deadletter", f.get("quality", "/deadletters/1"))
	t.Run("LotThatOnlyWaits", func(t *testing.T) {
		a := f.get("viewer", lotPath(lot))
		a.refused(t, http.StatusNotFound, problem.ObjectHidden)
		if !strings.Contains(string(a.body), "see dead letter 1") {
			t.Errorf("answer %s does not name the dead letter", a.body)
		}
		var trace api.Trace
		f.get("viewer", "/trace/"+url.PathEscape(string(lot))).into(t, &trace)
		if len(trace.Hops) != 1 || trace.Hops[0].Stage != api.StageKept {
			t.Errorf("trace %+v", trace)
		}
	})
	reason := map[string]string{"reason": "again"}
	var r api.Redriven
	f.post("quality", "/deadletters/1/redrive", nil, reason).into(t, &r)
	if r.Applied != 0 || r.Left != 1 || r.Results[0].Code != problem.EventPoison {
		t.Errorf("redriven %+v", r)
	}
	value := func(change func(map[string]any)) map[string]any {
		var d api.Deadletter
		f.get("quality", "/deadletters/1").into(t, &d)
		var v map[string]any
		if err := json.Unmarshal(d.Raw, &v); err != nil {
			t.Fatal(err)
		}
		change(v)
		return v
	}
	t.Run("ErrFixOtherLot", func(t *testing.T) {
		f.post("quality", "/deadletters/1/fix", nil, map[string]any{
			"reason": "unit", "value": value(func(v map[string]any) { v["lot"] = string(lotA) }),
		}).refused(t, http.StatusUnprocessableEntity, problem.EventInvalid)
	})
	var fixed api.Fixed
	f.post("quality", "/deadletters/1/fix", nil, map[string]any{
		"reason": "the scale was set to pounds", "value": value(func(v map[string]any) { v["q"] = map[string]string{"value": "54.4", "unit": "kg"} }),
	}).into(t, &fixed)
	f.post("operator", fmt.Sprintf("/deadletters/%d/redrive", fixed.ID), nil, reason).into(t, &r)
	if r.Applied != 1 || r.Left != 0 {
		t.Errorf("redriven %+v", r)
	}
	var l api.Lot
	f.get("viewer", lotPath(lot)).into(t, &l)
	if l.Quantity.Value != "54.4" {
		t.Errorf("quantity %+v", l.Quantity)
	}
	t.Run("ErrClosed", func(t *testing.T) {
		f.post("quality", "/deadletters/1/redrive", nil, reason).refused(t, http.StatusConflict, problem.RuleRefused)
	})
	t.Run("ErrUnknown", func(t *testing.T) {
		f.get("quality", "/deadletters/99").refused(t, http.StatusNotFound, problem.ObjectHidden)
	})
	var page api.DeadletterPage
	f.get("quality", "/deadletters?closed=true").into(t, &page)
	if len(page.Deadletters) != 2 {
		t.Errorf("%d records with the closed ones, want 2", len(page.Deadletters))
	}
}
