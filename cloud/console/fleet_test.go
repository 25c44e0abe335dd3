package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/cloud/workflow"
	"github.com/holdfast-mesh/holdfast/pkg/event"
)

// head has the agent of a plant state how far it is, and how it stands.
func (f *fixture) head(plant event.PlantID, told time.Time, said *event.AgentStatus) {
	f.t.Helper()
	h := event.Head{
		Plant: plant, Agent: "a1", Epoch: epoch, Prev: event.NoPrev, Time: told, Epochs: []event.HeadEpoch{{Epoch: epoch, Quality: f.seq[plant]}}, Status: said,
	}
	results, err := f.engine.Apply(f.t.Context(), []workflow.Input{{Message: h.Message(), Plant: plant}}, nil)
	if err != nil || results[0].Outcome != workflow.Accepted {
		f.t.Fatalf("head: %+v, %v", results, err)
	}
}

// standing is what an agent says after an outage: much is not sent yet, and a machine is silent.
func (f *fixture) standing() *event.AgentStatus {
	began := event.At(f.now.Add(-3 * time.Hour))
	return &event.AgentStatus{
		Version: "1.4.0", Started: began, LinkSince: event.At(f.now.Add(-20 * time.Second)), Urgent: 3, Clock: event.HostClock{Synchronised: true, Offset: "-0.0021"},
		CertificatesEnd: event.At(f.now.AddDate(0, 0, 12)),
		Backlog: []event.LaneBacklog{
			{Lane: event.LaneQuality, Events: 1207, Bytes: 4 << 20, Oldest: event.At(f.now.Add(-170 * time.Minute)), Drain: 95},
			{Lane: event.LaneTelemetry},
		},
		Sources: []event.SourceStanding{
			{ID: "press-4", State: "stale", Since: began, Last: began, Problem: "E-4103", Items: 8, Bad: 8, OpenGaps: 1},
			{ID: "mes", State: "live", Since: began, Last: event.At(f.now)},
		},
		Omitted: 2,
	}
}

// The fleet shows how each agent is heard, what waits on its disk, and what is open at its plant.
func TestConsole_Fleet(t *testing.T) {
	f := newFixture(t, "")
	f.user("maria", false, nil, "quality")
	b := f.browser()
	b.logIn("maria")
	b.get("/fleet").shows(http.StatusOK, "2 plants, 0 agents", "No agent of this plant is in service.")
	f.seed()
	f.gap()
	f.head("p1", f.now.Add(-time.Second), f.standing())
	p := b.get("/fleet")
	p.shows(http.StatusOK, "2 plants, 2 agents", "1 not heard", `href="/plants/p1"`, "1.4.0", "<strong>1,207</strong> quality, 4.0 MiB", "oldest 2 h 50 min", "sent in 1 min",
		"telemetry: all sent", "3</span>", "3 / 4 live", "12 days", "1 gap", "not heard yet", "does not say", `data-stream="/live?of=fleet"`)
	if strings.Contains(p.text, "as of") && strings.Contains(p.text, "ago</span>") {
		t.Errorf("what is fresh is shown as old:\n%s", p.text)
	}
	f.now = f.now.Add(3 * time.Minute)
	b.get("/fleet").shows(http.StatusOK, "2 not heard", "silent</span>", "as of 3 min ago")

	unkept := f.standing()
	unkept.Clock.Synchronised, unkept.CertificatesEnd = false, event.At(f.now.Add(-time.Hour))
	f.head("p1", f.now, unkept)
	b.get("/fleet").shows(http.StatusOK, "not synchronised", "ended</span>")
	f.head("p1", f.now.Add(time.Minute), unkept)
	b.get("/fleet").shows(http.StatusOK, "1 min ahead")
	f.head("p1", f.now.Add(-time.Minute), unkept)
	b.get("/fleet").shows(http.StatusOK, "1 min behind")
}

func TestConsole_FleetCSV(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	f.head("p1", f.now, f.standing())
	f.user("maria", false, nil, "quality")
	b := f.browser()
	b.logIn("maria")
	p := b.get("/fleet.csv")
	lines := strings.Split(strings.TrimSpace(p.text), "\n")
	if p.header.Get("Content-Type") != "text/csv; charset=utf-8" || len(lines) != 3 || strings.Count(lines[0], ",") != strings.Count(lines[1], ",") || strings.Count(lines[0], ",") != strings.Count(lines[2], ",") {
		t.Fatalf("%v\n%s", p.header, p.text)
	}
	if want := "p1,a1,current,up,2026-11-24T09:16:02.368Z,2026-11-24T09:15:42.368Z,1.4.0,2026-11-24T06:16:02.368Z,3,1207,2026-11-24T06:26:02.368Z,95,0,,0,false,2026-11-24T09:14:02.168Z,true,0.000,2026-12-06T09:16:02.368Z,4,3,0,0"; lines[1] != want {
		t.Errorf("line is\n%s, want\n%s", lines[1], want)
	}
	if !strings.HasPrefix(lines[2], "p2,a1,current,never,,,,") {
		t.Errorf("an agent that says nothing is %s", lines[2])
	}
}

