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
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

const retirement = "/agents/p1/a1/retirement"

// await polls until ok.
func (f *fixture) await(what string, ok func() bool) {
	f.t.Helper()
	deadline, tick := time.After(10*time.Second), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			f.t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

func (f *fixture) asked() bool {
	f.t.Helper()
	asked := false
	if err := f.store.View(f.t.Context(), func(tx *store.Tx) error {
		row, err := tx.AgentRow("p1", "a1")
		asked = row.Asked > 0
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	return asked
}

// TestAPI_Retire_Whole: an agent that answers and of which nothing is missing goes by the word of one.
func TestAPI_Retire_Whole(t *testing.T) {
	f := newFixture(t, func(c *api.Config) { c.AnswerWithin = 10 * time.Second })
	f.seed()
	reason := map[string]string{"reason": "line 4 was sold"}
	answered := make(chan *answer, 1)
	go func() { answered <- f.post("admin", retirement, http.Header{"Idempotency-Key": {"k"}}, reason) }()
	f.await("the agent is asked", f.asked)
	f.answer("p1")
	var r api.Retired
	(<-answered).into(t, &r)
	if !r.Answered || r.Missing != "" || len(r.Signatures) != 0 {
		t.Fatalf("retired is %+v", r)
	}
	golden(t, "agents-retired", f.get("viewer", "/agents"))
	var list api.AgentList
	f.get("viewer", "/agents?plant=p1").into(t, &list)
	if len(list.Agents) != 1 || list.Agents[0].State != api.EpochRetired || list.Agents[0].DecidedBy != "admin" || list.Agents[0].Reason != "line 4 was sold" {
		t.Errorf("agents are %+v", list.Agents)
	}
	if a := f.post("admin", retirement, http.Header{"Idempotency-Key": {"k"}}, reason); a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the same act again is another one: %s", a.body)
	}
	f.post("admin", retirement, nil, reason).refused(t, http.StatusConflict, problem.RuleRefused)
	f.get("viewer", "/agents/p1/a1/rest").refused(t, http.StatusConflict, problem.RuleRefused)
	t.Run("what it sends later is kept, and told", func(t *testing.T) {
		if r := f.apply("late", "p1", created("lot:1000:MAT-100:L-88700")); r.Outcome != workflow.Quarantined || problem.CodeOf(r.Cause) != problem.EpochFork {
			t.Errorf("it is %s: %v", r.Outcome, r.Cause)
		}
		var alerts api.AlertList
		f.get("alice-p1", "/alerts").into(t, &alerts)
		if len(alerts.Alerts) != 1 || alerts.Alerts[0].Code != string(workflow.AlertRetired) || alerts.Alerts[0].Subject != "p1/a1" {
			t.Errorf("alerts are %+v", alerts)
		}
	})
	if f.acts(workflow.ActAgentRetire) != 1 {
		t.Error("the retirement has no ledger entry")
	}
}

// TestAPI_Retire_Signed: what is not known of an agent that is gone, two persons sign for; lots go on without it.
func TestAPI_Retire_Signed(t *testing.T) {
	f := newFixture(t)
	f.seed()
	f.addUser("alice", "Alice Weber", "4711", "quality")
	f.addUser("bob", "Bob Stein", "4712", "quality")
	const lotE = event.LotKey("lot:1000:MAT-100:L-88800")
	f.mustApply("lot-e", "p1", created(lotE))
	f.timers("the lot asks", func() bool { return f.asked() })
	f.seq["p1"] += 2 // two records never come
	f.mustApply("measure-e", "p1", passed(lotA, "40"))

	path := "/agents/p1/a1/rest"
	var rest api.AgentRest
	f.get("viewer", path).into(t, &rest)
	if !strings.HasSuffix(rest.Missing, "of epoch "+string(epoch)) || !rest.Asked || rest.InNumber != 2 || rest.HeadAt.IsZero() {
		t.Fatalf("the rest is %+v", rest)
	}
	f.get("alice-p2", path).refused(t, http.StatusNotFound, problem.ObjectHidden)
	sign := func(missing string, signers ...string) map[string]any {
		body := signed("burnt down", signers...)
		body["missing"] = missing
		return body
	}
	f.post("admin", retirement, nil, map[string]string{"reason": "burnt down"}).refused(t, http.StatusConflict, problem.RuleRefused)
	f.post("quality", retirement, nil, sign(rest.Missing, "alice")).refused(t, http.StatusConflict, problem.RuleRefused)
	f.post("quality", retirement, nil, sign("nothing", "alice", "bob")).refused(t, http.StatusPreconditionFailed, problem.StateMoved)
	f.post("quality", "/agents/p1/a9/retirement", nil, sign("", "alice", "bob")).refused(t, http.StatusNotFound, problem.ObjectHidden)
	f.post("alice-p2", retirement, nil, sign(rest.Missing, "alice", "bob")).refused(t, http.StatusNotFound, problem.ObjectHidden)

	var r api.Retired
	f.post("quality", retirement, nil, sign(rest.Missing, "alice", "bob")).into(t, &r)
	if r.Answered || r.Missing != rest.Missing || len(r.Signatures) != 2 || r.Signatures[0].Meaning == "" {
		t.Fatalf("retired is %+v", r)
	}
	f.timers("the lot is granted without it", func() bool { return f.release(lotE) == quality.Releasing })
	var c api.Coverage
	f.get("viewer", "/coverage?plant=p1").into(t, &c)
	if len(c.Gaps) != 0 || len(c.Answers) != 0 {
		t.Errorf("coverage of the plant is %+v", c)
	}
	f.silent()
}

// TestAPI_Retire_Back: an agent that starts again waits for a person, who puts it back into service.
func TestAPI_Retire_Back(t *testing.T) {
	f := newFixture(t)
	f.seed()
	f.addUser("alice", "Alice Weber", "4711", "quality")
	f.addUser("bob", "Bob Stein", "4712", "quality")
	var r api.Retired
	f.post("quality", retirement, nil, signed("moved to another hall", "alice", "bob")).into(t, &r)
	last := f.seq["p1"]
	f.epoch, f.seq["p1"], f.prev = replaced, 0, event.NewPrev(epoch, last, 0)
	if r := f.apply("again", "p1", created("lot:1000:MAT-100:L-88900")); r.Outcome != workflow.Quarantined {
		t.Fatalf("it is %s: %v", r.Outcome, r.Cause)
	}
	if r := f.apply("unsafe", "p1", &event.SafetyFailed{
		OfLot: event.OfLot{Lot: lotB}, Characteristic: "torque", Evaluation: event.Fail, Value: "61.2", Unit: "N.m", USL: "50", Equipment: "press-4",
		MeasuredAt: event.At(f.now),
	}); r.Outcome != workflow.Accepted {
		t.Errorf("what forbids is %s: %v", r.Outcome, r.Cause)
	}
	var e api.AgentEpoch
	f.post("quality", "/agents/p1/a1/epochs/"+string(replaced)+"/decision", nil, map[string]string{"decision": "accepted", "reason": "it serves hall 2"}).into(t, &e)
	f.timers("what was kept is applied", func() bool {
		var list api.AgentList
		f.get("viewer", "/agents?plant=p1").into(t, &list)
		return len(list.Agents) == 1 && list.Agents[0].State == api.EpochCurrent
	})
	var alerts api.AlertList
	if f.get("viewer", "/alerts").into(t, &alerts); len(alerts.Alerts) != 0 {
		t.Errorf("alerts are %+v", alerts)
	}
	f.get("viewer", "/lots/lot:1000:MAT-100:L-88900").into(t, &api.Lot{})
}
