package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// pounds has a plant report a lot in a unit that is not that of its material, which parks it.
func (f *fixture) pounds(lot event.LotKey) int64 {
	f.t.Helper()
	bad := created(lot)
	bad.Q.Unit = "lb"
	r := f.apply("pounds-"+string(lot), "p1", bad)
	if r.Outcome != workflow.Parked {
		f.t.Fatalf("outcome %s: %v", r.Outcome, r.Cause)
	}
	return r.Deadletter
}

func TestAPI_DeadletterGroups(t *testing.T) {
	f := newFixture(t)
	f.seed()
	first := f.now
	var ids []int64
	for i := range 7 {
		ids = append(ids, f.pounds(event.LotKey(fmt.Sprintf("lot:1000:MAT-100:L-13%d", i))))
		f.now = f.now.Add(time.Minute)
	}
	behind := f.apply("behind", "p1", passed("lot:1000:MAT-100:L-130", "43")).Deadletter
	f.now = f.now.Add(time.Minute)
	early := &event.HoldLifted{HoldID: "hold:mes:77", LiftedBy: "mes", LiftedAt: event.At(f.now), Authority: event.AuthorityOperator, Reason: "looked at again"}
	early.Lot = lotA
	if r := f.apply("early", "p1", early); r.Outcome != workflow.Waiting {
		t.Fatalf("outcome %s: %v", r.Outcome, r.Cause)
	}
	var list api.DeadletterGroups
	f.get("operator", "/deadletters/groups").into(t, &list)
	if len(list.Groups) != 3 || list.Count != 9 || list.More != 0 || !slices.Equal(list.Plants, []event.PlantID{"p1"}) {
		t.Fatalf("groups are %+v", list)
	}
	waits, parked, poison := &list.Groups[0], &list.Groups[1], &list.Groups[2]
	if waits.Code != problem.EventWaiting || !waits.DueAt.Equal(waits.FirstAt.Add(24*time.Hour)) || waits.States[0].State != store.Waiting {
		t.Errorf("what waits for its lot is %+v", waits)
	}
	if parked.Code != problem.EventParked || parked.Count != 1 || parked.Cause != "it waits behind an earlier record of the same lot or machine" {
		t.Errorf("what waits behind is %+v", parked)
	}
	if poison.Code != problem.EventPoison || poison.Count != 7 || poison.LotCount != 7 || len(poison.Lots) != 5 || poison.Owner != "quality" || !poison.DueAt.IsZero() ||
		poison.Cause != "quantity is in lb, the base unit of material MAT-100 is kg" || poison.Zone != "Europe/Berlin" ||
		poison.FirstAt.Before(first) || poison.LastAt.Sub(poison.FirstAt) < 6*time.Minute {
		t.Errorf("what fails is %+v", poison)
	}
	var other api.DeadletterGroups
	f.get("alice-p2", "/deadletters/groups").into(t, &other)
	if len(other.Groups) != 0 || len(other.Plants) != 0 {
		t.Errorf("another plant sees %+v", other)
	}
	f.get("operator", "/deadletters/groups?plant=p2").into(t, &other)
	if other.Count != 0 || !slices.Equal(other.Plants, []event.PlantID{"p1"}) {
		t.Errorf("of a plant without records: %+v", other)
	}
	t.Run("its records, page by page", func(t *testing.T) {
		var got []int64
		for after := int64(0); ; {
			var page api.DeadletterPage
			f.get("operator", fmt.Sprintf("/deadletters/groups/%s?limit=3&after=%d", poison.ID, after)).into(t, &page)
			for _, d := range page.Deadletters {
				got = append(got, d.ID)
			}
			if after = page.Next; after == 0 {
				break
			}
		}
		if !slices.Equal(got, ids) {
			t.Errorf("records %v, want %v", got, ids)
		}
	})
	t.Run("a record names its group", func(t *testing.T) {
		var d api.Deadletter
		f.get("operator", letterPath(ids[2])).into(t, &d)
		if d.Group != poison.ID {
			t.Errorf("group %s, want %s", d.Group, poison.ID)
		}
	})
	t.Run("redrive", func(t *testing.T) {
		path := "/deadletters/groups/" + poison.ID + "/redrive"
		f.post("operator", path, nil, map[string]string{"reason": " "}).refused(t, http.StatusUnprocessableEntity, problem.ReasonNeeded)
		f.post("alice-p2", path, nil, map[string]string{"reason": "again"}).refused(t, http.StatusConflict, problem.RuleRefused)
		var r api.GroupRedriven
		f.post("operator", path, nil, map[string]string{"reason": "again"}).into(t, &r)
		if r.Applied != 0 || r.Left != 7 || len(r.Results) != 7 || r.Results[0].Code != problem.EventPoison {
			t.Fatalf("before the cause is gone: %+v", r)
		}
		for _, id := range ids[:2] { // two are put right: their corrections wait under the same code, with another cause
			var d api.Deadletter
			f.get("quality", letterPath(id)).into(t, &d)
			f.post("quality", letterPath(id)+"/fix", nil, map[string]any{"reason": "scale", "value": rawJSON(bytes.Replace(d.Raw, []byte(`"lb"`), []byte(`"kg"`), 1))}).into(t, new(api.Fixed))
		}
		f.get("operator", "/deadletters/groups").into(t, &list)
		i := slices.IndexFunc(list.Groups, func(g api.DeadletterGroup) bool { return g.Cause == "corrected by quality, waits for redrive" })
		if i < 0 || list.Groups[i].Count != 2 {
			t.Fatalf("groups are %+v", list.Groups)
		}
		f.post("operator", "/deadletters/groups/"+list.Groups[i].ID+"/redrive", nil, map[string]string{"reason": "put right"}).into(t, &r)
		if r.Applied != 3 || r.Left != 0 || r.More {
			t.Errorf("two corrections and the record behind one: %+v", r)
		}
		var d api.Deadletter
		f.get("operator", letterPath(behind)).into(t, &d)
		if last := d.History[len(d.History)-1]; d.State != store.Redriven || d.Group != "" || last.Act != "redriven" || last.By != "operator" || last.Reason != "put right" {
			t.Errorf("the record behind is %+v", d)
		}
		f.get("operator", letterPath(ids[0])).into(t, &d)
		if d.State != store.Replaced || d.Replacement == 0 {
			t.Errorf("the record that was put right is %+v", d)
		}
		var next api.Deadletter
		if f.get("operator", letterPath(d.Replacement)).into(t, &next); next.Replaces != ids[0] {
			t.Errorf("its correction is %+v", next)
		}
	})
}