// A plant's page shows its sources, what waits and for what, what is missing, and what was not applied.
func TestConsole_Plant(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	gap := f.gap()
	f.head("p2", f.now, f.standing())
	f.user("maria", false, nil, "quality")
	f.user("vera", false, nil, "viewer")
	f.user("one", false, []event.PlantID{"p1"}, "quality")
	b := f.browser()
	b.logIn("maria")
	b.get("/plants/p2").shows(http.StatusOK, "Plant p2", "America/Chicago", "1 lot", "press-4", "silent", "8 of 8 not good", "E-4103", "mes", "live", "2 more sources, calmer than these",
		"not observed", "press-4", "All that came from this plant was applied.", "do not leave the plant", `data-stream="/live?of=fleet"`)
	b.get("/plants/p1").shows(http.StatusOK, "Plant p1", "1 held", "L-88214", "has not said how its sources stand", "Nothing is missing from this plant.")
	b.get("/plants/p9").shows(http.StatusNotFound, "E-8003")
	if strings.Contains(b.get("/plants/p1").text, gap) {
		t.Error("a plant shows the gap of another")
	}

	viewer := f.browser()
	viewer.logIn("vera")
	viewer.get("/plants/p2").shows(http.StatusOK, "Plant p2", "All that came from this plant was applied.")
	other := f.browser()
	other.logIn("one")
	other.get("/plants/p2").shows(http.StatusNotFound, "E-8003")
	if p := other.get("/fleet"); strings.Contains(p.text, "p2") {
		t.Errorf("the fleet shows another plant:\n%s", p.text)
	}
}

// fork has a second gateway send as the agent of a plant, and returns its epoch.
func (f *fixture) fork(plant event.PlantID) event.Epoch {
	f.t.Helper()
	second := event.Epoch(strings.Repeat("f", 32))
	h := event.Head{Plant: plant, Agent: "a1", Epoch: second, Prev: event.NoPrev, Time: f.now, Epochs: []event.HeadEpoch{{Epoch: second}}}
	if _, err := f.engine.Apply(f.t.Context(), []workflow.Input{{Message: h.Message(), Plant: plant}}, nil); err != nil {
		f.t.Fatal(err)
	}
	return second
}

// Which of two gateways goes on is decided at their plant, with a reason.
func TestConsole_Plant_SecondGateway(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	second := f.fork("p1")
	f.user("maria", false, nil, "quality")
	for _, role := range []string{"viewer", "operator", "auditor"} {
		f.user(role, false, nil, role)
		b := f.browser()
		b.logIn(role)
		p := b.get("/plants/p1")
		p.shows(http.StatusOK, "A second gateway sends as a1")
		if strings.Contains(p.text, "goes on: it is the right one") {
			t.Errorf("the decision is offered to %s", role)
		}
		b.post(p, "/plants/p1/epoch", "agent", "a1", "epoch", string(second), "decision", "accepted", "reason", "x").shows(http.StatusForbidden, "E-8002")
		f.now = f.now.Add(10 * time.Second) // so that the address may try again
	}
	b := f.browser()
	b.logIn("maria")
	b.get("/fleet").shows(http.StatusOK, "second gateway")
	p := b.get("/plants/p1")
	p.shows(http.StatusOK, "A second gateway sends as a1", "goes on: it is the right one")
	refused := b.post(p, "/plants/p1/epoch", "key", p.field("key"), "agent", "a1", "epoch", string(second), "decision", "quarantined", "reason", " ")
	refused.shows(http.StatusUnprocessableEntity, "E-", "A second gateway sends as a1", "details class=\"act\" open")
	b.post(p, "/plants/p1/epoch", "key", p.field("key"), "agent", "a1", "epoch", string(second), "decision", "quarantined", "reason", "a clone in the lab").leads("/plants/p1?did=epoch")
	after := b.get("/plants/p1?did=epoch")
	after.shows(http.StatusOK, "The decision is taken")
	if strings.Contains(after.text, "A second gateway") {
		t.Errorf("it is still to be decided:\n%s", after.text)
	}
	if got := f.entries("maria"); len(got) == 0 || !strings.Contains(strings.Join(got, "\n"), "a clone in the lab") {
		t.Errorf("entries are %v", got)
	}
}

// A head is a change for pages about agents, and for no other.
func TestConsole_Live_Heads(t *testing.T) {
	f := newFixture(t, "")
	f.seed()
	f.user("maria", false, nil, "quality")
	b := f.browser()
	b.logIn("maria")
	f.run()
	f.waitLooked(b)
	fleet, lots := b.listen("/live?of=fleet", ""), b.listen("/live", "")
	until(t, fleet, "id: ")
	until(t, lots, "id: ")
	f.head("p1", f.now, nil)
	until(t, fleet, "event: change")
	for {
		select {
		case line := <-lots:
			if strings.HasPrefix(line, "event: change") {
				t.Fatal("a head changes pages about lots")
			}
			continue
		default:
		}
		return
	}
}
