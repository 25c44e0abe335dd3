package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mesh/holdfast/test/sim/plant"
	"github.com/holdfast-mesh/holdfast/test/sim/stack"
)

// TestRetire_Signed: an agent that is gone keeps no release any more once two persons have signed for what is not known of
// it. When it starts again its records wait for a person, but for what forbids.
func TestRetire_Signed(t *testing.T) {
	t.Parallel()
	s := startManned(t)
	p := publisher(t, s, "press")
	send(t, p, plant.TopicLot, lot("L-GONE", "kg"))
	waitsFor(t, s, "L-GONE")

	retire := []string{"agents", "retire", "--plant", "p1", "--agent", "gw1", "--reason", "line sold, ticket 4711"}
	const refused = 4
	if _, stderr, code := rootCLI(t, s, retire...); code != refused || !strings.Contains(stderr, "has not answered") {
		t.Fatalf("without signatures it exits %d", code)
	}
	if released(t, s, "L-GONE") {
		t.Fatal("the batch is free though its plant has not answered")
	}
	if _, _, code := cloudCLI(t, s, both(s, retire...)...); code != 0 {
		t.Fatalf("retire exits %d", code)
	}
	eventually(t, 20*time.Second, "the batch is free without the agent", func() bool { return released(t, s, "L-GONE") })
	if list := agents(t, s); len(list) != 1 || list[0].State != "retired" {
		t.Errorf("agents are %+v", list)
	}
	if m, err := stack.Metrics(t.Context(), s.Cloud); err != nil || stack.Sum(m, "holdfast_cloud_agents_retired") != 1 {
		t.Errorf("agents retired: %v, %v", m["holdfast_cloud_agents_retired"], err)
	}

	begin(t, s.StartAgent)
	send(t, p, plant.TopicLot, lot("L-AFTER", "kg"))
	send(t, p, plant.TopicLot, lot("L-BAD", "kg"))
	send(t, p, plant.TopicResult, result("L-BAD", 1, "61.2", true))
	blocked(t, s, "L-BAD", 20*time.Second) // what forbids does not wait
	eventually(t, 20*time.Second, "a person is told that it sends", func() bool { return alerted(t, s, "agent_retired_sends", "p1/gw1") })
	if out, _, _ := cloudCLI(t, s, "lots", "list"); strings.Contains(out, "L-AFTER") {
		t.Error("a lot of a retired agent is applied")
	}
	var fresh agentLine
	for _, a := range agents(t, s) {
		fresh = a
	}
	if fresh.State != "retired" {
		t.Errorf("its new epoch is %+v", fresh)
	}
	if _, _, code := rootCLI(t, s, "agents", "epoch", "decide", "--plant", "p1", "--agent", "gw1", "--epoch", fresh.Epoch, "accepted", "--reason", "bought back"); code != 0 {
		t.Fatalf("the decision exits %d", code)
	}
	eventually(t, 20*time.Second, "what was kept is applied", func() bool {
		out, _, _ := cloudCLI(t, s, "lots", "list")
		return strings.Contains(out, "L-AFTER")
	})
	eventually(t, 20*time.Second, "nothing needs a person", func() bool { return !alerted(t, s, "agent_retired_sends", "p1/gw1") })
	if _, _, code := cloudCLI(t, s, "ledger", "verify"); code != 0 {
		t.Errorf("ledger verify exits %d", code)
	}
}

// TestRetire_Whole: an agent that runs and of which nothing is missing goes by the word of one person.
func TestRetire_Whole(t *testing.T) {
	t.Parallel()
	s := startManned(t)
	send(t, publisher(t, s, "press"), plant.TopicLot, lot("L-LAST", "kg"))
	eventually(t, 20*time.Second, "the lot is released", func() bool { return released(t, s, "L-LAST") })
	if out, _, code := rootCLI(t, s, "agents", "retire", "--plant", "p1", "--agent", "gw1", "--reason", "line sold"); code != 0 || !strings.Contains(out, "all that it had on disk is here") {
		t.Fatalf("retire exits %d: %s", code, out)
	}
}