// rawJSON is JSON as it stands.
type rawJSON []byte

func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

func TestAPI_Difference(t *testing.T) {
	f := newFixture(t)
	f.seed()
	id := f.pounds("lot:1000:MAT-100:L-13")
	var d api.Deadletter
	f.get("quality", letterPath(id)).into(t, &d)
	path := letterPath(id) + "/difference"
	send := func(old, now string) *answer {
		value := bytes.Replace(d.Raw, []byte(old), []byte(now), 1)
		return f.post("quality", path, nil, map[string]any{"value": rawJSON(value)})
	}
	var diff api.Difference
	send(`"120","unit":"lb"`, `"54.4","unit":"kg"`).into(t, &diff)
	if len(diff.Changes) != 2 || diff.Changes[0].Path != "q.unit" || string(diff.Changes[0].Was) != `"lb"` || string(diff.Changes[1].Now) != `"54.4"` {
		t.Errorf("it differs by %+v", diff.Changes)
	}
	send("", "").into(t, &diff)
	if len(diff.Changes) != 0 {
		t.Errorf("the same differs by %+v", diff.Changes)
	}
	send(`"lb"`, `""`).refused(t, http.StatusUnprocessableEntity, problem.EventInvalid)
	send(`L-13`, `L-14`).refused(t, http.StatusUnprocessableEntity, problem.EventInvalid)
	f.post("alice-p2", path, nil, map[string]any{"value": rawJSON(d.Raw)}).refused(t, http.StatusNotFound, problem.ObjectHidden)
	f.get("quality", letterPath(id)).into(t, &d)
	if d.State != store.Parked || d.Attempts != 1 {
		t.Errorf("looking at a correction made the record %+v", d)
	}
	f.post("quality", letterPath(id)+"/fix", nil, map[string]any{"reason": "scale", "value": rawJSON(bytes.Replace(d.Raw, []byte("lb"), []byte("kg"), 1))}).into(t, new(api.Fixed))
	send("lb", "kg").refused(t, http.StatusConflict, problem.RuleRefused)
}
