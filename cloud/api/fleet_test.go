package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mesh/holdfast/cloud/api"
	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
	"github.com/holdfast-mesh/holdfast/pkg/problem"
)

// head states how far the fixture's agent of a plant is, and how it stands.
func (f *fixture) head(plant event.PlantID, told time.Time, said *event.AgentStatus) {
	f.t.Helper()
	h := event.Head{
		Plant: plant, Agent: "a1", Epoch: f.epoch, Prev: f.prev, Time: told, Epochs: []event.HeadEpoch{{Epoch: f.epoch, Quality: f.seq[plant]}}, Status: said,
	}
	results, err := f.engine.Apply(f.t.Context(), []workflow.Input{{Message: h.Message(), Plant: plant}}, nil)
	if err != nil || results[0].Outcome != workflow.Accepted {
		f.t.Fatalf("head: %+v, %v", results, err)
	}
}

func standing() *event.AgentStatus {
	began := event.At(start().Add(-time.Hour))
	return &event.AgentStatus{
		Version: "1.4.0", Started: began, LinkSince: began, Urgent: 1, Clock: event.HostClock{Synchronised: true}, CertificatesEnd: event.At(start().AddDate(0, 0, 12)),
		Backlog: []event.LaneBacklog{{Lane: event.LaneQuality, Events: 1207, Bytes: 4 << 20, Oldest: began, Drain: 90}, {Lane: event.LaneTelemetry}},
		Sources: []event.SourceStanding{{ID: "press-4", State: "stale", Since: began, Problem: "E-4103", Items: 8, Bad: 8, OpenGaps: 1}},
	}
}

// The fleet shows of each agent how it is heard, what it says itself, and what is open at its plant.
func TestAPI_Fleet(t *testing.T) {
	f := newFixture(t)
	f.seed()
	f.head("p1", f.now.Add(3*time.Second), standing())
	var fleet api.Fleet
	get := func(who, path string) {
		t.Helper()
		fleet = api.Fleet{}
		f.get(who, path).into(t, &fleet)
	}
	get("viewer", "/fleet")
	if len(fleet.Plants) != 2 || fleet.Plants[0].Plant != "p1" || len(fleet.Plants[0].Agents) != 1 || fleet.Plants[0].Zone != "Europe/Berlin" {
		t.Fatalf("fleet is %+v", fleet)
	}
	p, a := &fleet.Plants[0], &fleet.Plants[0].Agents[0]
	if a.Agent != "a1" || a.Hearing != api.HearingUp || a.State != api.EpochCurrent || a.Skew == nil || *a.Skew < 2.9 || *a.Skew > 3.1 {
		t.Errorf("agent is %+v", a)
	}
	if diff := cmp.Diff(standing(), a.Standing); diff != "" {
		t.Errorf("what it says differs (-want +got):\n%s", diff)
	}
	if p.Lots == 0 || p.LastAccepted.IsZero() || p.Waits == nil {
		t.Errorf("plant is %+v", p)
	}
	if other := &fleet.Plants[1]; len(other.Agents) != 1 || other.Agents[0].Hearing != api.HearingNever || other.Agents[0].Standing != nil {
		t.Errorf("a plant that states nothing is %+v", other)
	}

	f.now = f.now.Add(46 * time.Second)
	get("viewer", "/fleet?plant=p1")
	if len(fleet.Plants) != 1 || fleet.Plants[0].Agents[0].Hearing != api.HearingLate {
		t.Errorf("after a head that did not come: %+v", fleet)
	}
	f.now = f.now.Add(80 * time.Second)
	get("alice-p1", "/fleet")
	if len(fleet.Plants) != 1 || fleet.Plants[0].Agents[0].Hearing != api.HearingSilent {
		t.Errorf("after two minutes: %+v", fleet)
	}
	f.head("p1", f.now, nil)
	get("alice-p1", "/fleet")
	if a := fleet.Plants[0].Agents[0]; a.Hearing != api.HearingUp || a.Standing != nil {
		t.Errorf("after a head that says nothing: %+v", a)
	}
	f.get("viewer", "/fleet?plant=p9").refused(t, http.StatusNotFound, problem.ObjectHidden)
	f.get("alice-p1", "/fleet?plant=p2").refused(t, http.StatusNotFound, problem.ObjectHidden)
}

// What keeps releases is counted at its plant.
func TestAPI_Fleet_Open(t *testing.T) {
	f := newFixture(t)
	f.seed()
	const lot = event.LotKey("lot:1000:MAT-100:L-88500")
	f.mustApply("lot-f", "p1", created(lot))
	f.gap(lot)
	var fleet api.Fleet
	f.get("viewer", "/fleet?plant=p1").into(t, &fleet)
	var c api.Coverage
	f.get("viewer", "/coverage?plant=p1").into(t, &c)
	if p := fleet.Plants[0]; p.Gaps == 0 || p.Gaps != len(c.Gaps) {
		t.Errorf("%d gaps, and %d in the list", p.Gaps, len(c.Gaps))
	}
	waits := 0
	for _, w := range fleet.Plants[0].Waits {
		if w.Reason == "gap" {
			waits = int(w.Lots)
		}
	}
	if waits == 0 {
		t.Errorf("no lot waits for the gap: %+v", fleet.Plants[0].Waits)
	}
}
