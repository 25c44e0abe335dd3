package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/store"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

func TestAPI_System(t *testing.T) {
	f := newFixture(t)
	f.seed()
	f.mustApply("measure-b", "p1", measured(lotB, "61.2", "", "50")) // a hold that the ERP and a record that the QMS is to have
	var rows []store.EffectRow
	if err := f.store.Update(t.Context(), func(tx *store.Tx) (err error) {
		rows, err = tx.ClaimEffects("test", []string{"qms1"}, 100, f.now, time.Minute)
		for i := range rows {
			r := &rows[i]
			if err == nil {
				err = tx.DeferEffect(r, f.now.Add(time.Minute), event.Unknown, "timeout", "no answer in 10 s")
			}
		}
		return err
	}); err != nil || len(rows) == 0 {
		t.Fatalf("%d effects, %v", len(rows), err)
	}
	f.now = f.now.Add(10 * time.Minute)
	f.post("operator", "/systems/qms1/pause", nil, map[string]any{"seconds": 600, "reason": "maintenance"}).into(t, new(api.SystemList))
	var d api.SystemDetail
	f.get("viewer", "/systems/qms1").into(t, &d)
	if d.ID != "qms1" || d.Dispatch || d.Answers || len(d.Off) != 1 || d.Health.Link != api.LinkDown || d.Health.P95 != 2 || d.Unknown != len(rows) || d.Exceptions != 0 ||
		d.Ages[2].Count != d.Waiting || d.Waiting == 0 || d.Ages[2].From != 300 {
		t.Errorf("the QMS is %+v", d)
	}
	var s4 api.SystemDetail
	f.get("viewer", "/systems/s4").into(t, &s4)
	if !s4.Dispatch || !s4.Answers || len(s4.Off) != 0 || s4.Restricting == 0 || s4.Unknown != 0 {
		t.Errorf("the ERP is %+v", s4)
	}
	var list api.SystemEffects
	f.get("viewer", "/systems/qms1/effects?what=unknown").into(t, &list)
	if len(list.Effects) != d.Unknown || list.More {
		t.Fatalf("effects are %+v", list)
	}
	if e := &list.Effects[0]; e.Lot == "" || e.Plant != "p1" || e.Zone != "Europe/Berlin" || e.Outcome != event.Unknown || e.Ref == "" || e.NextTryAt.IsZero() || e.Message == "" {
		t.Errorf("effect is %+v", e)
	}
	f.get("viewer", "/systems/s4/effects?limit=1").into(t, &list)
	if len(list.Effects) != 1 || !list.Effects[0].Restricting {
		t.Errorf("what restricts does not come first: %+v", list)
	}
	t.Run("what was refused needs a person", func(t *testing.T) {
		f.settle(func(r *store.EffectRow) workflow.Settlement {
			if r.System != "s4" {
				return applied(r)
			}
			return workflow.Settlement{Outcome: event.Rejected, Wanted: "restricted", Code: "M7/021", Message: "stock is locked by an inventory count"}
		})
		var s4 api.SystemDetail
		f.get("viewer", "/systems/s4").into(t, &s4)
		f.get("viewer", "/systems/s4/effects?what=exception").into(t, &list)
		if s4.Exceptions == 0 || len(list.Effects) != s4.Exceptions || list.Effects[0].Code != "M7/021" || list.Effects[0].State != store.EffectException {
			t.Errorf("%d, effects %+v", s4.Exceptions, list)
		}
	})
	f.get("viewer", "/systems/s9").refused(t, http.StatusNotFound, problem.ObjectHidden)
	f.get("viewer", "/systems/s4/effects?what=all").refused(t, http.StatusUnprocessableEntity, problem.Usage)
	f.get("alice-p1", "/systems/s4").refused(t, http.StatusNotFound, problem.ObjectHidden)
	f.get("alice-p1", "/systems/s4/effects").refused(t, http.StatusNotFound, problem.ObjectHidden)
}
