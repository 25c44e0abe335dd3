package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const replaced = event.Epoch("ffeeddccbbaa99887766554433221100")

// replace makes what the fixture sends from now on come from a gateway without memory.
func (f *fixture) replace() { f.epoch, f.seq["p1"] = replaced, 0 }

// timers runs the engine's timers until ok, with a clock that stands still.
func (f *fixture) timers(what string, ok func() bool) {
	f.t.Helper()
	ctx, stop := context.WithCancel(f.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.engine.Run(ctx) }()
	deadline, tick := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			f.t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
	stop()
	if err := <-ended; err != nil {
		f.t.Fatal(err)
	}
}

func TestAPI_Agents(t *testing.T) {
	f := newFixture(t)
	f.seed()
	f.replace()
	if r := f.apply("new", "p1", created("lot:1000:MAT-100:L-88300")); r.Outcome != workflow.Quarantined || problem.CodeOf(r.Cause) != problem.EpochFork {
		t.Fatalf("a record of a gateway without memory is %+v", r)
	}
	golden(t, "agents", f.get("viewer", "/agents"))

	path := "/agents/p1/a1/epochs/" + string(replaced) + "/decision"
	accept := map[string]string{"decision": "accepted", "reason": "disk replaced, ticket 4711"}
	f.post("quality", path, nil, map[string]string{"decision": "accepted"}).refused(t, http.StatusUnprocessableEntity, problem.Usage)
	f.post("quality", path, nil, map[string]string{"decision": "accepted", "reason": " "}).refused(t, http.StatusUnprocessableEntity, problem.ReasonNeeded)
	f.post("quality", path, nil, map[string]string{"decision": "perhaps", "reason": "x"}).refused(t, http.StatusUnprocessableEntity, problem.Usage)
	f.post("quality", strings.Replace(path, "a1", "a9", 1), nil, accept).refused(t, http.StatusNotFound, problem.ObjectHidden)
	f.post("quality", strings.Replace(path, string(replaced), string(epoch), 1), nil, accept).refused(t, http.StatusConflict, problem.RuleRefused)

	var e api.AgentEpoch
	key := http.Header{"Idempotency-Key": {"k1"}}
	golden(t, "agents-decided", f.post("admin", path, key.Clone(), accept))
	a := f.post("admin", path, key.Clone(), accept)
	if a.into(t, &e); a.header.Get("Idempotent-Replayed") != "true" {
		t.Error("the same act again is another one")
	}
	f.timers("what was kept is applied", func() bool {
		var list api.AgentList
		f.get("viewer", "/agents?plant=p1").into(t, &list)
		for _, x := range list.Agents {
			if x.Epoch == replaced {
				e = x
			}
		}
		return e.State == api.EpochCurrent
	})
	if e.DecidedBy != "admin" || e.Reason != "disk replaced, ticket 4711" || e.Quality != 1 {
		t.Errorf("the epoch is %+v", e)
	}
	var lot api.Lot
	f.get("viewer", "/lots/lot:1000:MAT-100:L-88300").into(t, &lot)
	if f.acts(workflow.ActEpochDecide) != 1 {
		t.Error("the decision has no ledger entry")
	}
}

func TestAPI_AgentsOfOtherPlants(t *testing.T) {
	f := newFixture(t)
	f.seed()
	var list api.AgentList
	f.get("alice-p1", "/agents").into(t, &list)
	for _, e := range list.Agents {
		if e.Plant != "p1" {
			t.Errorf("alice sees %+v", e)
		}
	}
	f.post("alice-p1", "/agents/p2/a1/epochs/"+string(epoch)+"/decision", nil, map[string]string{"decision": "accepted", "reason": "x"}).
		refused(t, http.StatusNotFound, problem.ObjectHidden)
	if f.acts("access.hidden") != 1 {
		t.Error("the attempt is not in the ledger")
	}
}
