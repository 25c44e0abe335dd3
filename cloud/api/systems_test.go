package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func (f *fixture) alerts(code event.Name) (subjects []string) {
	f.t.Helper()
	var list api.AlertList
	f.get("viewer", "/alerts").into(f.t, &list)
	for _, a := range list.Alerts {
		if a.Code == string(code) {
			subjects = append(subjects, a.Subject)
			if a.Owner == "" || a.NextStep == "" || a.Detail == "" {
				f.t.Errorf("alert is %+v", a)
			}
		}
	}
	return subjects
}

func TestAPI_Systems(t *testing.T) {
	f := newFixture(t)
	f.seed()
	f.mustApply("measure-b", "p1", measured(lotB, "61.2", "", "50"))
	golden(t, "systems", f.get("viewer", "/systems"))
	t.Run("those of other plants are not shown", func(t *testing.T) {
		var list api.SystemList
		if f.get("alice-p1", "/systems").into(t, &list); len(list.Systems) != 0 {
			t.Errorf("systems are %+v", list.Systems)
		}
	})
}

func TestAPI_Pause(t *testing.T) {
	f := newFixture(t)
	f.seed()
	pause := map[string]any{"seconds": 600, "reason": "maintenance of the ERP"}
	f.post("operator", "/systems/s9/pause", nil, pause).refused(t, http.StatusNotFound, problem.ObjectHidden)
	f.post("operator", "/systems/s4/pause", nil, map[string]any{"seconds": 600, "reason": " "}).refused(t, http.StatusUnprocessableEntity, problem.ReasonNeeded)
	f.post("operator", "/systems/s4/pause", nil, map[string]any{"seconds": 0, "reason": "x"}).refused(t, http.StatusUnprocessableEntity, problem.Usage)
	f.post("operator", "/systems/s4/resume", nil, map[string]string{"reason": "x"}).refused(t, http.StatusConflict, problem.RuleRefused)

	header := func() http.Header { return http.Header{"Idempotency-Key": {"k"}} }
	var list api.SystemList
	f.post("operator", "/systems/s4/pause", header(), pause).into(t, &list)
	if len(list.Off) != 1 || list.Off[0].System != "s4" || list.Off[0].By != "operator" || list.Off[0].Until.Sub(f.now) != 10*time.Minute || list.Systems[1].Dispatch || !list.Systems[0].Dispatch {
		t.Fatalf("systems are %+v", list)
	}
	if a := f.post("operator", "/systems/s4/pause", header(), pause); a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the same act again is another one: %s", a.body)
	}
	if got := f.alerts(workflow.AlertDispatch); len(got) != 1 || got[0] != "s4" {
		t.Errorf("alerts about %v", got)
	}
	f.post("operator", "/systems/s4/resume", nil, map[string]string{"reason": "done early"}).into(t, &list)
	if len(list.Off) != 0 || len(f.alerts(workflow.AlertDispatch)) != 0 {
		t.Errorf("systems are %+v", list)
	}
	t.Run("it ends by itself", func(t *testing.T) {
		f.post("operator", "/systems/s4/pause", nil, pause).into(t, &list)
		f.now = f.now.Add(10 * time.Minute)
		f.timers("the pause is over", func() bool { return len(f.alerts(workflow.AlertDispatch)) == 0 })
		if f.get("viewer", "/systems").into(t, &list); len(list.Off) != 0 || !list.Systems[1].Dispatch {
			t.Errorf("systems are %+v", list)
		}
	})
	t.Run("what has no end is an administrator's to turn on", func(t *testing.T) {
		f.post("admin", "/dispatch", nil, map[string]any{"on": false, "system": "s4", "reason": "cut-over"}).into(t, &list)
		f.post("operator", "/systems/s4/resume", nil, map[string]string{"reason": "x"}).refused(t, http.StatusForbidden, problem.RoleRefused)
		f.post("admin", "/systems/s4/resume", nil, map[string]string{"reason": "cut over"}).into(t, &list)
	})
}

func TestAPI_Dispatch(t *testing.T) {
	f := newFixture(t)
	f.seed()
	f.mustApply("measure-b", "p1", measured(lotB, "61.2", "", "50")) // a hold that the ERP is to enforce
	if err := f.engine.Restored(t.Context(), "the database ends at entry 4"); err != nil {
		t.Fatal(err)
	}
	if err := f.engine.Restored(t.Context(), "said again"); err != nil {
		t.Fatal(err)
	}
	golden(t, "systems-restored", f.get("viewer", "/systems"))
	golden(t, "alerts", f.get("viewer", "/alerts"))
	if got := f.alerts(workflow.AlertDispatch); len(got) != 1 || got[0] != workflow.AllSystems {
		t.Errorf("alerts about %v", got)
	}
	if f.acts(workflow.ActDispatchOff) != 1 {
		t.Error("the ledger does not say once that dispatch is off")
	}
	on := map[string]any{"on": true, "reason": "compared by hand"}
	f.post("quality", "/dispatch", nil, on).refused(t, http.StatusForbidden, problem.RoleRefused)
	f.post("admin", "/dispatch", nil, map[string]any{"on": false, "reason": "x"}).refused(t, http.StatusConflict, problem.RuleRefused)
	f.post("admin", "/dispatch", nil, map[string]any{"on": true, "system": "s9", "reason": "x"}).refused(t, http.StatusNotFound, problem.ObjectHidden)
	var list api.SystemList
	f.post("admin", "/dispatch", nil, on).into(t, &list)
	if len(list.Off) != 0 || !list.Systems[0].Dispatch || len(f.alerts(workflow.AlertDispatch)) != 0 {
		t.Errorf("systems are %+v", list)
	}
	f.post("admin", "/dispatch", nil, on).refused(t, http.StatusConflict, problem.RuleRefused)
	if f.acts(workflow.ActDispatchOn) != 1 {
		t.Error("the ledger does not say once that dispatch is on")
	}
}
